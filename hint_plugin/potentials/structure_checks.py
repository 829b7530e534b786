"""What engines ask of a structure: sane positions, charge and multiplicity, chosen atoms."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.constraints import free_coordinates
from hint_plugin.data.structures.electrons import (
    lowest_multiplicity,
    recorded_electrons,
    refuse_other_sums,
    stated_electrons,
    whole_number,
)
from hint_plugin.errors import DataError, EngineError

FREE = "free"
"""The selection of the atoms that no constraint holds."""


def check_structure(atoms: Atoms) -> None:
    """Raise EngineError for no atoms, or positions that are not finite."""
    if len(atoms) == 0:
        raise EngineError("a structure without atoms", "geometry")
    if not np.isfinite(atoms.positions).all():
        raise EngineError("a position is NaN or infinite", "geometry")


def charge_and_multiplicity(
    atoms: Atoms, charge: int, multiplicity: int | None, *, uses_moments: bool = False
) -> tuple[int, int]:
    """Total charge (e) and multiplicity 2S + 1 of a structure.

    What `atoms.info` states (`electrons`: charge, total_charge; multiplicity, spin, total_spin) comes before
    the arguments, and these before what its labels were computed for (`hint_charge`, `hint_multiplicity`);
    the multiplicity is the lowest that the number of electrons allows if nobody says.

    Args:
        atoms: the structure.
        charge: of structures that state none.
        multiplicity: the same.
        uses_moments: the program starts from `initial_magmoms` and finds the multiplicity itself.

    Raises:
        EngineError: not whole numbers, keys that contradict each other, no electrons, a multiplicity that
            they cannot have, or charges or moments of the atoms that add up to others (`refuse_other_sums`).
    """
    try:
        stated_charge, stated = stated_electrons(atoms.info)
        recorded = (None, None) if uses_moments else recorded_electrons(atoms.info)
        option = whole_number(charge, "charge") or recorded[0] or 0
        charge = option if stated_charge is None else stated_charge
        given = multiplicity if stated is None else stated
        if given is None and charge == (recorded[0] or 0):
            given = recorded[1]
        wanted = None if given is None else whole_number(given, "multiplicity (2S + 1)")
    except DataError as error:
        raise EngineError(str(error), "electrons") from error
    electrons = int(atoms.numbers.sum()) - charge
    if electrons < 1:
        raise EngineError(f"charge {charge} leaves {electrons} electrons", "electrons")
    found = lowest_multiplicity(atoms, charge) if wanted is None else wanted
    if found < 1 or found > electrons + 1 or (electrons + found) % 2 == 0:
        raise EngineError(
            f"{electrons} electrons (charge {charge}) cannot have multiplicity {found}; wanted an "
            f"{'even' if electrons % 2 else 'odd'} number. Set info 'charge' and 'spin' (2S + 1)",
            "electrons",
        )
    try:
        refuse_other_sums(atoms, charge, None if uses_moments else found)
    except DataError as error:
        raise EngineError(str(error), "electrons") from error
    return charge, found


def moved(atoms: Atoms, positions: NDArray) -> Atoms:
    """A copy with other positions."""
    found = atoms.copy()
    found.positions = positions
    return found


def select_atoms(atoms: Atoms, selection: str) -> NDArray[np.int64]:
    """The atoms that a selection names, ascending.

    | selection | atoms |
    |---|---|
    | `0-3,7` | indices, ranges with both ends |
    | `tag=1`, `tag=1,2` | those whose tag (or any whole-number array) has the value |
    | `symbol=H,O` | elements |
    | `KEY` | those where the boolean array `atoms.arrays[KEY]` is true |
    | `free` | those that FixAtoms and FixCartesian (column `move_mask`) let move, if no array has this name |

    Raises:
        EngineError: it cannot be read, reaches beyond the structure, or selects nothing; `free` of a
            structure of which nothing is held, or with other constraints.
    """
    if selection.strip() == FREE and FREE not in atoms.arrays:
        return _free_atoms(atoms)
    n, (key, equals, values) = len(atoms), selection.partition("=")
    key = key.strip()
    if equals:
        mask = _by_value(atoms, key, [value.strip() for value in values.split(",")], selection)
    elif set(selection) <= set("0123456789-, "):
        mask = _by_index(n, selection)
    else:
        found = atoms.arrays.get(key)
        if found is None or found.dtype != bool or found.shape != (n,):
            raise EngineError(
                f"atoms '{selection}': the structure has no boolean array of that name; wanted indices "
                "(0-3,7), tag=1, symbol=H, or the name of a boolean array",
                "selection",
            )
        mask = found
    if not mask.any():
        raise EngineError(f"atoms '{selection}' selects none of {n} atoms", "selection")
    return np.flatnonzero(mask)


def _free_atoms(atoms: Atoms) -> NDArray[np.int64]:
    try:
        free = free_coordinates(atoms)
    except DataError as error:
        raise EngineError(f"atoms '{FREE}': {error}", "selection") from error
    if free.all or free.none:
        held = "all" if free.none else "none"
        raise EngineError(
            f"atoms '{FREE}': {held} of {len(atoms)} atoms are held; wanted a structure with FixAtoms or "
            "FixCartesian (the column move_mask of an extxyz file) of which some move. For rows of all "
            "atoms: a full Hessian",
            "selection",
        )
    return free.atoms


def _by_index(n: int, selection: str) -> NDArray:
    mask = np.zeros(n, dtype=bool)
    for part in selection.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            start, stop = int(first), int(last if dash else first)
        except ValueError:
            raise EngineError(f"atoms '{selection}': '{part}' is no index or range", "selection") from None
        if not 0 <= start <= stop < n:
            raise EngineError(f"atoms '{selection}': {part} is not within 0-{n - 1}", "selection")
        mask[start : stop + 1] = True
    return mask


def _by_value(atoms: Atoms, key: str, values: list[str], selection: str) -> NDArray:
    if key in ("symbol", "symbols"):
        return np.isin(np.array(atoms.get_chemical_symbols()), values)
    array = atoms.get_tags() if key in ("tag", "tags") else atoms.arrays.get(key)
    if array is None or array.ndim != 1:
        raise EngineError(f"atoms '{selection}': the structure has no array '{key}'", "selection")
    return np.isin(array.astype(str), values)
