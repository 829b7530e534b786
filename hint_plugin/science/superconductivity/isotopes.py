"""Isotopes: other masses, and the exponent alpha.

    Tc ~ M^-alpha,   alpha = -ln(Tc'/Tc) / ln(M'/M)

1/2 for a harmonic crystal of one element without Coulomb repulsion. Harmonically lambda is independent of all
masses, so alpha < 0 (an inverse isotope effect) can only come from anharmonic force constants that differ
between the isotopes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from hint_plugin.errors import OptionsError
from hint_plugin.science.same_structure import MASS


@dataclass(frozen=True)
class Isotope:
    """A mass in place of an element's, with the force constants of that isotope where they differ.

    Attributes:
        symbol: the element.
        mass: amu.
        force_constants: dynamical-matrix files as for `read_force_constants`; None: those of the main
            isotope.
        others: the same for the second, third, ... of several sources.
    """

    symbol: str
    mass: float
    force_constants: Path | None = None
    others: tuple[Path, ...] = ()

    @classmethod
    def parse(cls, text: str, sources: int = 1) -> Isotope:
        """`H=2.014` or `H=2.014,FILE`; of several sources `H=2.014,FILE,FILE,...`, one for each.

        Raises:
            OptionsError: of another form; no element; a mass not > 0; not as many files as sources.
        """
        match = re.fullmatch(r"\s*([A-Z][a-z]?)\s*=\s*([0-9.]+)\s*(?:,\s*(.+?))?\s*", text)
        if match is None or match[1] not in chemical_symbols or not _positive(match[2]):
            raise OptionsError(
                f"got the isotope {text!r}; wanted ELEMENT=MASS, or ELEMENT=MASS,DYN: H=2.014,deuteride.dyn0"
            )
        if match[3] is None:
            return cls(match[1], float(match[2]))
        files = [match[3]] if sources == 1 else [part.strip() for part in match[3].split(",")]
        if len(files) != sources or not all(files):
            raise OptionsError(
                f"got the isotope {text!r}, with {len(files)} file{'s' if len(files) > 1 else ''} for "
                f"{sources} of --dyn; wanted one for each, in their order, with commas between them, or none"
            )
        first, *others = map(Path, files)
        return cls(match[1], float(match[2]), first, tuple(others))

    def at(self, source: int) -> Isotope:
        """This isotope for one of several sources, from 0: its mass, with the files of that one."""
        if self.force_constants is None:
            return self
        return replace(self, force_constants=(self.force_constants, *self.others)[source], others=())

    def masses(self, atoms: Atoms) -> NDArray:
        """[n], amu, of the crystal with this isotope.

        Raises:
            OptionsError: the crystal does not have the element.
        """
        which = np.array([symbol == self.symbol for symbol in atoms.symbols])
        if not which.any():
            raise OptionsError(
                f"got an isotope of {self.symbol}; the crystal is {atoms.get_chemical_formula('metal')}"
            )
        return np.where(which, self.mass, atoms.get_masses())

    def check_masses(self, atoms: Atoms, main: Atoms) -> str:
        """Refuse force constants that were made with the mass of a third isotope.

        Args:
            atoms: of `force_constants`.
            main: of the phonons of the main isotope.

        Returns:
            What is to be said: they were made with the mass of the main isotope; "" where it is this one's.

        Raises:
            OptionsError: see there, or the crystal does not have the element.
        """
        self.masses(atoms)
        theirs, mains = self.mass_before(atoms), self.mass_before(main)
        if abs(theirs - self.mass) <= MASS * self.mass:
            return ""
        if abs(theirs - mains) <= MASS * mains:
            return (
                f"{self.symbol} {self.mass:g}: its force constants, {self.force_constants}, were made with a "
                f"mass of {theirs:.4g} amu; those of an anharmonic crystal depend on it"
            )
        raise OptionsError(
            f"--isotope {self.symbol}={self.mass:g}: the {self.symbol} of {self.force_constants} has a mass "
            f"of {theirs:.4g} amu. Wanted force constants of this isotope (hint sscha --masses "
            f"{self.symbol}={self.mass:g}), or none: those of --dyn are taken then"
        )

    def mass_before(self, atoms: Atoms) -> float:
        """amu, the element's mass in the files."""
        return float(atoms.get_masses()[list(atoms.symbols).index(self.symbol)])


def isotope_exponent(tc: Sequence[float], masses: Sequence[float]) -> float | None:
    """alpha of two critical temperatures (K) and masses (amu); None where a Tc is 0 or masses are equal."""
    if min(tc) <= 0 or masses[0] == masses[1]:
        return None
    return -math.log(tc[1] / tc[0]) / math.log(masses[1] / masses[0])


def _positive(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False
