"""Which atoms of a molecule are bonded, by their distances."""

from __future__ import annotations

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
