"""Transmission coefficients of one-dimensional barriers: Wigner, Eckart, and any probability P(E).

The transmission coefficient is the quantum rate through the barrier over the classical one. With E counted
from the top of the barrier and the lowest energy -D at which both sides have a state,

    kappa(T) = beta int_{-D}^{inf} P(E) exp(-beta E) dE

Wigner (E. Wigner, Z. Phys. Chem. B 19, 203 (1932)): kappa = 1 + (hbar omega / k T)^2 / 24.

Eckart (C. Eckart, Phys. Rev. 35, 1303 (1930); H. S. Johnston, J. Heicklen, J. Phys. Chem. 66, 532 (1962)):
barriers V1 from one side and V2 from the other and the curvature at the top, hbar omega, make the potential

    V(x) = A y / (1 + y) + B y / (1 + y)^2,  y = exp(x / L),  A = V1 - V2,  B = (V1^(1/2) + V2^(1/2))^2

of which P(E) is known exactly. With alpha_i = 2 pi V_i / (hbar omega), and energies e above the left side,

    P = 2 sinh(a) sinh(b) / (cosh(a + b) + cosh(d))
    a = 2 (alpha_1 e / V1)^(1/2) / (alpha_1^(-1/2) + alpha_2^(-1/2)),  b: the same of e - V1 + V2
    d = 2 (alpha_1 alpha_2 - pi^2 / 4)^(1/2), imaginary (cosh becomes cos) for thin barriers

which is the usual [cosh(a + b) - cosh(a - b)] / [cosh(a + b) + cosh(d)].

| symbol | variable | unit |
|---|---|---|
| hbar omega, of the imaginary mode | `quantum` | eV |
| V1, V2 | `forward`, `reverse` | eV |
| D = min(V1, V2) | `depth` | eV |
| T | `temperature` | K |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import DataError
from hint_plugin.science.reactions.kinetics.species import BOLTZMANN

Probability = Callable[[NDArray], NDArray]
_NODES = 48  # of Gauss and Legendre, on each interval
_LARGEST = 645.0  # ln 1e280
_REACH = 40.0  # kT above the top, where exp(-beta E) is nothing


def wigner(quantum: float, temperature: float) -> float:
    """kappa of Wigner; valid where it is near 1."""
    return 1.0 + (quantum / (BOLTZMANN * temperature)) ** 2 / 24.0


@dataclass(frozen=True)
class Eckart:
    """An asymmetric Eckart barrier.

    Attributes:
        forward, reverse: heights above the two sides, with zero-point energies; eV.
        quantum: hbar |omega| at the top, eV.

    Raises:
        DataError: a height or the quantum is not above 0: then this is no barrier.
    """

    forward: float
    reverse: float
    quantum: float

    def __post_init__(self) -> None:
        if min(self.forward, self.reverse, self.quantum) <= 0:
            raise DataError(
                f"an Eckart barrier of {self.forward:.3f} and {self.reverse:.3f} eV with an imaginary mode "
                f"of {self.quantum:.4f} eV; wanted three numbers above 0. With zero-point energies the "
                "transition state does not lie above both sides"
            )

    @property
    def depth(self) -> float:
        """D, eV: below the top by more, one side has no state."""
        return min(self.forward, self.reverse)

    def probability(self, energies: NDArray) -> NDArray:
        """P at energies that are counted from the top, eV; 0 below -D."""
        energies = np.asarray(energies, dtype=float)
        alpha = 2 * np.pi * np.array([self.forward, self.reverse]) / self.quantum
        width = 2.0 / (alpha**-0.5).sum()
        per_energy = 2 * np.pi / self.quantum
        a = width * np.sqrt(per_energy * np.maximum(energies + self.forward, 0.0))
        b = width * np.sqrt(per_energy * np.maximum(energies + self.reverse, 0.0))
        inside = alpha[0] * alpha[1] - np.pi**2 / 4
        d = 2 * np.sqrt(abs(inside))
        # all over exp(a + b) / 2, which may be beyond the largest number
        top = (1 - np.exp(-2 * a)) * (1 - np.exp(-2 * b))
        last = 2 * np.cos(d) * np.exp(-a - b)
        if inside > 0:
            last = np.exp(np.minimum(d - a - b, 600.0)) + np.exp(-d - a - b)
        return np.asarray(top / (1 + np.exp(-2 * (a + b)) + last))

    def transmission(self, temperature: float) -> float:
        """kappa(T)."""
        return thermal_average(self.probability, self.depth, temperature)


def thermal_average(probability: Probability, depth: float, temperature: float, top: float = 0.0) -> float:
    """kappa(T) = beta exp(beta t) int_{-D}^{inf} P(E) exp(-beta E) dE.

    Args:
        probability: P at energies [K] that are counted from the top of the barrier, eV.
        depth: D, eV.
        temperature: K.
        top: t, eV: where the classical rate has its threshold, counted from the top: 0, or below it.

    Returns:
        The integral by Gauss and Legendre on intervals of 2 kT or less.

    Raises:
        DataError: it is beyond the largest number.
    """
    beta = 1.0 / (BOLTZMANN * temperature)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    total, end = 0.0, max(depth, _REACH / beta)
    for low, high in ((-depth, 0.0), (0.0, end)):
        count = max(4, int(np.ceil(0.5 * beta * (high - low))))
        edges = np.linspace(low, high, count + 1)
        half = 0.5 * np.diff(edges)
        energies = (edges[:-1] + half)[:, None] + half[:, None] * nodes
        chances = probability(energies.ravel()).reshape(energies.shape)
        with np.errstate(divide="ignore"):
            logs = np.log(chances) - beta * (energies - top)
        if logs.max() > _LARGEST:
            raise DataError(
                f"tunnelling at {temperature:g} K is beyond what numbers hold (kappa above 1e280): the "
                "classical rate is nothing beside it. Give higher temperatures"
            )
        total += float((half[:, None] * weights * np.exp(logs)).sum())
    return beta * total + float(np.exp(-beta * (end - top)))
