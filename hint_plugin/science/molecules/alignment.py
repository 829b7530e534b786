"""How far two geometries of a molecule are from each other."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


def rmsd(first: Atoms, second: Atoms, permute: bool = False) -> float:
    """A: root mean square distance of partners, after the best rotation.

    W. Kabsch, Acta Cryst. A 32, 922 (1976).

    Args:
        first, second: the same atoms in the same order.
        permute: atoms of an element may change places, as the hydrogens of a methyl group that has turned:
            partners and rotation take turns until neither changes, from the partners as they are.
    """
    a = first.positions - first.positions.mean(axis=0)
    b = second.positions - second.positions.mean(axis=0)
    order = np.arange(len(first))
    while True:
        turned = b[order] @ _rotation(a, b[order])
        if not permute:
            break
        better = order[_partners(first.numbers, a, turned)]
        if (better == order).all() or _distance(a, b[better]) > _distance(a, b[order]) - 1e-9:
            break
        order = better
    return _distance(a, b[order])


def _distance(a: NDArray, b: NDArray) -> float:
    return float(np.sqrt(((b @ _rotation(a, b) - a) ** 2).sum(axis=1).mean()))


def _rotation(a: NDArray, b: NDArray) -> NDArray:
    u, _, vt = np.linalg.svd(b.T @ a)
    rotation: NDArray = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return rotation


def _partners(numbers: NDArray, a: NDArray, b: NDArray) -> NDArray:
    """Which atom of b goes to each of a: nearest in sum, within an element."""
    cost = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    cost[numbers[:, None] != numbers[None]] = 1e6
    columns: NDArray = linear_sum_assignment(cost)[1]
    return columns
