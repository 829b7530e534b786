"""Frames that a model sees at once, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ase import Atoms

HESSIAN_BUDGET = 200_000
"""Largest (sum of N) x (3 x largest N) of a batch with Hessians: 20-atom molecules come by the batch size,
cells above 250 atoms one by one. A single structure is always taken."""


def batches(
    frames: Sequence[Atoms], size: int, budget: int | None = None, atoms_at_once: int | None = None
) -> Iterator[Sequence[Atoms]]:
    """Consecutive runs of frames: at most `size` of them and `atoms_at_once`; (sum of N) x (3 x largest N) <=
    `budget`.
    """
    start, total, largest = 0, 0, 0
    for i, atoms in enumerate(frames):
        total, largest = total + len(atoms), max(largest, len(atoms))
        full = i - start == size or (budget is not None and total * 3 * largest > budget)
        full = full or (atoms_at_once is not None and total > atoms_at_once)
        if full and i > start:
            yield frames[start:i]
            start, total, largest = i, len(atoms), len(atoms)
    if start < len(frames):
        yield frames[start:]
