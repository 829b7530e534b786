"""Whether a reference for phonons is of the same crystal: elements, masses, space group, lattice to a
strain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from hint_plugin.data.structures.unit_cell import in_angstrom, to_ase
from hint_plugin.errors import DataError
from hint_plugin.science.same_structure import Placing, check_same_crystal, placing

if TYPE_CHECKING:
    from phonopy import Phonopy


def check_reference(crystal: Atoms, reference: Phonopy | Any, across: int | None = None) -> float:
    """The strain between the lattices of a crystal and a reference for it.

    Args:
        crystal: any cell of it.
        reference: of any cell; or a table that knows its `crystal`, or has None there: nothing to compare.
        across: the lattice vector along which a layer is not periodic; its length does not count.

    Raises:
        DataError: they are not of the same crystal; the message says in what they differ.
    """
    theirs = reference.crystal if hasattr(reference, "crystal") else primitive_of(reference)
    if theirs is None:
        return 0.0
    return check_same_crystal(*in_boxes(crystal, theirs, across), "the reference")


def placing_of(phonon: Phonopy, reference: Phonopy, across: int | None = None) -> Placing | None:
    """How the reference's primitive cell lies in that of `phonon`; None where it does not."""
    return placing(*in_boxes(primitive_of(phonon), primitive_of(reference), across))


def same_modes(phonon: Phonopy, reference: Phonopy, across: int | None = None) -> float:
    """`check_reference` for two phonon runs, whose primitive cells have to hold the same number of atoms.

    Raises:
        DataError: see there; or the symmetry of one is lower, so that its primitive cell is larger.
    """
    strain = check_reference(primitive_of(phonon), reference, across)
    if len(phonon.primitive) != len(reference.primitive):
        raise DataError(
            f"the reference's primitive cell has {len(reference.primitive)} atoms, this crystal's "
            f"{len(phonon.primitive)}: one of them is less symmetric, within {phonon.symmetry.tolerance:g} "
            "A. Relax it, or give its positions with more digits"
        )
    return strain


def primitive_of(phonon: Phonopy) -> Atoms:
    """The primitive cell, in A."""
    return in_angstrom(to_ase(phonon.primitive), phonon.calculator)


def in_boxes(mine: Atoms, theirs: Atoms, across: int | None) -> tuple[Atoms, Atoms]:
    """Two layers with the same length across, which says nothing of either; crystals as they are."""
    if across is None:
        return mine, theirs
    length = max(float(np.linalg.norm(cell.cell.array[across])) for cell in (mine, theirs))
    return _in_one_box(mine, across, length), _in_one_box(theirs, across, length)


def _in_one_box(atoms: Atoms, across: int, length: float) -> Atoms:
    found, cell = atoms.copy(), atoms.cell.array.copy()
    cell[across] *= length / np.linalg.norm(cell[across])
    found.set_cell(cell)
    return found
