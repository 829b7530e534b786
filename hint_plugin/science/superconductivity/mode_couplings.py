"""Frequencies and couplings of the modes at each q point: w_qv and lambda_qv."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import DataError
from hint_plugin.science.superconductivity.energy_units import EV
from hint_plugin.science.superconductivity.spectral import NEGLIGIBLE, SLIGHT, Spectrum

ACOUSTIC = 1.0 * EV["cm-1"]
"""eV. A mode softer than this, of either sign, is a translation: at Gamma, where lambda_qv is 0 / 0."""


class UnstableError(DataError):
    """Imaginary modes or negative couplings: lambda has no meaning.

    Args:
        what: how many there are and how much they weigh.
        where: of which source, where there are several.
    """

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(
            f"{where}{what}: the crystal is unstable at this level, and its lambda has no meaning. Use "
            "anharmonic (SSCHA) force constants, or leave those modes out knowingly (--leave-out)"
        )
        self.what = what


@dataclass(frozen=True)
class ModeCouplings:
    """What a2F is made of.

    Attributes:
        energies: [Q, 3n], eV, negative where imaginary.
        lambdas: [Q, 3n]; negative where imaginary.
        weights: [Q], of the q points; they add up to 1.
    """

    energies: NDArray
    lambdas: NDArray
    weights: NDArray

    def spectrum(self, *, leave_out: bool = False) -> Spectrum:
        """a2F as lines: sum_q weight_q lambda_qv at w_qv.

        Args:
            leave_out: leave out imaginary modes and negative couplings, and say what they weigh. The weight
                is that of the linewidths, |lambda_qv| w_qv^2: finite for any frequency.

        Raises:
            UnstableError: imaginary modes or negative couplings, unless they are left out.
            DataError: no modes left.
        """
        energies, weighted = self.energies, self.lambdas * self.weights[:, None]
        translation = np.abs(energies) < ACOUSTIC
        imaginary = energies <= -ACOUSTIC
        negative = ~translation & ~imaginary & (weighted < 0)
        kept = ~translation & ~imaginary & ~negative
        said = [
            *_imaginary(energies, weighted, self.weights, imaginary),
            *_negative(energies, weighted, negative),
        ]
        too_negative = _share(energies, weighted, negative) > SLIGHT
        if (imaginary.any() or too_negative) and not leave_out:
            raise UnstableError(" and ".join(said))
        if not (weighted[kept] > 0).any():
            raise DataError("no mode with a positive coupling is left")
        return Spectrum.from_lines(energies[kept], weighted[kept], said)


def _imaginary(energies: NDArray, weighted: NDArray, weights: NDArray, which: NDArray) -> list[str]:
    if not which.any():
        return []
    lowest = energies[which].min() / EV["cm-1"]
    modes = float((which * weights[:, None]).sum() / energies.shape[1])
    return [
        f"{100 * modes:.3g} % of the modes are imaginary (to {-lowest:.1f}i cm^-1), with "
        f"{100 * _share(energies, weighted, which):.3g} % of the linewidths"
    ]


def _negative(energies: NDArray, weighted: NDArray, which: NDArray) -> list[str]:
    share = _share(energies, weighted, which)
    if share < NEGLIGIBLE:
        return []
    return [f"{100 * share:.3g} % of the linewidths are negative, of real modes"]


def _share(energies: NDArray, weighted: NDArray, which: NDArray) -> float:
    widths = np.abs(weighted) * energies**2
    return float(widths[which].sum() / widths.sum()) if widths.sum() > 0 else 0.0
