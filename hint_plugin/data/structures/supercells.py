"""Supercells and other cells of a crystal, with all that its atoms carry.

A calculator may read more of an atom than its element and its place: an initial magnetic moment or charge, a
tag, an array of its own. `supercell` repeats a crystal with these, and `dressed` gives them to a cell that
another program has made of the same crystal (phonopy's supercells, spglib's primitive cells). Momenta,
constraints and labels belong to one structure at one time, and stay behind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.labels.extxyz import clear_labels
from hint_plugin.data.structures.electrons import refuse_electrons_of_a_cell
from hint_plugin.errors import DataError, OptionsError

SAME_PLACE = 1e-2
"""A: within it, an atom is the one that the crystal has there."""
#: Whose atoms they are, where they move to, and the notes of readers (ASE's CIF, LAMMPS, PDB).
_NOT_CARRIED = {"numbers", "positions", "momenta", "velocities", "spacegroup_kinds", "id", "primitive"}


def per_atom(atoms: Atoms) -> dict[str, NDArray]:
    """Name -> array of what a calculator may read of each atom, besides its element and its place.

    Moments (`initial_magmoms`), charges (`initial_charges`), `tags`, `masses`, and arrays of one's own;
    neither momenta, nor labels (forces, Hessians), nor the numbering of a file.
    """
    bare = atoms.copy()
    clear_labels(bare)
    return {
        name: values
        for name, values in bare.arrays.items()
        if name not in _NOT_CARRIED and "force" not in name.lower() and "hessian" not in name.lower()
    }


def supercell(atoms: Atoms, repeats: Sequence[int]) -> Atoms:
    """`atoms` repeated n1 x n2 x n3 times, cell by cell, with `per_atom`, without labels and momenta.

    Raises:
        OptionsError: it is not periodic where it is repeated.
        DataError: it has a charge or a spin, which nobody can repeat.
    """
    times = [int(n) for n in repeats]
    if not all(atoms.pbc[axis] for axis in range(3) if times[axis] > 1):
        raise OptionsError(f"{atoms.symbols} is not periodic in a direction in which it is repeated")
    return _undressed(atoms, int(np.prod(times))).repeat(times)


def dressed(cell: Atoms, crystal: Atoms) -> Atoms:
    """`cell` with what the atoms of `crystal` carry: `per_atom`, the periodicity, and `info` without labels.

    Args:
        cell: a supercell, or another cell of the same crystal in the same place, in any order of its atoms.
        crystal: whose atoms are known.

    Raises:
        DataError: an atom of `cell` is not where the crystal has one of its element, or the crystal has a
        charge
            or a spin and `cell` is of another size.
    """
    found = cell.copy()
    parents = parents_of(cell, crystal)
    for name, values in per_atom(crystal).items():
        found.arrays.pop(name, None)
        found.set_array(name, values[parents])
    found.info = dict(_undressed(crystal, len(cell) / len(crystal)).info)
    found.pbc = crystal.pbc
    return found


def parents_of(cell: Atoms, crystal: Atoms) -> NDArray[np.int64]:
    """Which atom of `crystal` each atom of `cell` is, up to a lattice vector. Raises DataError: see above."""
    inverse = np.linalg.inv(crystal.cell.array)
    found = np.empty(len(cell), dtype=np.int64)
    for k, position in enumerate(cell.positions):
        fractional = (crystal.positions - position) @ inverse
        distances = np.linalg.norm((fractional - np.rint(fractional)) @ crystal.cell.array, axis=1)
        distances[crystal.numbers != cell.numbers[k]] = np.inf
        found[k] = int(distances.argmin())
        if distances[found[k]] > SAME_PLACE:
            raise DataError(
                f"atom {k} ({cell.symbols[k]}) of a cell of {cell.symbols} is not where "
                f"{crystal.symbols} has "
                "one. Are both of the same crystal, in the same place?"
            )
    return found


def kinds(atoms: Atoms, names: Sequence[str] | None = None) -> NDArray[np.int64]:
    """[N] from 1: equal for atoms of one element whose per-atom properties are equal, to six digits.

    Args:
        names: of the properties that count; all if not given.
    """
    known = per_atom(atoms)
    columns = [atoms.numbers.astype(float)[:, None]]
    for name in known if names is None else names:
        values = np.asarray(known[name]).reshape(len(atoms), -1)
        if values.dtype.kind not in "fiub":
            values = np.unique(values.astype(str), axis=0, return_inverse=True)[1].reshape(-1, 1)
        columns.append(np.round(values.astype(float), 6))
    table = np.concatenate(columns, axis=1)
    return np.asarray(np.unique(table, axis=0, return_inverse=True)[1]).reshape(-1) + 1


def _undressed(atoms: Atoms, times: float) -> Atoms:
    """A copy without labels and momenta. Raises DataError for a charge or spin that cannot be repeated."""
    found = atoms.copy()
    found.calc = None
    found.set_constraint()  # of a relaxation: it would hide forces
    clear_labels(found)
    for name in set(found.arrays) - set(per_atom(atoms)) - {"numbers", "positions"}:
        del found.arrays[name]
    if times != 1:
        refuse_electrons_of_a_cell(atoms, str(atoms.symbols))
    return found
