"""Isotropic Migdal-Eliashberg equations on the imaginary axis.

    Z_n w_n   = pi k T { D_n + sum_m [lambda(n - m) - lambda(n + m + 1)] (w_m / R_m - 1) }
    Z_n gap_n = pi k T sum_m [lambda(n - m) + lambda(n + m + 1) - 2 mu* c_m] gap_m / R_m
    R_m       = sqrt(w_m^2 + gap_m^2)

(G. M. Eliashberg, Sov. Phys. JETP 11, 696 (1960); P. B. Allen and B. Mitrovic, Solid State Phys. 37, 1
(1982); symbols in `matsubara`.) A constant density of states is assumed. At Tc the gap is infinitesimal, and
with x_n = sqrt(D_n) gap_n / (2n + 1) the second line is an eigenvalue problem,

    D^-1/2 (L+ - 2 mu* 1 c^T) D^-1/2 x = rho x,     rho(Tc) = 1, falling with T.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase.units import kB
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, eigs

from hint_plugin.errors import HintError
from hint_plugin.science.superconductivity import mu_star as coulomb
from hint_plugin.science.superconductivity.allen_dynes import spectrum_tc
from hint_plugin.science.superconductivity.matsubara import MOST_FREQUENCIES, Matsubara
from hint_plugin.science.superconductivity.spectral import Spectrum

DEFAULT_CUTOFF = 10.0
"""Of mu*, in highest phonon frequencies."""
CONVERGED = 1e-10  # largest change of the gap in a step, relative to the gap
STEPS = 2000
HISTORY, PLAIN_STEPS = 8, 5


class NotConvergedError(HintError):
    """The gap equation did not converge."""


@dataclass(frozen=True)
class Gap:
    """A solution at one temperature.

    Attributes:
        temperature: K.
        frequencies: [N], w_n, eV.
        gap: [N], at the Matsubara frequencies, eV; gap[0] is the common measure. 0 above Tc.
        z: [N], renormalisation; z[0] is close to 1 + lambda.
    """

    temperature: float
    frequencies: NDArray
    gap: NDArray
    z: NDArray


@dataclass(frozen=True)
class Eliashberg:
    """The equations for one spectrum and one mu*.

    Attributes:
        spectrum: a2F.
        mu_star: at `cutoff`.
        cutoff: w_c of mu*, eV.
        phonon_cutoff: of the sums over phonons, eV; `DEFAULT_CUTOFF` w_max if None. Raised to `cutoff`.
    """

    spectrum: Spectrum
    mu_star: float
    cutoff: float
    phonon_cutoff: float | None = None

    def __post_init__(self) -> None:
        coulomb.check(self.mu_star)

    def kernel(self, temperature: float) -> Matsubara:
        """The sums at one temperature (K)."""
        phonons = self.phonon_cutoff or DEFAULT_CUTOFF * self.spectrum.omega_max
        return Matsubara(self.spectrum, temperature, self.cutoff, phonons)

    def eigenvalue(self, temperature: float) -> float:
        """rho(T): superconducting where it is above 1."""
        kernel = self.kernel(temperature)
        scale, c = 1.0 / np.sqrt(kernel.normal), kernel.coulomb

        def product(x: NDArray) -> NDArray:
            y = scale * x.reshape(-1)
            return scale * (kernel.even(y) - 2 * self.mu_star * (c @ y))

        operator = LinearOperator((kernel.count, kernel.count), matvec=product, dtype=float)
        found = eigs(operator, k=1, which="LR", v0=scale, tol=1e-10, return_eigenvectors=False)
        return float(found[0].real)

    def lowest_temperature(self) -> float:
        """K; below it there would be more than `MOST_FREQUENCIES` frequencies, and Tc is not looked for."""
        highest = max(self.cutoff, self.phonon_cutoff or DEFAULT_CUTOFF * self.spectrum.omega_max)
        return highest / (2 * np.pi * kB * MOST_FREQUENCIES)

    @cached_property
    def tc(self) -> float:
        """The critical temperature, K, to 1e-7; 0 if there is none above `lowest_temperature`."""
        lowest = self.lowest_temperature()
        guess = spectrum_tc(self.spectrum, self.mu_star).allen_dynes
        high = low = max(guess, 1.5 * lowest)
        if self.eigenvalue(high) > 1:
            while self.eigenvalue(high) > 1:
                low, high = high, 1.3 * high
        else:
            while self.eigenvalue(low) <= 1:
                if low <= lowest:
                    return 0.0
                low, high = max(low / 2, lowest), low
        return float(brentq(lambda t: self.eigenvalue(t) - 1.0, low, high, rtol=1e-7, xtol=1e-9))

    def gap(self, temperature: float, guess: Gap | None = None) -> Gap:
        """The gap and Z at one temperature (K); zero at Tc and above.

        Args:
            guess: a solution nearby, to start from.

        Raises:
            NotConvergedError: not within `STEPS` steps.
        """
        kernel = self.kernel(temperature)
        if temperature >= self.tc:
            nothing = np.zeros(kernel.count)
            return Gap(temperature, kernel.frequencies, nothing, self._step(kernel, nothing)[1])
        if guess is not None and guess.gap[0] > 0:
            start = np.interp(kernel.frequencies, guess.frequencies, guess.gap)
        else:
            start = 2.0 * kB * self.tc / (1.0 + (kernel.frequencies / self.spectrum.omega_max) ** 2)
        found = _fixed_point(lambda old: self._step(kernel, old)[0], start)
        if found is None:
            raise NotConvergedError(
                f"the gap equation did not converge at {temperature:.4g} K (Tc = {self.tc:.4g} K) in "
                f"{STEPS} steps; take another temperature"
            )
        return Gap(temperature, kernel.frequencies, found, self._step(kernel, found)[1])

    def _step(self, kernel: Matsubara, gap: NDArray) -> tuple[NDArray, NDArray]:
        """The right-hand sides: gap and Z."""
        w, c = kernel.frequencies, kernel.coulomb
        r = np.hypot(w, gap)
        z = kernel.step / w * (kernel.normal + kernel.odd(w / r - 1.0))
        share = gap / r
        return kernel.step * (kernel.even(share) - 2 * self.mu_star * (c @ share)) / z, z


def _fixed_point(function: Callable[[NDArray], NDArray], start: NDArray) -> NDArray | None:
    """The solution x = f(x) with x[0] > 0, None without convergence.

    Some plain steps, which lead away from x = 0 (a solution too, and an unstable one below Tc), then
    Anderson's mixing (D. G. Anderson, J. ACM 12, 547 (1965)), begun anew where it would shrink the solution a
    lot.
    """
    x = start
    xs: list[NDArray] = []
    residuals: list[NDArray] = []
    for _ in range(STEPS):
        residual = function(x) - x
        size = float(np.abs(x).max())
        if float(np.abs(residual).max()) <= CONVERGED * size:
            return x + residual
        xs, residuals = [*xs[-HISTORY:], x], [*residuals[-HISTORY:], residual]
        new = x + residual
        if len(xs) > PLAIN_STEPS:
            dr, dx = np.diff(np.array(residuals), axis=0).T, np.diff(np.array(xs), axis=0).T
            new = new - (dx + dr) @ np.linalg.lstsq(dr, residual, rcond=1e-12)[0]
            if new[0] < 0.5 * x[0]:
                new, xs, residuals = x + residual, [], []
        x = new
    return None
