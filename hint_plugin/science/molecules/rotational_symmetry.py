"""The rotational symmetry number of a molecule."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.core.point_group import is_linear, partners, rotations_onto

SYMMETRY_TOLERANCE = 0.1
"""A: an atom this near to where a rotation puts another counts as there. Geometries optimised by different
methods, or without symmetry, differ by less; two conformers by more."""


def symmetry_number(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE, linear: bool = False) -> int:
    """How many proper rotations turn the molecule into itself: 1 for CHFClBr, 2 for water, 12 for CH4.

    sigma of the rotational partition function (D. A. McQuarrie, Statistical Mechanics (1976), ch. 8); of a
    linear molecule 2 with a centre of inversion and 1 without. See `core.point_group` for the search.

    Args:
        atoms: a molecule; its masses count, so an isotope lowers the symmetry.
        tolerance: A.
        linear: it counts as linear, although its atoms are not quite in line.
    """
    positions = atoms.positions - atoms.get_center_of_mass()
    kinds = kinds_of(atoms)
    if len(atoms) == 1:
        return 1
    if linear or is_linear(positions):
        return 2 if partners(positions, -positions, kinds, tolerance) is not None else 1
    return max(1, len(rotations_onto(positions, positions, kinds, tolerance)))


def is_chiral(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE) -> bool:
    """Whether no rotation turns a molecule into its mirror image, so that it has an enantiomer.

    Args:
        atoms: a molecule; its masses count: CHDTOH is chiral.
        tolerance: A.
    """
    positions = atoms.positions - atoms.get_center_of_mass()
    if len(atoms) < 4 or is_linear(positions):
        return False
    return not rotations_onto(positions, -positions, kinds_of(atoms), tolerance, enough=1)


def kinds_of(atoms: Atoms) -> NDArray:
    """[N]: a number for each element and mass."""
    pairs = np.stack([atoms.numbers, np.round(atoms.get_masses(), 3)], axis=1)
    found: NDArray = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
    return found
