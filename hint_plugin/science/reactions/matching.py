"""Whether two geometries are the same molecule: by their bonds, atom by atom."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import find_mic

from hint_plugin.data.structures.bonds import bonds
from hint_plugin.data.structures.constraints import free_coordinates, held_atoms, immovable
from hint_plugin.data.structures.electrons import state_electrons
from hint_plugin.errors import DataError, HintError
from hint_plugin.science.molecules.alignment import rmsd

SHORTEST = 0.3
"""A: atoms that are nearer are a mistake in a file."""
SAME_SITE = 0.5
"""A, the root mean square distance of what moves: hollow and bridge of Cu(111) are 0.74 A apart."""
_SAME_PLACE = 1e-3  # A, of held atoms


def match(first: Atoms, second: Atoms) -> bool:
    """Whether the same atoms are bonded, by their numbers.

    Where atoms are held, bonds do not tell the sites of a surface apart: what moves has to be bonded alike
    within itself, and to be at the same site (`SAME_SITE`).
    """
    free = free_coordinates(first)
    if free.all:
        return bool((bonds(first) == bonds(second)).all())
    moving = np.ix_(free.atoms, free.atoms)
    alike = bool((bonds(first)[moving] == bonds(second)[moving]).all())
    return alike and rmsd(first, second) < SAME_SITE


def same_atoms(reactant: Atoms, product: Atoms) -> None:
    """Raise DataError unless both are molecules of the same atoms in the same order, and differ.

    Where atoms are held, as those of a surface, both hold the same coordinates, at the same place, and have
    the same cell.
    """
    for name, atoms in (("reactant", reactant), ("product", product)):
        _check(name, atoms)
    r, p = reactant.get_chemical_formula(), product.get_chemical_formula()
    if r != p:
        raise DataError(f"the reactant is {r} and the product {p}; a reaction keeps its atoms")
    different = np.flatnonzero(reactant.numbers != product.numbers)
    if different.size:
        k = int(different[0])
        a, b = chemical_symbols[reactant.numbers[k]], chemical_symbols[product.numbers[k]]
        raise DataError(
            f"atom {k} is {a} in the reactant and {b} in the product; both need the same order of atoms "
            "(the atom-mapped one, as a path moves each atom to its partner)"
        )
    _same_surface(reactant, product)
    if match(reactant, product) and np.allclose(reactant.positions, product.positions, atol=1e-3):
        raise DataError("the reactant and the product are the same geometry")


def with_electrons(atoms: Atoms, calculator: Any) -> Atoms:
    """A copy that states the electrons for which a calculator computes it: images of a path keep `info`.

    Calculators that cannot tell leave it as it is.
    """
    found, tell = atoms.copy(), getattr(calculator, "provenance", None)
    if tell is not None:
        with suppress(HintError):  # of electrons that cannot be: it is told when they are computed
            state_electrons(found, tell(found))
    return found


def _same_surface(reactant: Atoms, product: Atoms) -> None:
    free = [free_coordinates(end) for end in (reactant, product)]
    if not (free[0].mask == free[1].mask).all():
        told = " and ".join(held_atoms(end) or "none" for end in (reactant, product))
        raise DataError(f"the reactant and the product hold different coordinates ({told}); wanted the same")
    periodic = bool(reactant.pbc.any())
    if (reactant.pbc != product.pbc).any() or (
        periodic and not np.allclose(reactant.cell, product.cell, atol=1e-4)
    ):
        raise DataError("the reactant and the product are in different cells; wanted the same for both")
    apart = product.positions - reactant.positions
    if periodic:
        apart = find_mic(apart, reactant.cell, reactant.pbc)[0]
    off = float(np.abs(np.where(free[0].mask, 0.0, apart)).max())
    if off > _SAME_PLACE:
        raise DataError(
            f"a held atom is {off:.3f} A off in the product; wanted held atoms at the same place in both, "
            "since a path does not move them"
        )


def _check(name: str, atoms: Atoms) -> None:
    if len(atoms) < 2:
        raise DataError(f"the {name} has {len(atoms)} atoms; a reaction needs at least two")
    if told := immovable(atoms, f"the {name}"):
        raise DataError(told)
    if not np.isfinite(atoms.positions).all():
        raise DataError(f"the {name} has a position that is NaN or infinite")
    distances = atoms.get_all_distances(mic=bool(atoms.pbc.any())) + np.diag(np.full(len(atoms), np.inf))
    if distances.min() < SHORTEST:
        i, j = np.unravel_index(distances.argmin(), distances.shape)
        raise DataError(f"atoms {i} and {j} of the {name} are {distances.min():.2f} A apart")
