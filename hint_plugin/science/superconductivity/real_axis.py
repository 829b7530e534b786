"""From the imaginary to the real axis: Pade approximants, and the edge of the gap.

The continued fraction C_N(z) = a_1 / (1 + a_2 (z - z_1) / (1 + ...)) through the points (i w_n, gap_n)
(H. J. Vidberg and J. W. Serene, J. Low Temp. Phys. 29, 179 (1977)). It amplifies the noise of its points, so
that these must be converged to the last digits, and the recursion runs in extended precision; near Tc, where
the points lie far apart, the result is uncertain by some per cent. The edge, what tunnelling sees, is the
lowest solution of Re gap(w) = w.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from hint_plugin.science.superconductivity.eliashberg import Gap

FEWEST_POINTS, MOST_POINTS = 32, 48


class Pade:
    """A function known at `points`, continued.

    Args:
        points: [P], complex.
        values: [P].
    """

    def __init__(self, points: ArrayLike, values: ArrayLike) -> None:
        self._points = np.asarray(points, dtype=np.clongdouble)
        row = np.asarray(values, dtype=np.clongdouble)
        coefficients = [row[0]]
        for k in range(1, len(row)):
            with np.errstate(divide="ignore", invalid="ignore"):
                row = (row[0] - row[1:]) / ((self._points[k:] - self._points[k - 1]) * row[1:])
            if not np.isfinite(row[0]):
                break
            coefficients.append(row[0])
        self._coefficients = coefficients

    def __call__(self, z: ArrayLike) -> NDArray:
        """Values at complex z, in its shape."""
        z = np.asarray(z, dtype=np.clongdouble)
        tail = np.zeros_like(z)
        for k in range(len(self._coefficients) - 1, 0, -1):
            tail = self._coefficients[k] * (z - self._points[k - 1]) / (1 + tail)
        return np.asarray(self._coefficients[0] / (1 + tail), dtype=complex)


def continue_gap(gap: Gap, energies: ArrayLike, highest: float) -> NDArray:
    """gap(w + i0) on the real axis, complex, eV.

    Args:
        energies: [E], eV.
        highest: eV; the Matsubara frequencies up to about here are used (some phonon frequencies).
    """
    pade = _pade(gap, highest)
    return pade(np.asarray(energies, dtype=float) + 0j)


def gap_edge(gap: Gap, highest: float) -> float | None:
    """The lowest w with Re gap(w) = w, eV; None where there is no gap or the continuation gives none."""
    first = float(gap.gap[0])
    if not first > 0:
        return None
    pade = _pade(gap, highest)

    def excess(w: float) -> float:
        return float(pade(np.array(w + 0j)).real) - w

    grid = np.linspace(0.0, 2.0 * first, 201)
    values = np.array([excess(w) for w in grid])
    crossing = np.flatnonzero((values[:-1] > 0) & (values[1:] <= 0))
    if not len(crossing):
        return None
    k = int(crossing[0])
    return float(brentq(excess, grid[k], grid[k + 1]))


def _pade(gap: Gap, highest: float) -> Pade:
    count = int(np.searchsorted(gap.frequencies, highest))
    count = min(max(count, FEWEST_POINTS), len(gap.frequencies))
    chosen = np.arange(count)
    if count > MOST_POINTS:  # all of the first, then thinner and thinner
        chosen = np.unique(np.geomspace(1, count, 2 * MOST_POINTS).astype(int) - 1)[:count]
        while len(chosen) > MOST_POINTS:
            chosen = np.concatenate([chosen[: MOST_POINTS // 3], chosen[MOST_POINTS // 3 :: 2]])
    return Pade(1j * gap.frequencies[chosen], gap.gap[chosen])
