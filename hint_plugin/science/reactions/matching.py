"""Whether two geometries are the same molecule: by their bonds, atom by atom."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from hint_plugin.data.structures.bonds import bonds
from hint_plugin.data.structures.constraints import constraints_of
from hint_plugin.data.structures.electrons import state_electrons
from hint_plugin.errors import DataError, HintError

SHORTEST = 0.3
"""A: atoms that are nearer are a mistake in a file."""


def match(first: Atoms, second: Atoms) -> bool:
    """Whether the same atoms are bonded, by their numbers."""
    return bool((bonds(first) == bonds(second)).all())


def same_atoms(reactant: Atoms, product: Atoms) -> None:
    """Raise DataError unless both are molecules of the same atoms in the same order, and differ."""
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


def _check(name: str, atoms: Atoms) -> None:
    if len(atoms) < 2:
        raise DataError(f"the {name} has {len(atoms)} atoms; a reaction needs at least two")
    if atoms.pbc.any():
        raise DataError(f"the {name} is periodic; this is for molecules: set pbc to all false")
    if held := constraints_of(atoms):
        raise DataError(f"the {name} has {held}")
    if not np.isfinite(atoms.positions).all():
        raise DataError(f"the {name} has a position that is NaN or infinite")
    distances = atoms.get_all_distances() + np.diag(np.full(len(atoms), np.inf))
    if distances.min() < SHORTEST:
        i, j = np.unravel_index(distances.argmin(), distances.shape)
        raise DataError(f"atoms {i} and {j} of the {name} are {distances.min():.2f} A apart")
