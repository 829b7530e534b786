"""AlphaNet: an interatomic potential of local frames and scalars, after Yin et al. (2025), smooth by design.

Equivariance comes from frames at every edge, in which vectors are seen as scalars, and not from tensor
products: only sums, products of matrices and SiLU are left. Everything starts from edge vectors r_ij = r_j -
r_i + S @ cell; absolute positions are never seen.

    r_ij ──> u_ij, t = r/r_c ──> h_ij = SiLU(W b(t) + p(z_i) + q(z_j))
                                   │
                                   ├──> first sums over j: s_i, S_i^(1..3), b_i
                                   │             │ frames: S . e1 .. e1, S . e3
                                   └─────────────┴──> filters of all layers
    s, V = 0 ──> L x messages (s, V) ──> energy of the atom = shift + scale MLP(s)

========= ============================================================ ==================
symbol    meaning                                                      variable
========= ============================================================ ==================
u, t      unit vector, distance over cutoff                            ``unit``, ``t``
c u(t)    envelope, C^3 at the cutoff, over sqrt(mean neighbours)      ``window``
h         what is known about an edge, [E, R]                          ``edge``
s, V      scalars [N, H] and vectors [N, 3, H] of the atoms            ``s``, ``v``
S, b      tensors and a vector of the surroundings [N, C, F], [N, 3]   in `frames`
========= ============================================================ ==================

What is different from the publication, and why:

- Every sum over neighbours carries the envelope u(t) on the whole message, biases included, and is a sum with
  a constant factor, not a mean: an atom that crosses the cutoff changes nothing, to third order.
- Frames of unnormalised vectors (`frames`): smooth at collinear and symmetric geometries. Tensors of rank 2
  and 3 beside the vectors: more angles, also where vectors cancel.
- No angle of a complex number anywhere, whose branch cut lets the energy jump.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hint_plugin.errors import OptionsError
from hint_plugin.models.alphanet.config import AlphaNetConfig
from hint_plugin.models.alphanet.frames import Frames
from hint_plugin.models.alphanet.layers import Message
from hint_plugin.models.alphanet.radial import Bessel, Repulsion, envelope

#: Of the table from atomic numbers to the elements of a model.
LARGEST_NUMBER = 118


def has_values(x: Tensor) -> bool:
    """False while a trace is made: a branch that depends on values would be kept as its example went."""
    if torch.jit.is_scripting():
        return True
    else:  # noqa: RET505  (TorchScript compiles what follows a return)
        return type(x) is Tensor and not torch.jit.is_tracing()


def within(edge: Tensor, window: Tensor) -> Tensor:
    """(h u, u): what a linear map without a bias turns into (W h + b) u. [E, R], [E, 1] -> [E, R + 1]."""
    return torch.cat([edge * window, window], dim=-1)


class AlphaNet(nn.Module):
    """The potential as a plain module: a batch of structures -> their energies.

    Args:
        atomic_numbers: Z of the elements that the model knows.
        config: sizes and options.
        average_neighbours: of the training data; every sum over neighbours is divided by its square root.
        atomic_energies: E0 of each element, eV.
        scale, shift: of the interaction energy of an atom, eV; the root mean square of the forces is a good
            scale.

    Raises:
        OptionsError: no elements, an element twice, or E0s of another number.
    """

    atomic_numbers: Tensor
    element_index: Tensor
    atomic_energies: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        atomic_numbers: Sequence[int],
        config: AlphaNetConfig | None = None,
        *,
        average_neighbours: float = 10.0,
        atomic_energies: Sequence[float] | None = None,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> None:
        super().__init__()
        numbers = [int(z) for z in atomic_numbers]
        config = config or AlphaNetConfig()
        energies = [0.0] * len(numbers) if atomic_energies is None else [float(e) for e in atomic_energies]
        if (
            not numbers
            or len(set(numbers)) < len(numbers)
            or not all(1 <= z <= LARGEST_NUMBER for z in numbers)
        ):
            raise OptionsError(
                f"AlphaNet: elements are {numbers}; wanted different atomic numbers from 1 to 118"
            )
        if len(energies) != len(numbers):
            raise OptionsError(f"AlphaNet: {len(energies)} atomic energies for {len(numbers)} elements")
        if not average_neighbours > 0:
            raise OptionsError(
                f"AlphaNet: average_neighbours is {average_neighbours}; wanted a positive number"
            )
        self.config = config.to_dict()
        self.cutoff, self.hops = float(config.cutoff), config.hops
        self.average_neighbours = float(average_neighbours)
        self.channels = config.channels
        self.sum_scale = 1.0 / math.sqrt(average_neighbours)
        dtype = torch.get_default_dtype()
        index = torch.full((LARGEST_NUMBER + 1,), -1)
        index[numbers] = torch.arange(len(numbers))
        self.register_buffer("atomic_numbers", torch.tensor(numbers))
        self.register_buffer("element_index", index)
        self.register_buffer("atomic_energies", torch.tensor(energies, dtype=dtype))
        self.register_buffer("scale", torch.tensor(float(scale), dtype=dtype))
        self.register_buffer("shift", torch.tensor(float(shift), dtype=dtype))

        channels, wide, framed = config.channels, config.edge_channels, config.frame_channels
        self.bessel = Bessel(config.bessel)
        self.edge_radial = nn.Linear(config.bessel, wide)
        self.edge_receiver = nn.Embedding(len(numbers), wide)
        self.edge_sender = nn.Embedding(len(numbers), wide)
        self.element = nn.Embedding(len(numbers), channels)
        self.neighbour = nn.Embedding(len(numbers), channels)
        tensors = config.frame_rank * framed
        self.first_sizes = [channels, tensors]
        self.first_filters = nn.Linear(wide + 1, channels + tensors, bias=False)
        self.around_values = nn.Embedding(len(numbers), tensors)
        self.frames = Frames(framed, config.frame_rank)
        last = config.layers - 1
        self.messages = nn.ModuleList(
            [
                Message(channels, config.node_width, first=layer == 0, last=layer == last)
                for layer in range(config.layers)
            ]
        )
        #: Filters of an edge for each layer; the first needs no more than two thirds.
        self.filter_sizes = [channels * (2 if layer == 0 else 3) for layer in range(config.layers)]
        self.edge_seen = nn.Linear(2 * (config.frame_rank + 1) * framed + wide, wide)
        self.filters = nn.Linear(wide + 1, sum(self.filter_sizes), bias=False)
        self.readout = nn.Sequential(
            nn.Linear(channels, channels // 2 + 1), nn.SiLU(), nn.Linear(channels // 2 + 1, 1)
        )
        self.repulsion = Repulsion(numbers) if config.repulsion else None
        self.halo: nn.Module = nn.Identity()

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Energies of the structures of a batch, [G] in eV.

        Args:
            batch: ``positions`` [N, 3] (A), ``atomic_numbers`` [N], ``edge_index`` [2, E] (rows i, j; every
                pair in both directions); for several structures ``batch`` [N], the structure of each atom,
                and ``ptr`` [G + 1]; in cells ``shifts`` [E, 3], S @ cell in A.

        Raises:
            ValueError: an element that the model does not know.
        """
        positions, edges = batch["positions"], batch["edge_index"]
        vectors = positions.index_select(0, edges[1]) - positions.index_select(0, edges[0])
        if "shifts" in batch:
            vectors = vectors + batch["shifts"]
        species = self.species(batch["atomic_numbers"])
        owner = batch["batch"] if "batch" in batch else torch.zeros_like(species)
        count = 1
        if "ptr" in batch:
            count = batch["ptr"].numel() - 1
        elif owner.numel() > 0:
            count = int(owner.max()) + 1
        energies = self.node_energies(vectors, edges[0], edges[1], species) + self.atomic_energies[species]
        return torch.zeros(count, dtype=energies.dtype, device=energies.device).index_add(0, owner, energies)

    def set_halo(self, halo: nn.Module) -> None:
        """What completes atoms whose neighbours are elsewhere, before others look at them.

        Args:
            halo: rows [N, ...] of all atoms -> the same, with those of other processes' atoms filled in.
        """
        self.halo = self.frames.halo = halo

    def species(self, atomic_numbers: Tensor) -> Tensor:
        """Index of the element of each atom: Z [N] -> [N]."""
        species = self.element_index[atomic_numbers]
        if bool((species < 0).any()):
            raise ValueError("AlphaNet: an element that the model was not made for")
        return species

    def node_energies(self, vectors: Tensor, receivers: Tensor, senders: Tensor, species: Tensor) -> Tensor:
        """Interaction energy of each atom, without its E0: the edge contract, all that geometry enters by.

        Args:
            vectors: r_ij = r_j - r_i + S @ cell [E, 3], A; pairs beyond the cutoff add exactly nothing.
            receivers, senders: i and j of each edge [E].
            species: index of the element of each atom [N].

        Returns:
            [N], eV.
        """
        r = (vectors * vectors).sum(-1, keepdim=True).sqrt()
        unit, t = vectors / r, r / self.cutoff
        window = self.sum_scale * envelope(t)
        species_i, species_j = species.index_select(0, receivers), species.index_select(0, senders)
        edge = nn.functional.silu(
            self.edge_radial(self.bessel(t)) + self.edge_receiver(species_i) + self.edge_sender(species_j)
        )

        first, around = self.first_filters(within(edge, window)).split(self.first_sizes, dim=-1)
        s = self.element(species)
        s = s + torch.zeros_like(s).index_add(0, receivers, self.neighbour(species_j) * first)
        seen = self.frames(self.around_values(species_j) * around, unit, receivers, senders, species.numel())

        edge = nn.functional.silu(self.edge_seen(torch.cat([seen, edge], dim=-1)))
        filters = self.filters(within(edge, window))
        v = torch.zeros(species.numel(), 3, self.channels, dtype=s.dtype, device=s.device)
        parts = filters.split(self.filter_sizes, dim=-1)
        for layer, message in enumerate(self.messages):
            s = self.halo(s)
            if layer > 0:
                v = self.halo(v)
            s, v = message(s, v, parts[layer], unit, receivers, senders)

        energies = self.shift + self.scale * self.readout(s).squeeze(-1)
        if self.repulsion is not None:
            close = self.repulsion.reaches(r, species_i, species_j)
            if not has_values(close) or bool(close.any()):  # hardly a structure has atoms as close
                energies = energies.index_add(0, receivers, self.repulsion(r, species_i, species_j))
        return energies
