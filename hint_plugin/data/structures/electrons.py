"""What a structure says about its electrons: its total charge and its multiplicity, in `atoms.info`.

| key | meaning | who writes it |
|---|---|---|
| `charge`, `total_charge` | total charge, e | HINT and MACE's calculator; MACE's training data |
| `multiplicity`, `spin`, `total_spin` | 2S + 1 | people; HINT and MACE's calculator; MACE's training data |

| `hint_charge`, `hint_multiplicity` | what labels were computed for | labels; count where no key above does |

Other spellings (`net_charge=-1`, `mult=3`) and bare words (`charge -1`) are refused where they would change
the electrons, since nothing reads them.

MACE's `total_spin` is 2S + 1: it is 1 where nobody says, and PolarMACE takes `total_spin - 1` unpaired
electrons. Everything in HINT that asks for charge or spin asks here.

Two arrays of ASE hold a number for each atom: `initial_charges` and `initial_magmoms`. For ASE's calculators
their sums are the total charge and the number of unpaired electrons; elsewhere they are partial charges of a
force field, and moments to start from. So they state nothing here, but a sum that contradicts what would be
computed is an error (`refuse_other_sums`) until a key of the table above states the electrons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.errors import DataError

CHARGE_KEYS = ("charge", "total_charge")
MULTIPLICITY_KEYS = ("multiplicity", "spin", "total_spin")
ELECTRON_KEYS = CHARGE_KEYS + MULTIPLICITY_KEYS
RECORDED_KEYS = ("hint_charge", "hint_multiplicity")
"""What labels of a frame were computed for."""
ELECTRON_INFO = ELECTRON_KEYS + RECORDED_KEYS
"""All keys of `info` that tell one number of electrons from another."""
_NEAR_CHARGE = "tot_charge net_charge molecular_charge molecule_charge mol_charge system_charge charge_total"
_NEAR_SPIN = "mult tot_spin net_spin spin_multiplicity total_multiplicity molecular_multiplicity"
_KINDS = {
    **dict.fromkeys((*CHARGE_KEYS, *_NEAR_CHARGE.split()), "charge"),
    **dict.fromkeys((*MULTIPLICITY_KEYS, *_NEAR_SPIN.split()), "multiplicity"),
}
"""Names that speak of charge or multiplicity, whether they are read or not."""
_HARMLESS = {"charge": (0.0,), "multiplicity": (1.0, 2.0)}
"""Values that are taken anyhow: neutral; of 1 and 2 a number of electrons allows the lower one alone."""
CHARGES, MOMENTS = "initial_charges", "initial_magmoms"
"""Arrays of ASE, a number for each atom."""


def stated_electrons(info: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(charge in e, multiplicity 2S + 1) that `atoms.info` states; None for what it does not say.

    Raises:
        DataError: a value is no whole number, or two keys contradict each other.
    """
    _refuse_other_names(info)
    return _stated(info, CHARGE_KEYS, "charge"), _stated(info, MULTIPLICITY_KEYS, "multiplicity (2S + 1)")


