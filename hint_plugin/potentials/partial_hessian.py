"""The part of a Hessian that counts where atoms are held: rows of the atoms that move, and their block.

A structure with FixAtoms or FixCartesian has n free coordinates, of m atoms that move
(`data.structures.constraints`). Vibrations, saddle searches and thermochemistry need the block H_cc [n, n]
alone, and the rows H[A, :] [3m, 3N] of these atoms give it: 3m products H v in place of 3N.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.constraints import FreeCoordinates, free_coordinates
from hint_plugin.errors import DataError
from hint_plugin.potentials.calculator_potential import as_potential


def free_rows(atoms: Atoms, calculator: Any = None, free: FreeCoordinates | None = None) -> NDArray:
    """H[A, :], [3m, 3N] in eV/A^2, of the m atoms A that move.

    Args:
        atoms: the structure.
        calculator: HINT's, or one with `get_hessian`, `get_hvp` or forces alone (differences); None: that of
            the atoms.
        free: its free coordinates, if they are known.

    Raises:
        DataError: no calculator, constraints other than FixAtoms and FixCartesian, or no atom that moves.
        Whatever the calculator raises.
    """
    free = free_coordinates(atoms) if free is None else free
    rows = as_potential(_calculator(atoms, calculator)).rows(atoms, _moving(atoms, free))
    return np.asarray(rows, dtype=float)


def partial_hessian(atoms: Atoms, calculator: Any = None, free: FreeCoordinates | None = None) -> NDArray:
    """H_cc, [n, n] in eV/A^2, symmetric, of the n free coordinates c in ascending order 3a + axis.

    Where nothing is held this is the Hessian [3N, 3N] of the calculator's `get_hessian`, as it is.

    Args:
        atoms, calculator, free: see `free_rows`.

    Raises:
        As `free_rows`.
    """
    free = free_coordinates(atoms) if free is None else free
    if free.all:
        return np.asarray(_calculator(atoms, calculator).get_hessian(atoms))
    return free.part(free_rows(atoms, calculator, free))


def embedded_hessian(atoms: Atoms, calculator: Any = None) -> NDArray:
    """[3N, 3N] in eV/A^2 with the block H_cc of the free coordinates, and zeros where coordinates are held:
    for searches and paths that step in all coordinates.

    Args:
        atoms, calculator: see `free_rows`.

    Raises:
        As `free_rows`.
    """
    free = free_coordinates(atoms)
    found = partial_hessian(atoms, calculator, free)
    return found if free.all else free.whole(found)


def _calculator(atoms: Atoms, calculator: Any) -> Any:
    found = atoms.calc if calculator is None else calculator
    if found is None:
        raise DataError(f"{atoms.symbols} has no calculator to compute a Hessian with: set atoms.calc")
    return found


def _moving(atoms: Atoms, free: FreeCoordinates) -> list[int]:
    if free.none:
        raise DataError(f"all atoms of {atoms.symbols} are held: there is no Hessian of what moves")
    return [int(a) for a in free.atoms]
