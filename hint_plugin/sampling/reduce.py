"""Fewer and comparable dimensions: standardisation, and principal components (PCA)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.optional import load

Scale = Literal["none", "standard"]

FIT_ROWS = 50_000
"""Rows from which scales and components are estimated; more would not change 64 components visibly."""
FIT_VALUES = 50_000_000
"""Numbers in these rows, at most: 0.4 GB in float64, a few times that while components are found."""
_BLOCK = 8192


@dataclass(frozen=True)
class Reduction:
    """x -> ((x - mean) / scale) @ components^T.

    Attributes:
        mean: [dimension].
        scale: [dimension]; ones without standardisation.
        components: [reduced, dimension], or None.
        explained: fraction of the variance that the components keep, 1 without PCA.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    components: NDArray[np.float64] | None
    explained: float

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """[rows, reduced] float32, block by block."""
        width = features.shape[1] if self.components is None else len(self.components)
        reduced = np.empty((len(features), width), dtype=np.float32)
        for start in range(0, len(features), _BLOCK):
            rows = (features[start : start + _BLOCK] - self.mean) / self.scale
            reduced[start : start + _BLOCK] = rows if self.components is None else rows @ self.components.T
        return reduced


def fit_reduction(features: NDArray[np.float32], scale: Scale, pca: int | None, seed: int) -> Reduction:
    """Estimate a reduction from at most `FIT_ROWS` random rows, fewer where they are long.

    Args:
        features: [points, dimension].
        scale: "standard" divides every feature by its standard deviation: rare features then count as much
            as strong ones, and so does noise. Constant features are left at zero.
        pca: number of components, or None.
        seed: of the choice of rows.

    Raises:
        OptionsError: more components than features or points, or no such scale.
        MissingDependencyError: PCA is wanted and scikit-learn is not installed.
    """
    points, dimension = features.shape
    if scale not in get_args(Scale):
        raise OptionsError(f"scale {scale!r}; wanted {', '.join(get_args(Scale))}")
    if pca is not None and not 1 <= pca <= min(points, dimension):
        raise OptionsError(
            f"--pca {pca}; wanted 1 to {min(points, dimension)}, {points} points of {dimension}"
        )
    rows: NDArray[Any] = np.arange(points)
    limit = min(FIT_ROWS, max(2 * dimension, FIT_VALUES // dimension))
    if points > limit:
        rows = np.sort(np.random.default_rng(seed).choice(points, limit, replace=False))
    sample = np.asarray(features[rows], dtype=np.float64)
    mean, factor = sample.mean(axis=0), np.ones(dimension)
    if scale == "standard":
        deviation = sample.std(axis=0)
        factor = np.where(deviation > 1e-7 * np.abs(mean).max(initial=1e-30), deviation, np.inf)
    if pca is None:
        return Reduction(mean, factor, None, 1.0)
    decomposition = load("sklearn.decomposition", "sample", "--pca needs scikit-learn")
    solver = "covariance_eigh" if len(sample) > dimension else "full"
    found = decomposition.PCA(pca, svd_solver=solver).fit((sample - mean) / factor)
    kept = float(np.nan_to_num(found.explained_variance_ratio_.sum(), nan=1.0))  # all points are the same
    return Reduction(mean, factor, found.components_, kept)


def load_features(path: Path, frames: int) -> NDArray[np.float32]:
    """The user's own features, mapped from a .npy file.

    Raises:
        DataError: no array of [frames, dimension] finite numbers.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as .npy ({error})") from error
    if found.ndim != 2 or found.shape[1] == 0 or len(found) != frames or found.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: an array {found.shape} of {found.dtype}; wanted numbers [{frames}, dimension], a row "
            "for each frame in the order of the inputs"
        )
    for start in range(0, frames, _BLOCK):
        bad = ~np.isfinite(found[start : start + _BLOCK]).all(axis=1)
        if bad.any():
            raise DataError(f"{path}: row {start + int(bad.argmax())} has NaN or infinite features")
    return found if found.dtype == np.float32 else np.asarray(found, dtype=np.float32)
