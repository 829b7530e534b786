"""What a structure says about its electrons: its total charge and its multiplicity, in `atoms.info`.

| key | meaning | who writes it |
|---|---|---|
| `charge`, `total_charge` | total charge, e | HINT and MACE's calculator; MACE's training data |
| `multiplicity`, `spin`, `total_spin` | 2S + 1 | people; HINT and MACE's calculator; MACE's training data |

MACE's `total_spin` is 2S + 1: it is 1 where nobody says, and PolarMACE takes `total_spin - 1` unpaired
electrons. Everything in HINT that asks for charge or spin asks here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.errors import DataError

CHARGE_KEYS = ("charge", "total_charge")
MULTIPLICITY_KEYS = ("multiplicity", "spin", "total_spin")
ELECTRON_KEYS = CHARGE_KEYS + MULTIPLICITY_KEYS


def stated_electrons(info: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(charge in e, multiplicity 2S + 1) that `atoms.info` states; None for what it does not say.

    Raises:
        DataError: a value is no whole number, or two keys contradict each other.
    """
    _refuse_other_cases(info)
    return _stated(info, CHARGE_KEYS, "charge"), _stated(info, MULTIPLICITY_KEYS, "multiplicity (2S + 1)")


def lowest_multiplicity(atoms: Atoms, charge: int) -> int:
    """2S + 1 of one unpaired electron where their number is odd, of none where it is even."""
    return 1 + (int(atoms.numbers.sum()) - charge) % 2


def refuse_unknown_electrons(atoms: Atoms, name: str, knows: Sequence[str] = ()) -> None:
    """What a trained potential must not be asked for: it would answer with the energy of other electrons.

    A potential sees elements and positions alone: its molecules are neutral and of the lowest multiplicity.

    Args:
        atoms: the structure.
        name: of the structure, for the error.
        knows: "charge", "multiplicity": what the potential takes into account.

    Raises:
        DataError: the structure states another charge or multiplicity, or contradicts itself.
    """
    if not any(str(key).lower() in ELECTRON_KEYS for key in atoms.info):
        return
    try:
        charge, multiplicity = stated_electrons(atoms.info)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    if "charge" not in knows and charge:
        raise DataError(
            f"{name} has charge {charge} in its info, and the model does not know charges: it would give the "
            "energy of the neutral. Take an engine, as in --engine gfn2-xtb. If the model was trained on "
            f"ions of this charge alone, remove {_named(atoms.info, CHARGE_KEYS)} from the frames"
        )
    lowest = lowest_multiplicity(atoms, charge or 0)
    if "multiplicity" not in knows and multiplicity not in (None, lowest):
        raise DataError(
            f"{name} has multiplicity {multiplicity} in its info, and the model does not know spins: it "
            f"stands for the lowest multiplicity, {lowest}. Take an engine, as in --engine gfn2-xtb, or "
            f"remove {_named(atoms.info, MULTIPLICITY_KEYS)} from the frames"
        )


def refuse_electrons_of_a_cell(atoms: Atoms, name: str) -> None:
    """A cell that is repeated must be neutral and without a multiplicity: its supercell would have others.

    Raises:
        DataError: it states a charge, or a multiplicity other than 1.
    """
    try:
        charge, multiplicity = stated_electrons(atoms.info)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    if charge or multiplicity not in (None, 1):
        keys = _named(atoms.info, ELECTRON_KEYS)
        raise DataError(
            f"{name}: has a charge or spin ({keys}), which a supercell would change. Remove it first"
        )


def whole_number(value: Any, what: str) -> int:
    """A whole number.

    Raises:
        DataError: it is none; says what was not.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number) or number != round(number):
        shown = value.item() if isinstance(value, np.generic) else value
        raise DataError(f"{what} is {shown!r}; wanted a whole number")
    return int(number)


def _refuse_other_cases(info: Mapping[str, Any]) -> None:
    """`Charge=1` is no key, and would be passed over as if the structure were neutral."""
    for name in info:
        if isinstance(name, str) and name not in ELECTRON_KEYS and name.lower() in ELECTRON_KEYS:
            raise DataError(f"{name!r} is not read; wanted {name.lower()!r}. Rename it, or remove it")


def _given(info: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    # true is what ASE makes of a bare word in a comment line, as in "charge 0, multiplicity 1"
    return {key: info[key] for key in keys if key in info and info[key] is not True}


def _stated(info: Mapping[str, Any], keys: Sequence[str], what: str) -> int | None:
    values = {key: whole_number(value, key) for key, value in _given(info, keys).items()}
    if len(set(values.values())) > 1:
        said = " and ".join(f"{key}={value}" for key, value in values.items())
        raise DataError(f"{said} contradict each other; each of them is the {what}. Keep the right one")
    return next(iter(values.values()), None)


def _named(info: Mapping[str, Any], keys: Sequence[str]) -> str:
    return " and ".join(f"'{key}'" for key in _given(info, keys))
