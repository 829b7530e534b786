"""Sums over Matsubara frequencies: the isotropic kernel at one temperature, applied by FFT.

    w_n = pi k T (2n + 1),  n = 0 .. N-1 (gap and Z are even in w_n: the negative half is not kept)
    (L+ x)_n = sum_m [lambda(n - m) + lambda(n + m + 1)] x_m
    (L- x)_n = sum_m [lambda(n - m) - lambda(n + m + 1)] x_m
    D_n      = 2n + 1 + lambda(0) + 2 sum_{l=1..n} lambda(l)        (Z w_n / pi k T of the normal state)

with lambda(l) = lambda(v) at v = 2 pi k T l. There are two cutoffs: N covers the phonons, whose kernel falls
off by itself; mu* is cut at w_c. The last frequency below w_c has a fractional weight c_n, so that nothing
jumps as T changes: w_n stands for the interval from 2 pi k T n to 2 pi k T (n + 1).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from ase.units import kB
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from hint_plugin.science.superconductivity.spectral import Spectrum

MOST_FREQUENCIES = 4096
FEWEST_FREQUENCIES = 64


class Matsubara:
    """The kernel of a spectrum at one temperature.

    Args:
        temperature: K.
        cutoff: w_c of mu*, eV.
        phonon_cutoff: eV; the sums go as far as the higher of both.

    Attributes:
        step: pi k T, eV.
        frequencies: [N], w_n, eV.
        coulomb: [N], c_n: 1 below w_c, 0 above, once in between.
        normal: [N], D_n.
    """

    def __init__(self, spectrum: Spectrum, temperature: float, cutoff: float, phonon_cutoff: float) -> None:
        self.temperature = temperature
        self.step = np.pi * kB * temperature
        count = int(np.ceil(max(cutoff, phonon_cutoff) / (2 * self.step)))
        self.count = min(max(count, FEWEST_FREQUENCIES), MOST_FREQUENCIES)
        order = np.arange(self.count)
        self.frequencies = self.step * (2 * order + 1)
        self.coulomb = np.clip(cutoff / (2 * self.step) - order, 0.0, 1.0)
        self._lambda = spectrum.kernel(2 * self.step * np.arange(2 * self.count + 1))
        sums = np.cumsum(self._lambda[: self.count])
        self.normal = 2 * order + 1 + 2 * sums - self._lambda[0]

    @cached_property
    def _transform(self) -> tuple[int, NDArray]:
        """Length and transform of lambda(|l|), wrapped around."""
        size = next_fast_len(4 * self.count, real=True)
        wrapped = np.zeros(size)
        wrapped[: 2 * self.count + 1] = self._lambda
        wrapped[-2 * self.count :] = self._lambda[1:][::-1]
        return size, np.fft.rfft(wrapped)

    def even(self, x: NDArray) -> NDArray:
        """L+ x."""
        return self._apply(x, 1.0)

    def odd(self, x: NDArray) -> NDArray:
        """L- x."""
        return self._apply(x, -1.0)

    def _apply(self, x: NDArray, parity: float) -> NDArray:
        size, transform = self._transform
        whole = np.concatenate([parity * x[::-1], x])
        product = np.fft.irfft(transform * np.fft.rfft(whole, size), size)
        return product[self.count : 2 * self.count]