def recorded_electrons(info: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(charge in e, multiplicity) that the labels of a frame were computed for; None where nothing tells.

    Raises:
        DataError: a value is no whole number.
    """
    charge, multiplicity = (
        None if info.get(key) is None else whole_number(info[key], key) for key in RECORDED_KEYS
    )
    return charge, multiplicity


def known_electrons(info: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """`stated_electrons`, and where nothing is stated, what the labels were computed for.

    Raises:
        DataError: as `stated_electrons`.
    """
    charge, multiplicity = stated_electrons(info)
    recorded, unpaired = recorded_electrons(info)
    if multiplicity is None and charge in (None, recorded):
        multiplicity = unpaired
    return (recorded if charge is None else charge), multiplicity


def state_electrons(atoms: Atoms, computed: Mapping[str, Any]) -> None:
    """Write into `info` for which electrons a structure was computed, where it does not state them.

    What comes next with the structure would take it for neutral and of the lowest multiplicity: only what
    differs from this is written, as `charge` and `spin`.

    Args:
        atoms: changed in place.
        computed: what an engine tells (`Engine.of_structure`): `charge`, `multiplicity`, where it knows them.

    Raises:
        DataError: the structure contradicts itself.
    """
    stated, spin = stated_electrons(atoms.info)
    charge, multiplicity = computed.get("charge"), computed.get("multiplicity")
    if charge and stated is None:
        atoms.info["charge"] = int(charge)
    known = stated if charge is None else int(charge)
    if multiplicity is not None and spin is None and multiplicity != lowest_multiplicity(atoms, known or 0):
        atoms.info["spin"] = int(multiplicity)


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
    says = any(_bare_name(key) in _KINDS or key in RECORDED_KEYS for key in atoms.info)
    if not says and not any(array in atoms.arrays for array in (CHARGES, MOMENTS)):
        return
    try:
        charge, multiplicity = known_electrons(atoms.info)
        assumed = multiplicity or lowest_multiplicity(atoms, charge or 0)
        # moments of a crystal are no multiplicity, and what models make of them is their own affair
        refuse_other_sums(atoms, charge or 0, None if atoms.pbc.any() else assumed, has_options=False)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    charges, spins = (*CHARGE_KEYS, RECORDED_KEYS[0]), (*MULTIPLICITY_KEYS, RECORDED_KEYS[1])
    if "charge" not in knows and charge:
        raise DataError(
            f"{name} has charge {charge} in its info, and the model does not know charges: it would give the "
            "energy of the neutral. Take an engine, as in --engine gfn2-xtb. If the model was trained on "
            f"ions of this charge alone, remove {_named(atoms.info, charges)} from the frames"
        )
    lowest = lowest_multiplicity(atoms, charge or 0)
    if "multiplicity" not in knows and multiplicity not in (None, lowest):
        raise DataError(
            f"{name} has multiplicity {multiplicity} in its info, and the model does not know spins: it "
            f"stands for the lowest multiplicity, {lowest}. Take an engine, as in --engine gfn2-xtb, or "
            f"remove {_named(atoms.info, spins)} from the frames"
        )


def refuse_electrons_of_a_cell(atoms: Atoms, name: str) -> None:
    """A cell that is repeated must be neutral and without a multiplicity: its supercell would have others.

    Moments of atoms are repeated with them.

    Raises:
        DataError: it states a charge, or a multiplicity other than 1, or the charges of its atoms have a sum.
    """
    try:
        charge, multiplicity = stated_electrons(atoms.info)
        total = atom_sums(atoms)[0]
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    if charge is None and total is not None and round(total):
        raise DataError(
            f"{name}: {CHARGES} of the atoms add up to {total:+.3g}, a charge that a supercell would change. "
            "If they are no shares of the total charge, write charge=0 into its info; else remove them"
        )
    if charge or multiplicity not in (None, 1):
        keys = _named(atoms.info, ELECTRON_KEYS)
        raise DataError(
            f"{name}: has a charge or spin ({keys}), which a supercell would change. Remove it first"
        )


def atom_sums(atoms: Atoms) -> tuple[float | None, float | None]:
    """(total charge in e, unpaired electrons) by the sums of `initial_charges` and `initial_magmoms`.

    None where the array is missing or zero everywhere, which is what programs fill in. Of moments that are
    vectors the length of their sum counts.

    Raises:
        DataError: NaN or infinity.
    """
    sums: list[float | None] = []
    for name in (CHARGES, MOMENTS):
        values = np.asarray(atoms.arrays.get(name, 0.0), dtype=float)
        if not np.isfinite(values).all():
            raise DataError(f"{name} holds NaN or infinity. Correct the array, or remove it")
        total = values.sum(axis=0) if values.ndim == 2 else values.sum()
        sums.append(None if not values.any() else float(np.linalg.norm(total) if values.ndim == 2 else total))
    return sums[0], sums[1]


def refuse_other_sums(
    atoms: Atoms, charge: int, multiplicity: int | None = None, *, has_options: bool = True
) -> None:
    """Refuse atoms whose charges or moments add up to other electrons than those that would be computed.

    Where `info` states the charge (the multiplicity), this is the word of a person, and the charges (moments)
    of the atoms are not looked at.

    Args:
        atoms: the structure.
        charge: that would be computed, e.
        multiplicity: that would be computed; None where the moments themselves are used, or do not matter.
        has_options: `--charge` and `--spin` would be taken as well, which the error then says.

    Raises:
        DataError: the whole numbers nearest to the sums contradict them; says how to state the electrons.
    """
    for name, text in _other_sums(atoms, charge, multiplicity, has_options):
        if not _is_stated(atoms.info, name):
            raise DataError(text)


def remarks_on_electrons(atoms: Atoms) -> list[str]:
    """What is odd about the electrons that a structure states, for a look at a file: keys that contradict
    each other or cannot be read, and sums over its atoms that say something else."""
    try:
        charge, multiplicity = stated_electrons(atoms.info)
        assumed = multiplicity or lowest_multiplicity(atoms, charge or 0)
        found = _other_sums(atoms, charge or 0, None if atoms.pbc.any() else assumed)
    except DataError as error:
        return [str(error)]
    return [_counts(atoms.info, name) or text for name, text in found]


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


def _other_sums(
    atoms: Atoms, charge: int, multiplicity: int | None, has_options: bool = True
) -> list[tuple[str, str]]:
    """(array, what its sum contradicts and what to do) for each of the two arrays that does."""
    total, moment = atom_sums(atoms)
    found = []
    if total is not None and round(total) != charge:
        said = (
            f"{CHARGES} of the atoms add up to {total:+.3g}, and charge {charge} would be computed, since the"
        )
        way_out = _way_out("charge", round(total), charge, has_options)
        found.append((CHARGES, f"{said} structure states no charge. {way_out}"))
    if multiplicity is not None and moment is not None and abs(round(moment)) != multiplicity - 1:
        said = f"{MOMENTS} of the atoms add up to {moment:.3g} unpaired electrons, and multiplicity "
        wanted, electrons = abs(round(moment)) + 1, int(atoms.numbers.sum()) - charge
        if (electrons + wanted) % 2:
            way_out = _way_out("spin", wanted, multiplicity, has_options)
        else:
            way_out = f"{electrons} electrons cannot have that many unpaired: write spin={multiplicity}"
        found.append(
            (MOMENTS, f"{said}{multiplicity} would be computed, since the structure states none. {way_out}")
        )
    return found


def _way_out(key: str, summed: int, taken: int, has_options: bool) -> str:
    return (
        f"Write {key}={summed} into its info (in the comment line of an xyz file)"
        + (f", or give --{key} {summed}" if has_options else "")
        + f"; if these numbers mean something else, write {key}={taken}"
    )


def _is_stated(info: Mapping[str, Any], array: str) -> bool:
    return bool(_given(info, CHARGE_KEYS if array == CHARGES else MULTIPLICITY_KEYS))


def _counts(info: Mapping[str, Any], array: str) -> str:
    """That a key comes before the array; "" where no key states it."""
    keys = CHARGE_KEYS if array == CHARGES else MULTIPLICITY_KEYS
    if not _is_stated(info, array):
        return ""
    said = " and ".join(f"{key}={value}" for key, value in _given(info, keys).items())
    return f"{array} of the atoms add up to something else than {said}, which is what counts"


def _refuse_other_names(info: Mapping[str, Any]) -> None:
    """`Charge=1`, `net_charge=-1` and the words `charge -1` are not read, and would be passed over as if the
    structure were neutral. What says no more than what is taken anyhow is let through."""
    words = list(info)
    for place, key in enumerate(words):
        name, value = _bare_name(key), info[key]
        kind = _KINDS.get(name)
        if kind is None or (key in ELECTRON_KEYS and not _is_flag(value)):
            continue
        if _is_flag(value):
            if not value and key in ELECTRON_KEYS:
                raise DataError(f"{key} is {value!r}; wanted a whole number")
            # a bare word of a comment line: ASE makes a key of each, in their order
            after = words[place + 1] if value and place + 1 < len(words) else ""
            number, said = _number(after), f"the words '{key} {after}' are not read"
            if number is None:
                continue
        elif name in ELECTRON_KEYS:
            raise DataError(f"{key!r} is not read; wanted {name!r}. Rename it, or remove it")
        else:
            number, said = _number(value), f"'{key}={value}' is not read"
        if not _is_taken_anyhow(number, info, kind):
            wanted = "a whole number" if number is None else f"{number:g}"
            raise DataError(
                f"{said}; wanted {kind}={wanted} in its info (the comment line of an xyz file). Correct it, "
                "or remove it"
            )


def _is_taken_anyhow(number: float | None, info: Mapping[str, Any], kind: str) -> bool:
    keys = CHARGE_KEYS if kind == "charge" else MULTIPLICITY_KEYS
    stated = [_number(value) for value in _given(info, keys).values()]
    return number is not None and (number in stated if stated else number in _HARMLESS[kind])


def _bare_name(key: Any) -> str:
    """ "net_charge" of "Net charge:"."""
    return re.sub(r"[^a-z]+", "_", str(key).lower()).strip("_")


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _number(value: Any) -> float | None:
    try:
        found = float(str(value).strip(" ,;"))
    except ValueError:
        return None
    return found if np.isfinite(found) else None


def _given(info: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    # true is what ASE makes of a bare word in a comment line, as in "charge 0, multiplicity 1"
    return {key: info[key] for key in keys if key in info and not _is_flag(info[key])}


def _stated(info: Mapping[str, Any], keys: Sequence[str], what: str) -> int | None:
    values = {key: whole_number(value, key) for key, value in _given(info, keys).items()}
    if len(set(values.values())) > 1:
        said = " and ".join(f"{key}={value}" for key, value in values.items())
        raise DataError(f"{said} contradict each other; each of them is the {what}. Keep the right one")
    return next(iter(values.values()), None)


def _named(info: Mapping[str, Any], keys: Sequence[str]) -> str:
    return " and ".join(f"'{key}'" for key in _given(info, keys))
