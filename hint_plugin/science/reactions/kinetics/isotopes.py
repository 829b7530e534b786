"""Isotopes of atoms: names and masses, and which atoms an isotopologue has them at.

Masses (amu): AME2020, M. Wang, W. J. Huang, F. G. Kondev, G. Audi, S. Naimi, Chin. Phys. C 45, 030003 (2021).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.errors import OptionsError

MASSES: Mapping[str, Mapping[int, float]] = {
    "H": {1: 1.00782503, 2: 2.01410178, 3: 3.01604928},
    "He": {4: 4.00260325, 3: 3.01602932},
    "Li": {7: 7.01600343, 6: 6.01512289},
    "B": {11: 11.00930517, 10: 10.01293686},
    "C": {12: 12.0, 13: 13.00335484, 14: 14.00324199},
    "N": {14: 14.00307400, 15: 15.00010890},
    "O": {16: 15.99491462, 17: 16.99913176, 18: 17.99915961},
    "F": {19: 18.99840316},
    "Si": {28: 27.97692653, 29: 28.97649466, 30: 29.97377014},
    "P": {31: 30.97376200},
    "S": {32: 31.97207117, 33: 32.97145891, 34: 33.96786701, 36: 35.96708069},
    "Cl": {35: 34.96885269, 37: 36.96590257},
    "Br": {79: 78.91833760, 81: 80.91628820},
}
"""By element and mass number; the first is the most abundant one."""
_NAMES = {"D": ("H", 2), "T": ("H", 3)}


@dataclass(frozen=True)
class Isotopologue:
    """Atoms with other masses.

    Attributes:
        name: as it was given: "0=D", "4,5=13C 0=D", "H=D".
        masses: amu, by the number of the atom, from 0.
    """

    name: str
    masses: Mapping[int, float]

    @classmethod
    def parse(cls, text: str, atoms: Atoms) -> Isotopologue:
        """`ATOMS=ISOTOPE`, several with spaces between: ATOMS are numbers from 0 with commas, or an element,
        for all of its atoms; ISOTOPE is D, T, 13C, 18O, ... or a mass in amu.

        Raises:
            OptionsError: of another form; no such atom or isotope; another element's; an atom twice.
        """
        masses: dict[int, float] = {}
        for part in text.split():
            match = re.fullmatch(r"([A-Z][a-z]?|\d+(?:,\d+)*)=([A-Za-z0-9.]+)", part)
            if match is None:
                raise OptionsError(
                    f"got the isotopes {text!r}; wanted ATOMS=ISOTOPE, several with spaces between, as "
                    "in '0=D', '4,5=13C', 'H=D' or '3=2.014' (atoms are counted from 0)"
                )
            for number in _atoms_of(match[1], atoms, text):
                if number in masses:
                    raise OptionsError(f"the isotopes {text!r} name atom {number} twice")
                masses[number] = _mass_of(match[2], atoms.symbols[number], text)
        if not masses:
            raise OptionsError("got no isotopes; wanted ATOMS=ISOTOPE, as in '0=D'")
        return cls(text, masses)

    def of(self, light: NDArray) -> NDArray:
        """Masses [N], amu, with those of the isotopes in place of `light`."""
        found = np.array(light, dtype=float)
        for number, mass in self.masses.items():
            found[number] = mass
        return found


def principal_masses(atoms: Atoms) -> NDArray:
    """[N], amu: of the most abundant isotopes, where atoms state no masses of their own; of elements that are
    not in the table the average."""
    if atoms.has("masses"):
        return np.asarray(atoms.get_masses())
    known = {symbol: next(iter(table.values())) for symbol, table in MASSES.items()}
    return np.array([known.get(s, m) for s, m in zip(atoms.symbols, atoms.get_masses(), strict=True)])


def _atoms_of(text: str, atoms: Atoms, whole: str) -> list[int]:
    if text[0].isalpha():
        found = [k for k, symbol in enumerate(atoms.symbols) if symbol == text]
        if not found:
            raise OptionsError(f"the isotopes {whole!r}: {atoms.symbols} has no {text}")
        return found
    found = [int(number) for number in text.split(",")]
    if max(found) >= len(atoms):
        raise OptionsError(
            f"the isotopes {whole!r}: {atoms.symbols} has no atom {max(found)}; its atoms are counted from 0 "
            f"to {len(atoms) - 1}"
        )
    return found


def _mass_of(text: str, symbol: str, whole: str) -> float:
    if re.fullmatch(r"\d*\.?\d+|\d+\.", text):
        if (mass := float(text)) > 0:
            return mass
        raise OptionsError(f"the isotopes {whole!r}: a mass of {text} amu; wanted one above 0")
    match = re.fullmatch(r"(\d+)([A-Z][a-z]?)", text)
    element, number = _NAMES.get(text, (match[2], int(match[1])) if match else ("", 0))
    table = MASSES.get(element, {})
    if number not in table:
        known = ", ".join(f"{n}{symbol}" for n in MASSES.get(symbol, {}))
        what = f"of {symbol} these are known: {known}" if known else f"of {symbol} none is in the table"
        raise OptionsError(f"the isotopes {whole!r}: {text} is not known ({what}). Give its mass in amu")
    if element != symbol:
        raise OptionsError(f"the isotopes {whole!r}: {text} in the place of an atom of {symbol}")
    return table[number]
