"""Units of energies: everything inside is in eV, temperatures in K."""

from __future__ import annotations

import re

from ase import units

from hint_plugin.errors import OptionsError
from hint_plugin.settings import nearest

EV = {
    "eV": 1.0,
    "meV": 1e-3,
    "Ha": float(units.Hartree),
    "Ry": float(units.Rydberg),
    "THz": float(units._hplanck / units._e * 1e12),
    "cm-1": float(units.invcm),
    "K": float(units.kB),
}
"""eV in one of each. THz counts cycles, not radians."""
OTHER_NAMES = {
    "cm^-1": "cm-1",
    "1/cm": "cm-1",
    "cm**-1": "cm-1",
    "cm\u207b\u00b9": "cm-1",
    "hartree": "Ha",
    "eh": "Ha",
    "rydberg": "Ry",
    "kelvin": "K",
}
"""In small letters."""


def unit_in_ev(name: str) -> float:
    """eV in one unit: of `EV`, or another spelling of it (`OTHER_NAMES`); small and capital letters are one.

    Raises:
        OptionsError: none of these; with the one that is meant, if it is near.
    """
    names = {known.lower(): known for known in EV} | OTHER_NAMES
    found = names.get(name.strip().lower())
    if found is not None:
        return EV[found]
    near = nearest(name.lower(), names)
    guess = "" if near is None else f"; did you mean {names[near]}?"
    raise OptionsError(f"got the unit {name!r}; wanted one of {', '.join(EV)}{guess}")


def parse_energy(text: str, scales: dict[str, float]) -> float:
    """`10wmax`, `5 w2`, `500meV` -> eV.

    Args:
        scales: names of frequencies of a spectrum (`wmax`, ...) in eV, known besides the units.

    Raises:
        OptionsError: not a positive number with a unit.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*\*?\s*([A-Za-z][\w^-]*)\s*", text)
    known = {**{name.lower(): value for name, value in EV.items()}, **scales}
    known |= {name: EV[unit] for name, unit in OTHER_NAMES.items()}
    if match is None or match[2].lower() not in known or not float(match[1]) > 0:
        raise OptionsError(
            f"got {text!r}; wanted a positive number and one of {', '.join([*scales, *EV])}, as in "
            f"10{next(iter(scales), 'eV')}"
        )
    return float(match[1]) * known[match[2].lower()]
