"""Tunnelling along a reaction path: zero curvature, and small curvature.

Centrifugal-dominant small-curvature semiclassical adiabatic ground state (R. T. Skodje, D. G. Truhlar,
B. C. Garrett, J. Phys. Chem. 85, 3019 (1981); Y.-P. Liu, D.-h. Lu, A. Gonzalez-Lafont, D. G. Truhlar,
B. C. Garrett, J. Am. Chem. Soc. 115, 7806 (1993)): on the inner side of a bent path the way is shorter, as
if the mass were smaller,

    mu_eff / mu = min(1, exp(-2 a - a^2 + (dt/ds)^2)),    a = |kappa t|
    theta(E) = 1/hbar int (2 mu_eff (V_a^G(s) - E))^(1/2) ds    over all s with V_a^G > E
    P(E) = 1 / (1 + exp(2 theta(E))) up to the top V^AG of V_a^G; mirrored above it: P(2 V^AG - E) = 1 - P(E)

With mu_eff = mu this is zero-curvature tunnelling. In mass-weighted coordinates mu = 1 amu. For a rate of
canonical variational theory with its bottleneck at s* the threshold is V_a^G(s*) (`thermal_average`, `top`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.special import expit

from hint_plugin.errors import DataError
from hint_plugin.science.reactions.kinetics.reaction_path import ReactionPath
from hint_plugin.science.reactions.kinetics.species import HBAR
from hint_plugin.science.reactions.kinetics.tunnelling import thermal_average

ENOUGH = 12
"""Points on each side of the saddle with a known curvature: with fewer it is not resolved."""
RESOLVED = 0.3
"""Of the turns of the path: how far the curvature may be off (`ReactionPath.unresolved`)."""


@dataclass(frozen=True)
class AdiabaticTunnelling:
    """Tunnelling through V_a^G(s).

    Attributes:
        s: [K], A amu^(1/2), equally spaced.
        adiabatic: V_a^G [K], eV.
        mass: mu_eff [K], amu.
        threshold: eV, the lowest energy at which both sides have a state, on the scale of V_a^G.
    """

    s: NDArray
    adiabatic: NDArray
    mass: NDArray
    threshold: float

    @property
    def top(self) -> float:
        """V^AG, eV."""
        return float(self.adiabatic.max())

    @property
    def depth(self) -> float:
        """Of the energies between the threshold and the top, eV.

        Raises:
            DataError: the threshold is above the top: there is no barrier.
        """
        if self.threshold >= self.top:
            raise DataError("with zero-point energies the path has no barrier above both sides")
        return self.top - self.threshold

    @property
    def reached(self) -> float:
        """eV: how far above the threshold the higher end of the path lies; below that P = 0."""
        return max(0.0, float(max(self.adiabatic[0], self.adiabatic[-1])) - self.threshold)

    def action(self, energies: NDArray) -> NDArray:
        """theta at energies [E] that are counted from the top (negative), eV."""
        above = np.maximum(self.adiabatic - self.top - np.asarray(energies)[:, None], 0.0)
        return np.asarray(trapezoid(np.sqrt(2 * self.mass * above), self.s, axis=1) / HBAR)

    @cached_property
    def _actions(self) -> tuple[NDArray, NDArray]:
        """(energies, theta), denser at the top; what is between them is interpolated."""
        energies = -self.depth * np.linspace(1.0, 0.0, 400) ** 2
        return energies, self.action(energies)

    def probability(self, energies: NDArray) -> NDArray:
        """P at energies [E] that are counted from the top, eV."""
        energies = np.asarray(energies, dtype=float)
        below = -np.abs(energies)
        found = expit(-2 * np.interp(below, *self._actions))
        found[below < -(self.depth - self.reached)] = 0.0
        return np.where(energies > 0, 1.0 - found, found)

    def transmission(self, temperature: float, bottleneck: float | None = None) -> float:
        """kappa(T) for a classical threshold at V_a^G = `bottleneck` (eV); None: at the top."""
        below = 0.0 if bottleneck is None else bottleneck - self.top
        return thermal_average(self.probability, self.depth, temperature, below)


def zero_curvature(path: ReactionPath, threshold: float) -> AdiabaticTunnelling:
    """Through V_a^G of a path with the mass as it is; `threshold` as in `AdiabaticTunnelling`."""
    s, adiabatic = path.fine(path.adiabatic)
    return AdiabaticTunnelling(s, adiabatic, np.ones(len(s)), threshold)


def small_curvature(path: ReactionPath, threshold: float) -> AdiabaticTunnelling:
    """Through V_a^G of a path with the effective mass.

    Raises:
        DataError: too few points with a known curvature on a side of the saddle, or a curvature that is not
            resolved.
    """
    known = path.s[path.bends]
    sides = [int((known < 0).sum()), int((known > 0).sum())]
    if min(sides) < ENOUGH:
        raise DataError(
            f"the path has {sides[0]} and {sides[1]} points on the two sides of the saddle of which the "
            f"curvature is known; small-curvature tunnelling needs {ENOUGH}. Give a smaller --step or more "
            "--points"
        )
    if path.unresolved > RESOLVED:
        raise DataError(
            f"the curvature of the path is not resolved: it is {100 * path.unresolved:.0f} % off the turns "
            f"between the points, and may be {100 * RESOLVED:.0f} %. Give a smaller --step and more --points"
        )
    s, adiabatic = path.fine(path.adiabatic)
    turning = np.interp(s, path.s, path.turning)
    a = np.abs(np.interp(s, path.s, path.curvature) * turning)
    slope = np.gradient(turning, s)
    mass = np.minimum(1.0, np.exp(-2 * a - a**2 + slope**2))
    return AdiabaticTunnelling(s, adiabatic, mass, threshold)
