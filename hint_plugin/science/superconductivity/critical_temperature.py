"""From a spectrum to what is reported: Tc by all three ways for each mu*, the gap against temperature.

One repulsion, everywhere: mu* is given at a frequency (`Coulomb.reference`), and rescaled to the highest
phonon frequency for the formulas, as Allen and Dynes do, and to the cutoff of the sums for the equations. So
Tc does not hang on the cutoff, and isotopes, whose phonons differ, see the same repulsion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase.units import kB

from hint_plugin.errors import OptionsError
from hint_plugin.science.superconductivity.allen_dynes import FormulaTc, spectrum_tc
from hint_plugin.science.superconductivity.eliashberg import Eliashberg
from hint_plugin.science.superconductivity.energy_units import parse_energy
from hint_plugin.science.superconductivity.mu_star import rescale
from hint_plugin.science.superconductivity.real_axis import gap_edge
from hint_plugin.science.superconductivity.spectral import Spectrum

PADE_RANGE = 4.0
"""The continuation uses Matsubara frequencies up to so many w_max."""


@dataclass(frozen=True)
class Coulomb:
    """Where mu* belongs, and where the sums with it end; eV.

    Attributes:
        reference: the frequency at which mu* is given.
        cutoff: w_c of the Eliashberg equations.
    """

    reference: float
    cutoff: float

    @classmethod
    def parse(cls, spectrum: Spectrum, at: str = "wmax", cutoff: str = "10wmax") -> Coulomb:
        """Of text: `wmax`, `10wmax`, `2w2`, `500meV`; `at` may be `cutoff`.

        Raises:
            OptionsError: neither a frequency of the spectrum nor an energy; a cutoff below w_2.
        """
        scales = spectrum.scales()
        end = parse_energy(cutoff if cutoff[:1].isdigit() else f"1{cutoff}", scales)
        if end < spectrum.omega_2:
            raise OptionsError(
                f"the cutoff {cutoff} is {1e3 * end:.4g} meV, below w_2 = {1e3 * spectrum.omega_2:.4g} meV "
                "of the phonons; wanted some times w_max"
            )
        if at == "cutoff":
            return cls(end, end)
        return cls(parse_energy(at if at[:1].isdigit() else f"1{at}", scales), end)


@dataclass(frozen=True)
class CriticalTemperatures:
    """One mu*, three answers.

    Attributes:
        mu_star: as given, at `Coulomb.reference`.
        mu_star_formula: the same repulsion at w_max.
        mu_star_cutoff: the same at the cutoff of the sums.
        formula: McMillan, Allen-Dynes.
        eliashberg: K; 0 if there is none.
    """

    mu_star: float
    mu_star_formula: float
    mu_star_cutoff: float
    formula: FormulaTc
    eliashberg: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rest = {key: value for key, value in asdict(self).items() if key != "formula"}
        return {**rest, **asdict(self.formula)}


def equations(spectrum: Spectrum, mu_star: float, coulomb: Coulomb) -> Eliashberg:
    """The Eliashberg equations with mu* rescaled to the cutoff."""
    return Eliashberg(spectrum, rescale(mu_star, coulomb.reference, coulomb.cutoff), coulomb.cutoff)


def critical_temperatures(spectrum: Spectrum, mu_star: float, coulomb: Coulomb) -> CriticalTemperatures:
    """McMillan, Allen-Dynes and Eliashberg.

    Raises:
        OptionsError: a mu* outside of [0, 1), or one that diverges at the cutoff.
    """
    at_phonons = rescale(mu_star, coulomb.reference, spectrum.omega_max)
    solved = equations(spectrum, mu_star, coulomb)
    formula = spectrum_tc(spectrum, at_phonons)
    return CriticalTemperatures(mu_star, at_phonons, solved.mu_star, formula, solved.tc)


def gap_table(
    solved: Eliashberg, count: int = 14, report: Callable[[float], None] | None = None
) -> list[dict[str, float | None]]:
    """The gap from 0.1 Tc to Tc, closer together near Tc; empty without superconductivity.

    Each row: `temperature` (K), `gap` (at the first Matsubara frequency, eV), `edge` (of the real-axis gap,
    eV, None where the continuation gives none), `z` (renormalisation).
    """
    if not solved.tc > 0:
        return []
    rows: list[dict[str, float | None]] = []
    last = None
    for x in np.linspace(1 - np.sqrt(0.9), 1.0, count):
        temperature = max(solved.tc * (1 - (1 - x) ** 2), solved.lowest_temperature())
        if report is not None:
            report(temperature)
        last = solved.gap(temperature, last)
        edge = gap_edge(last, PADE_RANGE * solved.spectrum.omega_max) if x < 1 else 0.0
        rows.append(
            {"temperature": temperature, "gap": float(last.gap[0]), "edge": edge, "z": float(last.z[0])}
        )
    return rows


def gap_ratio(rows: Sequence[dict[str, float | None]], tc: float) -> float | None:
    """2 gap / k Tc at the lowest temperature: 3.53 in the limit of weak coupling."""
    if not rows or not tc > 0:
        return None
    lowest = rows[0]["edge"] or rows[0]["gap"] or 0.0
    return 2 * lowest / (kB * tc)


def describe(spectrum: Spectrum) -> dict[str, Any]:
    """The moments, for JSON; eV."""
    return {
        "lambda": spectrum.lam,
        "omega_log": spectrum.omega_log,
        "omega_2": spectrum.omega_2,
        "omega_max": spectrum.omega_max,
        "soft_share": spectrum.soft_share,
        "left_out": list(spectrum.left_out),
    }
