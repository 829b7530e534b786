"""Tc from three numbers: McMillan's formula and Allen's and Dynes' with strong-coupling corrections.

    k Tc = f1 f2 w_log / 1.2 exp[ -1.04 (1 + lambda) / (lambda - mu* (1 + 0.62 lambda)) ]
    f1 = [1 + (lambda/L1)^(3/2)]^(1/3),                       L1 = 2.46 (1 + 3.8 mu*)
    f2 = 1 + (w_2/w_log - 1) lambda^2 / (lambda^2 + L2^2),    L2 = 1.82 (1 + 6.3 mu*) w_2/w_log

P. B. Allen and R. C. Dynes, Phys. Rev. B 12, 905 (1975), Eq. 34; f1 = f2 = 1 is W. L. McMillan, Phys.
Rev. 167, 331 (1968), with their prefactor. The fits were made for lambda below about 10, and f1, f2 matter
above 1.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ase.units import kB

from hint_plugin.science.superconductivity import mu_star as coulomb
from hint_plugin.science.superconductivity.spectral import Spectrum


@dataclass(frozen=True)
class FormulaTc:
    """Critical temperatures by the formulas, K; 0 where mu* is too strong for them.

    Attributes:
        mcmillan: f1 = f2 = 1.
        allen_dynes: with both factors.
    """

    mcmillan: float
    allen_dynes: float
    f1: float
    f2: float


def formula_tc(lam: float, omega_log: float, omega_2: float, mu_star: float) -> FormulaTc:
    """Both formulas.

    Args:
        lam: lambda, > 0.
        omega_log, omega_2: eV.
        mu_star: as it is; the formulas belong to a cutoff of the order of the highest phonon frequency.

    Raises:
        OptionsError: a mu* outside of [0, 1).
    """
    coulomb.check(mu_star)
    ratio = omega_2 / omega_log
    l1, l2 = 2.46 * (1 + 3.8 * mu_star), 1.82 * (1 + 6.3 * mu_star) * ratio
    f1 = (1 + (lam / l1) ** 1.5) ** (1 / 3)
    f2 = 1 + (ratio - 1) * lam**2 / (lam**2 + l2**2)
    attraction = lam - mu_star * (1 + 0.62 * lam)
    tc = omega_log / kB / 1.2 * math.exp(-1.04 * (1 + lam) / attraction) if attraction > 0 else 0.0
    return FormulaTc(tc, f1 * f2 * tc, f1, f2)


def spectrum_tc(spectrum: Spectrum, mu_star: float) -> FormulaTc:
    """`formula_tc` of a spectrum."""
    return formula_tc(spectrum.lam, spectrum.omega_log, spectrum.omega_2, mu_star)
