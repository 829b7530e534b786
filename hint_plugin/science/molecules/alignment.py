"""How far two geometries of a molecule are from each other."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hint_plugin.data.structures.constraints import free_coordinates


def rmsd(first: Atoms, second: Atoms, permute: bool = False) -> float:
    """A: root mean square distance of partners, after the best rotation.

    W. Kabsch, Acta Cryst. A 32, 922 (1976). Where coordinates are held, nothing is turned or shifted, and the
    distance is that of the atoms that move, to their nearest images.

    Args:
        first, second: the same atoms in the same order.
        permute: atoms of an element may change places, as the hydrogens of a methyl group that has turned:
            partners and rotation take turns until neither changes, from the partners as they are.
    """
    free = free_coordinates(first)
    if not free.all:
        return _where_they_are(first, second, free.atoms, permute)
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


def _where_they_are(first: Atoms, second: Atoms, moving: NDArray, permute: bool) -> float:
    """A, of the atoms that move, as they are."""
    apart = second.positions[moving][None] - first.positions[moving][:, None]
    if first.pbc.any():
        flat = find_mic(apart.reshape(-1, 3), first.cell, first.pbc)[0]
        apart = flat.reshape(apart.shape)
    squares = (apart**2).sum(axis=2)
    if not permute:
        return float(np.sqrt(np.diag(squares).mean()))
    numbers = first.numbers[moving]
    cost = np.where(numbers[:, None] == numbers[None], squares, 1e6)
    return float(np.sqrt(squares[linear_sum_assignment(cost)].mean()))


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
