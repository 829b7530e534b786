"""Scalarization on local frames: what an edge sees of the vectors around its two atoms.

Every edge (i, j) has a frame, made of its unit vector u_ij and one vector b_i of its atom's surroundings:

    e1 = u_ij,    e2 = e1 x b_i,    e3 = e1 x e2 = e1 (e1 . b_i) - b_i

e2 and e3 are left as long as they come out. Where the surroundings are collinear with the edge both vanish,
smoothly, whereas frames of unit length would jump there (there is no continuous choice of a normal to a
line). What an edge loses at that point it does not need: the energy of a bend is even in its angle, and S .
e1 = |S| cos carries the angle to second order.

The components of a vector S of channel c on the frame are invariant to rotations:

======== ===================================== =======================================
S . e1   S . u
S . e3   (S . u)(b . u) - S . b
S . e2   odd under reflection                  only its square may enter; not used
======== ===================================== =======================================

Both S_i and S_j are looked at in the frame of the edge, so that an edge sees the surroundings of both its
ends from one point of view: the transition between frames.
"""

from __future__ import annotations

import torch
from torch import Tensor


def components(
    vectors: Tensor, frame_vector: Tensor, unit: Tensor, receivers: Tensor, senders: Tensor
) -> Tensor:
    """Components along e1 and e3 of the vectors of both ends of each edge.

    Args:
        vectors: S [N, 3, F].
        frame_vector: b [N, 3].
        unit: u_ij [E, 3], from i to j.
        receivers: i of each edge [E].
        senders: j of each edge [E].

    Returns:
        [E, 4 F]: S_i . e1, S_j . e1, S_i . e3, S_j . e3.
    """
    u = unit.unsqueeze(-1)
    b = frame_vector.unsqueeze(-1)
    along_i = (vectors * b).sum(1).index_select(0, receivers)  # S_i . b_i: a sum over atoms, not over edges
    b = b.index_select(0, receivers)
    of_j = vectors.index_select(0, senders)
    first_i = (vectors.index_select(0, receivers) * u).sum(1)
    first_j = (of_j * u).sum(1)
    slope = (b * u).sum(1)
    third_i = first_i * slope - along_i
    third_j = first_j * slope - (of_j * b).sum(1)
    return torch.cat([first_i, first_j, third_i, third_j], dim=-1)
