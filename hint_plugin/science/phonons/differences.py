"""Differences of frequencies: of single points, and of bands along the same path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import DataError
from hint_plugin.science.phonons.bands import Bands


@dataclass(frozen=True)
class Differences:
    """Of frequencies, cm^-1: the largest, the mean absolute one, the root of the mean square, of how many;
    how many modes are imaginary (below `IMAGINARY`) in the one and in the other.

    `scale` is the s of the least squares of w = s w_ref. Below 1 the model is softer than the reference, as
    universal models often are; 0 where the reference has no frequency but 0."""

    largest: float
    mean: float
    rms: float
    count: int
    imaginary: int
    imaginary_reference: int
    scale: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.__dict__)


IMAGINARY = -1.0
"""cm^-1: below, a frequency counts as imaginary; acoustic modes at Gamma come out as +-0.1."""


def differences(frequencies: NDArray, reference: NDArray) -> Differences:
    """Of frequencies of the same shape [K, M], ascending at each q: imaginary ones count as negative numbers.

    Raises:
        DataError: other shapes, or numbers that are not finite.
    """
    found, wanted = np.asarray(frequencies, dtype=float), np.asarray(reference, dtype=float)
    if found.shape != wanted.shape or not found.size:
        raise DataError(f"frequencies of shape {found.shape} against {wanted.shape}; wanted the same crystal")
    if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        raise DataError("a frequency is NaN or infinite")
    errors, squares = found - wanted, float((wanted**2).sum())
    return Differences(
        largest=float(abs(errors).max()),
        mean=float(abs(errors).mean()),
        rms=float(np.sqrt((errors**2).mean())),
        count=int(errors.size),
        imaginary=int((found < IMAGINARY).sum()),
        imaginary_reference=int((wanted < IMAGINARY).sum()),
        scale=float((found * wanted).sum() / squares) if squares else 0.0,
    )


def compare_bands(bands: Bands, reference: Bands) -> Differences:
    """Along paths that have the same corners and the same number of points.

    Raises:
        DataError: other corners, another number of points, or another number of modes.
    """
    if bands.path.labels != reference.path.labels:
        raise DataError(
            f"the reference's path is {reference.path.words()}, this one is {bands.path.words()}: "
            "is it another crystal, or less symmetric?"
        )
    return differences(np.concatenate(bands.frequencies), np.concatenate(reference.frequencies))
