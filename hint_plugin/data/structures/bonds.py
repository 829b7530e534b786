"""Which atoms of a molecule are bonded, by their distances."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

BOND_FACTOR = 1.2
"""Atoms closer than this times the sum of their covalent radii are bonded (ReactBench's value)."""
HYDROGEN_FACTOR = 1.5
"""The same for H-H, whose bond is longer than its radii say."""


def bonds(atoms: Atoms) -> NDArray[np.bool_]:
    """Adjacency matrix [N, N]; of a periodic structure, of the nearest images."""
    radii = covalent_radii[atoms.numbers]
    reach = BOND_FACTOR * (radii[:, None] + radii[None])
    hydrogen = atoms.numbers == 1
    reach[np.ix_(hydrogen, hydrogen)] *= HYDROGEN_FACTOR / BOND_FACTOR
    found: NDArray[np.bool_] = atoms.get_all_distances(mic=bool(atoms.pbc.any())) < reach
    np.fill_diagonal(found, False)
    return found


def environments(kinds: Iterable[int], bonded: NDArray) -> NDArray[np.int64]:
    """[N]: a number for each atom by its kind, those of its neighbours, of theirs, ...

    Atoms that the graph of the bonds does not tell apart have the same number, in this molecule and in others
    (colour refinement by hashes; B. Weisfeiler, A. Leman, 1968).

    Args:
        kinds: [N], what tells single atoms apart, as their elements.
        bonded: [N, N].
    """
    found = [int(kind) for kind in kinds]
    near = [np.flatnonzero(row).tolist() for row in bonded]
    for _ in range(len(found)):
        found = [hash((one, *sorted(found[k] for k in row))) for one, row in zip(found, near, strict=True)]
    return np.array(found, dtype=np.int64)
