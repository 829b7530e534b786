"""Functions of a distance: the envelope, the radial basis, the short-range repulsion."""

import importlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: e^2 / (4 pi eps0) in eV A.
COULOMB = 14.399645478425668
#: Where the repulsion has ended, in sums of covalent radii: below bond lengths, so that data rule there.
REPULSION_RANGE = 0.6


def envelope(t: Tensor) -> Tensor:
    """u(t) = 1 - 35 t^4 + 84 t^5 - 70 t^6 + 20 t^7 for t = r/r_c < 1, zero beyond.

    The polynomial of lowest order whose first three derivatives vanish at t = 0 and at t = 1: what carries it
    as a factor crosses the cutoff with continuous third derivatives (C^3), those that training on Hessians
    takes.
    """
    t = t.clamp(max=1.0)
    square = t * t
    return 1.0 - square * square * (35.0 + t * (t * (70.0 - 20.0 * t) - 84.0))


class Bessel(nn.Module):
    """b_n(t) = sin(w_n t)/t with trainable frequencies w_n, n pi at the start (Gasteiger et al., ICLR
    2020)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(math.pi * torch.arange(1, count + 1))

    def forward(self, t: Tensor) -> Tensor:
        """t = r/r_c [E, 1] -> [E, count]."""
        return torch.sin(t * self.frequencies) / t


class Repulsion(nn.Module):
    """The universal repulsion of Ziegler, Biersack and Littmark (1985), half of it to each atom of a pair.

        V(r) = Z_i Z_j e^2/(4 pi eps0 r) phi(r/a) u(r/r_ij),    a = 0.46850 A / (Z_i^0.23 + Z_j^0.23),
        phi(x) = 0.18175 e^(-3.19980 x) + 0.50986 e^(-0.94229 x) + 0.28022 e^(-0.40290 x) + 0.02817
        e^(-0.20162 x)

    with the envelope u that ends at r_ij = `REPULSION_RANGE` times the sum of the covalent radii. Not
    trained.

    Args:
        atomic_numbers: of the elements of a model, in its order.
    """

    charge: Tensor
    power: Tensor
    radius: Tensor
    weights: Tensor
    decays: Tensor

    def __init__(self, atomic_numbers: Sequence[int]) -> None:
        super().__init__()
        z = torch.tensor(list(atomic_numbers), dtype=torch.get_default_dtype())
        # not by `import`: a packaged model (torch.package) holds this file, and has no use for ASE
        covalent_radii = importlib.import_module("ase.data").covalent_radii
        radii = torch.tensor([covalent_radii[int(n)] for n in atomic_numbers], dtype=z.dtype)
        self.half_coulomb = 0.5 * COULOMB
        self.register_buffer("charge", z)
        self.register_buffer("power", z**0.23)
        self.register_buffer("radius", REPULSION_RANGE * radii)
        self.register_buffer("weights", torch.tensor([0.18175, 0.50986, 0.28022, 0.02817], dtype=z.dtype))
        self.register_buffer("decays", torch.tensor([3.19980, 0.94229, 0.40290, 0.20162], dtype=z.dtype))

    def forward(self, r: Tensor, species_i: Tensor, species_j: Tensor) -> Tensor:
        """Half of V of each edge, eV: r [E, 1] in A, indices of elements [E] -> [E]."""
        r = r.squeeze(-1)
        x = r * (self.power[species_i] + self.power[species_j]) / 0.46850
        screening = (self.weights * torch.exp(-x.unsqueeze(-1) * self.decays)).sum(-1)
        charges = self.charge[species_i] * self.charge[species_j]
        ends = self.radius[species_i] + self.radius[species_j]
        return self.half_coulomb * charges / r * screening * envelope(r / ends)

    def reaches(self, r: Tensor, species_i: Tensor, species_j: Tensor) -> Tensor:
        """Which edges are short enough to feel it: [E], bool."""
        return r.squeeze(-1) < self.radius[species_i] + self.radius[species_j]
