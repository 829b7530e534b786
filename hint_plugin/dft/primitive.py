"""The primitive cell of a crystal, by spglib."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.supercells import kinds
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.optional import load

EXACT = 1e-5  # A; programs of plane waves find symmetry within about as much


@dataclass(frozen=True)
class Primitive:
    """Attributes:
    atoms: one primitive cell, without labels, with its masses and initial magnetic moments.
    space_group: as "Fm-3m (225)".
    notes: what was changed.
    """

    atoms: Atoms
    space_group: str
    notes: list[str] = field(default_factory=list)


def primitive_cell(crystal: Atoms, precision: float = EXACT) -> Primitive:
    """The primitive cell; its own vectors where the crystal is primitive already, and symmetric to 1e-5 A.

    Else spglib's standard cell, in its own orientation, with atoms and vectors put where the symmetry wants
    them.

    Args:
        crystal: periodic in three directions. Its masses are kept, and its initial magnetic moments: atoms
            of one element with different ones are different atoms.
        precision: within which symmetry is found, A.

    Raises:
        DataError: spglib finds no crystal in it.
        OptionsError: several masses of one element, moments that are vectors, or a precision that is none.
        MissingDependencyError: no spglib.
    """
    spglib = _spglib()
    if not 0 < precision < 1:
        raise OptionsError(f"precision {precision} A; wanted a small number above 0")
    masses = _masses(crystal)
    kind_of = _kinds(crystal)
    cell = (crystal.cell.array, crystal.get_scaled_positions(), kind_of)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of spglib, about its own ways to fail
        group, exact = (spglib.get_spacegroup(cell, symprec=p) for p in (precision, EXACT))
        found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=False, symprec=precision)
    if group is None or found is None:
        raise DataError(f"{crystal.symbols}: spglib finds no crystal in it; are two atoms at one place?")
    notes = []
    if len(found[2]) == len(crystal) and group == exact:
        found = cell
    elif len(found[2]) < len(crystal):
        notes.append(
            f"{len(crystal)} atoms are {len(crystal) // len(found[2])} primitive cells of {len(found[2])}"
        )
    else:
        notes.append(f"{exact} within {EXACT:g} A, {group} within {precision:g} A: made symmetric")
    vectors, places, made_of = found
    first = [int(np.flatnonzero(kind_of == kind)[0]) for kind in made_of]  # an atom of this kind
    atoms = Atoms(crystal.numbers[first], cell=vectors, scaled_positions=places, pbc=True)
    if found is cell:
        atoms.positions = crystal.positions
    atoms.set_masses([masses[symbol] for symbol in atoms.symbols])
    if np.any(spins := crystal.get_initial_magnetic_moments()):
        atoms.set_initial_magnetic_moments(spins[first])
    return Primitive(atoms, group, notes)


def _kinds(crystal: Atoms) -> NDArray[np.int64]:
    """[N] elements, or elements and moments where there are any."""
    spins = crystal.get_initial_magnetic_moments()
    if not np.any(spins):
        return crystal.numbers
    if spins.ndim > 1:
        raise OptionsError(
            f"{crystal.symbols} has magnetic moments that are vectors; wanted one number for each atom"
        )
    return kinds(crystal, ["initial_magmoms"])


def _masses(crystal: Atoms) -> dict[str, float]:
    masses: dict[str, float] = {}
    for symbol, mass in zip(crystal.symbols, crystal.get_masses(), strict=True):
        if abs(masses.setdefault(symbol, round(float(mass), 6)) - mass) > 1e-3:
            raise OptionsError(
                f"{crystal.symbols}: {symbol} with several masses; wanted one for each element"
            )
    return masses


def _spglib() -> Any:
    return load("spglib", "phonons", "primitive cells need spglib")
