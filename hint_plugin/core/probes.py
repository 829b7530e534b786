"""Probes: the directions v along which a Hessian is looked at.

A batch of structures is one set of atoms with a ``ptr`` (``ptr[g]:ptr[g+1]`` are the atoms of structure g),
and the probes of a batch are one tensor [K, atoms, 3] whose blocks are drawn structure by structure. The
random numbers of a structure depend on ``(seed, step, key)`` alone, where *key* names the structure: the same
run gives the same probes whatever the order of the batch, the number of data-loader workers or of processes,
and a closure that is called several times within one step (L-BFGS) sees frozen probes.
"""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor


class ProbeKind(str, Enum):
    """Distribution of the probes.

    ``rademacher``
        each component is +1 or -1 with equal probability: E[v v^T] = 1, the least variance of all independent
        components (Hutchinson 1990);
    ``gaussian``
        standard normal components: E[v v^T] = 1;
    ``column``
        one unit vector e_j, j uniform: H v is one column of the Hessian.
    """

    RADEMACHER = "rademacher"
    GAUSSIAN = "gaussian"
    COLUMN = "column"


_MASK = (1 << 63) - 1


def mix_seed(*parts: int) -> int:
    """A 63-bit seed from several integers (splitmix64 finaliser): nearby inputs give unrelated streams."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ (int(part) & 0xFFFFFFFFFFFFFFFF)) & 0xFFFFFFFFFFFFFFFF
        state = (state * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state & _MASK


def draw_probes(
    kind: ProbeKind,
    count: int,
    n_atoms: int,
    generator: torch.Generator,
    *,
    atoms: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Draw ``count`` probes for one structure.

    Args:
        kind: the distribution.
        count: K, the number of probes (>= 1). Columns are drawn without replacement while that is possible.
        n_atoms: number of atoms N.
        generator: a CPU generator; nothing else is random here.
        atoms: indices [m] of the atoms that may be displaced (a *rows* label knows only these columns of the
            Hessian, which is symmetric); all N when None. Components of other atoms are zero.
        dtype: result's dtype (default: torch's).

    Returns:
        probes [K, N, 3] on the CPU.

    Raises:
        ValueError: ``count`` < 1 or no atom to displace.
    """
    allowed = n_atoms if atoms is None else int(atoms.numel())
    if count < 1 or allowed < 1:
        raise ValueError(
            f"probes: got count = {count} and {allowed} atoms to displace; both must be at least 1"
        )
    dtype = dtype or torch.get_default_dtype()
    size = (count, 3 * allowed)
    if kind is ProbeKind.RADEMACHER:
        values = torch.randint(0, 2, size, generator=generator).to(dtype).mul_(2).sub_(1)
    elif kind is ProbeKind.GAUSSIAN:
        values = torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)
    else:
        repeats = -(-count // (3 * allowed))
        order = torch.cat([torch.randperm(3 * allowed, generator=generator) for _ in range(repeats)])[:count]
        values = torch.zeros(size, dtype=dtype).scatter_(1, order.unsqueeze(1), 1.0)
    values = values.view(count, allowed, 3)
    if atoms is None:
        return values
    probes = torch.zeros((count, n_atoms, 3), dtype=dtype)
    probes[:, atoms] = values
    return probes


def structure_generator(seed: int, step: int, key: int) -> torch.Generator:
    """The random stream of one structure at one step; see the module's docstring."""
    return torch.Generator().manual_seed(mix_seed(seed, step, key))
