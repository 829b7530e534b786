"""Force constants of a supercell from some rows of its Hessian: the others follow by translations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.unit_cell import to_ase
from hint_plugin.errors import DataError
from hint_plugin.science.phonons.crystals import new_phonopy, same_atoms

if TYPE_CHECKING:
    from phonopy import Phonopy


def phonopy_from_rows(large: Atoms, rows: NDArray, known: NDArray) -> Phonopy:
    """A `Phonopy` with compact force constants, of the primitive cell that symmetry finds.

    A row of atom r, shifted by the lattice vector from r to its image p in the primitive cell, is that of p:
    H[p, j] = H[r, j + (x_r - x_p)].

    Args:
        large: the supercell, N atoms.
        rows: [3m, 3N], eV/A^2.
        known: [m], the atoms of the rows.

    Raises:
        DataError: an atom of the primitive cell has no row among its images.
    """
    phonon, n = new_phonopy(large, 1, "auto"), len(large)
    order = same_atoms(to_ase(phonon.supercell), large)  # of phonopy's atoms, those of `large`
    image = np.empty(n, dtype=np.int64)  # of each atom of `large`, phonopy's number of its primitive atom
    image[order] = phonon.primitive.s2p_map
    blocks = np.asarray(rows, dtype=float).reshape(len(known), 3, n, 3).transpose(0, 2, 1, 3)
    constants = []
    for atom in phonon.primitive.p2s_map:
        found = next((k for k, r in enumerate(known) if image[r] == atom), None)
        if found is None:
            raise DataError(
                f"rows of the Hessian for the atoms {', '.join(map(str, known))}, and none for an image of "
                f"atom {order[atom]} ({large.symbols[order[atom]]}); wanted the rows of one primitive cell"
            )
        moved = large.copy()
        moved.positions += large.positions[known[found]] - large.positions[order[atom]]
        constants.append(blocks[found][same_atoms(moved, large)][order])
    phonon.force_constants = np.ascontiguousarray(constants)
    return phonon
