"""Scalarization on local frames: what an edge sees of the surroundings of its two atoms.

The surroundings of atom i are symmetric tensors of rank 1 to 3, F channels of each, over the powers of the
unit vectors u_ij to its neighbours:

    S_i^(n) = c sum_j w^(n)_ij u_ij^n,      u^1 = u (a vector),  u^2 = u u,  u^3 = u u u

Every edge (i, j) has a frame, made of its unit vector and one vector b_i of its atom's surroundings:

    e1 = u_ij,    e2 = e1 x b_i,    e3 = e1 x e2 = e1 (e1 . b_i) - b_i

e2 and e3 are left as long as they come out. Where the surroundings are collinear with the edge both vanish,
smoothly, whereas frames of unit length would jump there (there is no continuous choice of a normal to a
line). What an edge loses at that point it does not need: the energy of a bend is even in its angle, and S .
e1 = |S| cos carries the angle to second order.

The components of S on the frame are invariant to rotations and reflections:

================== ==================================== =======================================
S^(1) . e1         S . u                                sum_k w_ik cos(kij)
S^(1) . e3         (S . u)(b . u) - S . b
S^(1) . e2         odd under reflection                 only its square may enter; not used
S^(n) . e1 ... e1  S^(n) . u^n                          sum_k w_ik cos^n(kij)
================== ==================================== =======================================

S_i and S_j are both looked at in the frame of the edge, so that an edge sees the surroundings of both its
ends from one point of view: the transition between frames. The publication has vectors only; with ranks 2
and 3 an edge tells apart angles that a vector cannot, at the price of two more sums and no tensor product.
"""

import torch
from torch import Tensor, nn

#: The independent elements of u, u u and u u u: indices of their factors (0 is the number 1) and how often
#: an element stands in the full tensor.
_ELEMENTS = (
    *((0, 0, 1, 1), (0, 0, 2, 1), (0, 0, 3, 1)),
    *((0, 1, 1, 1), (0, 2, 2, 1), (0, 3, 3, 1), (0, 1, 2, 2), (0, 1, 3, 2), (0, 2, 3, 2)),
    *((1, 1, 1, 1), (2, 2, 2, 1), (3, 3, 3, 1)),
    *((1, 1, 2, 3), (1, 1, 3, 3), (2, 2, 1, 3), (2, 2, 3, 3), (3, 3, 1, 3), (3, 3, 2, 3), (1, 2, 3, 6)),
)
#: Of ranks 1, 2, 3.
_SIZES = (3, 6, 10)


class Frames(nn.Module):
    """Sums the surroundings of atoms and takes their components on the frames of edges.

    Args:
        channels: F.
        rank: the largest n, 1 to 3.
    """

    factors: Tensor
    ranks: Tensor
    counts: Tensor

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()
        self.channels, self.rank = channels, rank
        sizes = _SIZES[:rank]
        total = sum(sizes)
        dtype = torch.get_default_dtype()
        factors = torch.zeros(3, 4, total, dtype=dtype)
        for element, (*indices, _) in enumerate(_ELEMENTS[:total]):
            for number, index in enumerate(indices):
                factors[number, index, element] = 1.0
        ranks = torch.arange(rank).repeat_interleave(torch.tensor(sizes))
        counts = torch.tensor([count for *_, count in _ELEMENTS[:total]])
        self.register_buffer("factors", factors)
        self.register_buffer("ranks", ranks)
        self.register_buffer("counts", (nn.functional.one_hot(ranks, rank).T * counts).to(dtype))
        self.direction = nn.Linear(channels, 1, bias=False)
        self.halo: nn.Module = nn.Identity()

    def powers(self, unit: Tensor) -> Tensor:
        """The independent elements of u, u u and u u u, one after the other: [E, 3] -> [E, C]."""
        padded = nn.functional.pad(unit, [1, 0], value=1.0)
        return (padded @ self.factors[0]) * (padded @ self.factors[1]) * (padded @ self.factors[2])

    def forward(self, values: Tensor, unit: Tensor, receivers: Tensor, senders: Tensor, atoms: int) -> Tensor:
        """What each edge sees.

        Args:
            values: c w [E, rank F], the envelope among its factors.
            unit: u_ij [E, 3], from i to j.
            receivers, senders: i and j of each edge [E].
            atoms: N.

        Returns:
            [E, (rank + 1) 2 F]: components along e1, one rank after the other, then those of S^(1) along e3;
            of i and of j.
        """
        power = self.powers(unit)
        weights = values.view(-1, self.rank, self.channels).index_select(1, self.ranks)
        around = torch.zeros(atoms, power.shape[1], self.channels, dtype=unit.dtype, device=unit.device)
        around = around.index_add(0, receivers, power.unsqueeze(-1) * weights)
        around = self.halo(around)
        direction = self.direction(around[:, :3]).squeeze(-1).index_select(0, receivers)

        ends = torch.cat([around.index_select(0, receivers), around.index_select(0, senders)], dim=-1)
        first = power.unsqueeze(1) * self.counts
        beside = nn.functional.pad(direction, [0, power.shape[1] - 3]).unsqueeze(1)
        seen = torch.bmm(torch.cat([first, beside], dim=1), ends)
        slope = (direction * unit).sum(-1, keepdim=True)
        third = seen[:, 0] * slope - seen[:, self.rank]
        return torch.cat([seen[:, : self.rank].flatten(1), third], dim=-1)
