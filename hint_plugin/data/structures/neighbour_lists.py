"""Neighbour lists of structures, with periodic images."""

from __future__ import annotations

import numpy as np
from ase import Atoms


class Neighbours:
    """Neighbour lists by vesin; with a skin, lists are kept until an atom has moved by half of it."""

    def __init__(self, cutoff: float, skin: float = 0.0) -> None:
        from vesin import NeighborList

        self._lists = NeighborList(cutoff=cutoff, full_list=True, skin=skin)

    def __call__(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """i, j [E], S @ cell [E, 3] and r_ij [E, 3]."""
        cell = atoms.cell.complete().array
        i, j, s, d = self._lists.compute(
            points=atoms.positions, box=cell, periodic=atoms.pbc.tolist(), quantities="ijSD"
        )
        return i, j, s @ cell, d
