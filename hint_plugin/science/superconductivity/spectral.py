"""The Eliashberg function a2F(w), checked, and its moments.

    lambda    = 2 int a2F(w) / w dw
    w_log     = exp(2/lambda int ln(w) a2F(w) / w dw)
    w_2       = sqrt(2/lambda int w a2F(w) dw)
    lambda(v) = 2 int w a2F(w) / (w^2 + v^2) dw

(P. B. Allen and R. C. Dynes, Phys. Rev. B 12, 905 (1975); the last is the kernel of the
Eliashberg equations.) All of them are sums over lines: energies w_k and their shares of lambda. A table gives
lines by the trapezoidal rule, an electron-phonon calculation has them anyway (one for each q point and mode),
so nothing needs to be broadened before Tc is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hint_plugin.errors import DataError

NEGLIGIBLE = 1e-6
"""Share of the integral of |a2F| that may be negative, or at negative frequencies, without a word."""
SLIGHT = 1e-3
"""Share that is left out without an error, but not without a word: interpolations overshoot."""
SOFT = 0.05
"""Below this fraction of the highest frequency, lambda is looked at: see `Spectrum.soft_share`."""


@dataclass(frozen=True)
class Spectrum:
    """a2F as lines: a2F(w) = 1/2 sum_k lambda_k w_k delta(w - w_k).

    Attributes:
        energies: [L], eV, > 0, ascending.
        lambdas: [L], >= 0; they add up to lambda.
        values: [L], a2F at `energies` where it is a table, else None.
        left_out: what was left out and how much it was, in words.
    """

    energies: NDArray
    lambdas: NDArray
    values: NDArray | None = None
    left_out: Sequence[str] = field(default_factory=tuple)

    @classmethod
    def from_table(cls, energies: ArrayLike, values: ArrayLike, *, leave_out: bool = False) -> Spectrum:
        """From a2F on a grid.

        Args:
            energies: [W], eV, ascending; may begin at or below 0 where a2F is 0.
            values: [W], a2F, without a unit.
            leave_out: set negative values, and all at negative frequencies, to 0, and say how much that was.

        Raises:
            DataError: too short, not finite, not ascending; zero everywhere; negative a2F or weight at
                negative (imaginary) frequencies, unless they are left out.
        """
        w, a = _table(energies, values)
        total = _trapezoid(np.abs(a), w)
        if not total > 0:
            raise DataError("a2F is zero everywhere; wanted the Eliashberg function of a metal")
        imaginary = _trapezoid(np.abs(np.where(w < 0, a, 0.0)), w) / total
        negative = _trapezoid(np.where((w > 0) & (a < 0), -a, 0.0), w) / total
        said = []
        if imaginary > NEGLIGIBLE:
            said.append(
                f"{100 * imaginary:.3g} % of the integral of |a2F| at imaginary (negative) frequencies"
            )
        if negative > NEGLIGIBLE:
            said.append(f"{100 * negative:.3g} % of the integral of |a2F| with a negative sign")
        if max(imaginary, negative) > SLIGHT and not leave_out:
            raise DataError(
                f"{' and '.join(said)}: the crystal is unstable there, or the interpolation overshoots, and "
                "lambda has no meaning. Use anharmonic (SSCHA) phonons, or leave that part out knowingly "
                "(--leave-out)"
            )
        above = w > 0
        steps = _trapezoid_weights(w)[
            above
        ]  # the interval below the first of them included: a2F / w is 0 at 0
        w, a = w[above], np.maximum(a[above], 0.0)
        if w.size < 2:
            raise DataError(f"a2F has {w.size} points above zero frequency; wanted a table")
        return cls(w, 2 * a / w * steps, a, tuple(said))

    @classmethod
    def from_lines(
        cls, energies: ArrayLike, lambdas: ArrayLike, left_out: Sequence[str] = (), bins: int = 1000
    ) -> Spectrum:
        """From sharp lines, for instance an Einstein mode.

        More than `bins` lines are put together in as many bins of equal width; each keeps its lambda and its
        part of int w a2F, so that the error of the other moments is of second order in the width.

        Args:
            energies: [L], eV.
            lambdas: [L], the share of lambda of each line.

        Raises:
            DataError: an energy <= 0 or a negative lambda, nothing at all, shapes that differ.
        """
        w, lam = np.atleast_1d(np.asarray(energies, float)), np.atleast_1d(np.asarray(lambdas, float))
        if w.ndim != 1 or w.shape != lam.shape or not (np.isfinite(w).all() and np.isfinite(lam).all()):
            raise DataError(
                f"lines with energies of shape {w.shape} and couplings of shape {lam.shape}; wanted two "
                "equal [L]"
            )
        if (w <= 0).any() or (lam < 0).any() or not lam.sum() > 0:
            raise DataError("lines of a2F want energies > 0 and couplings >= 0, not all 0")
        if w.size > bins:
            w, lam = _binned(w, lam, bins)
        order = np.argsort(w, kind="stable")
        return cls(w[order], lam[order], None, tuple(left_out))

    @property
    def lam(self) -> float:
        """lambda."""
        return float(self.lambdas.sum())

    @property
    def omega_log(self) -> float:
        """w_log, eV."""
        return float(np.exp(self.lambdas @ np.log(self.energies) / self.lam))

    @property
    def omega_2(self) -> float:
        """w_2, eV."""
        return float(np.sqrt(self.lambdas @ self.energies**2 / self.lam))

    @property
    def omega_max(self) -> float:
        """The highest frequency with weight, eV: above it lies less than 1e-6 of the integral of a2F."""
        weight = self.lambdas * self.energies
        reached = np.cumsum(weight) >= (1 - 1e-6) * weight.sum()
        return float(self.energies[np.argmax(reached)])

    @property
    def soft_share(self) -> float:
        """Share of lambda below `SOFT` w_max. If large: noise there, or modes cut at zero frequency."""
        return float(self.lambdas[self.energies < SOFT * self.omega_max].sum() / self.lam)

    def scales(self) -> dict[str, float]:
        """Frequencies by name, eV: what cutoffs are given in."""
        return {"wmax": self.omega_max, "w2": self.omega_2, "wlog": self.omega_log}

    def kernel(self, frequencies: ArrayLike) -> NDArray:
        """lambda(v) at Matsubara frequencies v (eV), in the shape of `frequencies`."""
        v = np.asarray(frequencies, dtype=float)
        squares, out = self.energies**2, np.empty(v.size)
        for start in range(0, v.size, 1024):  # bounded memory
            part = v.reshape(-1)[start : start + 1024, None] ** 2
            out[start : start + 1024] = (1.0 / (squares + part)) @ (self.lambdas * squares)
        return out.reshape(v.shape)

    def cumulative(self, energies: ArrayLike) -> NDArray:
        """The share of lambda from below each energy (eV)."""
        sums = np.concatenate([[0.0], np.cumsum(self.lambdas)])
        return sums[np.searchsorted(self.energies, np.asarray(energies, dtype=float), side="right")]

    def on_grid(self, points: int = 400, width: float | None = None) -> tuple[NDArray, NDArray]:
        """Energies and a2F for a figure: the table itself, or lines broadened by Gaussians.

        a2F(w) = w/2 sum_k lambda_k g(w - w_k), so that every line keeps its share of lambda.

        Args:
            width: standard deviation, eV; w_max / 60 if not given.
        """
        if self.values is not None:
            return self.energies, self.values
        sigma = self.omega_max / 60 if width is None else width
        grid = np.linspace(0.0, self.omega_max + 4 * sigma, points)
        lines = np.exp(-0.5 * ((grid[:, None] - self.energies) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        return grid, 0.5 * grid * (lines @ self.lambdas)

    def scaled(self, factor: float) -> Spectrum:
        """All frequencies times `factor`, lambda as it is: a crystal of one element with other isotopes."""
        return Spectrum(self.energies * factor, self.lambdas, self.values, self.left_out)


def _table(energies: ArrayLike, values: ArrayLike) -> tuple[NDArray, NDArray]:
    w, a = np.asarray(energies, dtype=float), np.asarray(values, dtype=float)
    if w.ndim != 1 or w.shape != a.shape or w.size < 3:
        raise DataError(
            f"a2F has shape {a.shape} on frequencies of shape {w.shape}; wanted two equal columns, 3 rows "
            "or more"
        )
    if not (np.isfinite(w).all() and np.isfinite(a).all()):
        raise DataError(
            "a2F or its frequencies are not finite, first in row "
            f"{int(np.argmin(np.isfinite(w) & np.isfinite(a))) + 1}"
        )
    if (np.diff(w) <= 0).any():
        row = int(np.argmax(np.diff(w) <= 0))
        raise DataError(
            f"the frequencies do not ascend: {w[row + 1]:.6g} after {w[row]:.6g} eV in row {row + 2}. Sort "
            "the table; are two tables in one file?"
        )
    return w, a


def _trapezoid_weights(x: NDArray) -> NDArray:
    """dx of each point: sum(f dx) is the trapezoidal rule."""
    steps = np.diff(x)
    return 0.5 * (np.append(steps, 0.0) + np.insert(steps, 0, 0.0))


def _trapezoid(f: NDArray, x: NDArray) -> float:
    return float(f @ _trapezoid_weights(x))


def _binned(energies: NDArray, lambdas: NDArray, bins: int) -> tuple[NDArray, NDArray]:
    low, high = energies.min(), energies.max()
    place = np.minimum(((energies - low) / max(high - low, 1e-300) * bins).astype(int), bins - 1)
    lam = np.bincount(place, lambdas, minlength=bins)
    second = np.bincount(place, lambdas * energies**2, minlength=bins)
    full = lam > 0
    return np.sqrt(second[full] / lam[full]), lam[full]
