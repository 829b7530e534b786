"""Matrices on a grid of q points -> any q points, by Fourier interpolation, as q2r.x and matdyn.x do it.

    M(R) = 1/N sum_q M(q) exp(-i q.R)
    M_ij(q') = sum_R exp(i q'.R) / g(ij, R) M_ij(R)

R goes over the lattice vectors for which R + tau_j - tau_i is nearest to the origin among its images by the
supercell, and g counts how many are equally near (the Wigner-Seitz cell of the supercell). Force constants
and electron-phonon matrices alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import DataError

SAME_DISTANCE = 1e-5  # A
ON_GRID = 1e-4  # in units of the grid's spacing
REAL = 1e-3  # largest imaginary part in real space, relative


def on_grid(q: NDArray, matrices: NDArray, cell: NDArray, alat: float) -> NDArray:
    """[n1, n2, n3, 3n, 3n]: matrices at scattered q points, put on the grid that they make up.

    Args:
        q: [Q, 3], 2 pi / alat. Where q is there and -q is not, M(-q) = M(q)*.
        matrices: [Q, 3n, 3n].
        cell: [3, 3], rows, A.
        alat: A.

    Raises:
        DataError: the q points are no complete grid around Gamma, or one of them is there twice.
    """
    shape, index = grid_of(q, cell, alat)
    size = matrices.shape[-1]
    grid = np.full((*shape, size, size), np.nan, dtype=complex)
    for sign in (-1, 1):  # the second pass overwrites: what is in the files comes first
        values = matrices if sign == 1 else matrices.conj()
        grid[tuple((sign * index % shape).T)] = values
    return grid


def grid_of(
    q: NDArray, cell: NDArray, alat: float, wanted: tuple[int, int, int] | None = None
) -> tuple[tuple[int, int, int], NDArray]:
    """The grid that scattered q points make up, and the place [Q, 3] of each on it.

    Args:
        q: [Q, 3], 2 pi / alat. Where q is there and -q is not, it stands for both.
        cell: [3, 3], rows, A.
        alat: A.
        wanted: the grid that it has to be; if not given, the smallest that has all points.

    Raises:
        DataError: a point that is not on the grid, is there twice, or is missing.
    """
    places = q @ cell.T / alat
    own = (_denominator(places[:, 0]), _denominator(places[:, 1]), _denominator(places[:, 2]))
    shape = own if wanted is None else wanted
    if any(large % small for large, small in zip(shape, own, strict=True)):
        raise DataError(f"q points of a grid {_words(own)}; wanted those of {_words(shape)}")
    index = np.rint(places * shape).astype(int) % shape
    numbers = np.ravel_multi_index(tuple(index.T), shape)
    counts = np.bincount(numbers, minlength=int(np.prod(shape)))
    if counts.max() > 1:
        twice = np.flatnonzero(counts[numbers] > 1)
        raise DataError(
            f"q = {np.round(q[twice[-1]], 4)} (2 pi/alat) is there {counts.max()} times, up to vectors of "
            "the reciprocal lattice; wanted each q point once. Is a star there twice?"
        )
    counts[np.ravel_multi_index(tuple((-index % shape).T), shape)] += 1
    missing = np.argwhere(counts.reshape(shape) == 0)
    if len(missing):
        raise DataError(
            f"{len(missing)} q points of the grid {shape} are missing, the first at {missing[0]} / {shape}; "
            "wanted all stars"
        )
    return shape, index


def weights_of(shape: tuple[int, int, int], index: NDArray) -> NDArray:
    """[Q], how many points of the grid each of `grid_of` stands for, over all of them: two where -q is
    another point, and not there."""
    numbers = np.ravel_multi_index(tuple(index.T), shape)
    opposite = np.ravel_multi_index(tuple((-index % shape).T), shape)
    found: NDArray = np.where(np.isin(opposite, numbers), 1.0, 2.0) / np.prod(shape)
    return found


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _denominator(values: NDArray) -> int:
    for n in range(1, 65):
        if np.abs(values * n - np.rint(values * n)).max() < ON_GRID * n:
            return n
    raise DataError(
        f"the q points are no regular grid around Gamma: {np.unique(np.round(values, 4))[:6]} along one axis"
    )


def without_translations(grid: NDArray) -> NDArray:
    """The nearest matrices for which translations cost nothing: P M(0) P, P = 1 - sum_ij 1_ij / n.

    At Gamma only, and Hermitian everywhere: the projection that matdyn.x calls asr = 'crystal'.
    """
    out = 0.5 * (grid + grid.conj().swapaxes(-1, -2))
    out[0, 0, 0] = _projected(out[0, 0, 0])
    return out


def without_translations_at(q: NDArray, matrices: NDArray) -> NDArray:
    """The same of matrices [Q, 3n, 3n] at scattered q points [Q, 3]."""
    out = 0.5 * (matrices + matrices.conj().swapaxes(-1, -2))
    for place in np.flatnonzero(np.abs(q).max(axis=1) < ON_GRID):
        out[place] = _projected(out[place])
    return out


def _projected(matrix: NDArray) -> NDArray:
    n = len(matrix) // 3
    projector = np.eye(3 * n) - np.kron(np.full((n, n), 1.0 / n), np.eye(3))
    return projector @ matrix.real @ projector


def interpolate(grid: NDArray, cell: NDArray, positions: NDArray, q: NDArray) -> NDArray:
    """[Q, 3n, 3n] at q, from a whole grid.

    Args:
        grid: [n1, n2, n3, 3n, 3n].
        cell: [3, 3], rows, A; positions: [n, 3], A.
        q: [Q, 3] in units of the reciprocal vectors.

    Raises:
        DataError: M(-q) is not the conjugate of M(q).
    """
    shape, n = grid.shape[:3], len(positions)
    real = np.fft.fftn(grid, axes=(0, 1, 2)) / np.prod(shape)
    if np.abs(real.imag).max() > REAL * np.abs(real.real).max():
        raise DataError(
            "the matrices in real space are not real: those of q and -q do not agree. Are they of one run?"
        )
    blocks = real.real.reshape(*shape, n, 3, n, 3)
    out = np.zeros((len(q), n, 3, n, 3), dtype=complex)
    for i in range(n):
        for j in range(n):
            vectors, weights = _nearest(shape, cell, positions[j] - positions[i])
            x, y, z = (vectors % shape).T
            values = blocks[x, y, z, i, :, j] * weights[:, None, None]
            out[:, i, :, j] = np.einsum("qr,rab->qab", np.exp(2j * np.pi * q @ vectors.T), values)
    return out.reshape(len(q), 3 * n, 3 * n)


def _nearest(shape: tuple[int, ...], cell: NDArray, offset: NDArray) -> tuple[NDArray, NDArray]:
    """Lattice vectors [V, 3] with R + offset in the Wigner-Seitz cell of the supercell, and 1 / g."""
    reach = [np.arange(-2 * n, 2 * n + 1) for n in shape]
    vectors = np.stack(np.meshgrid(*reach, indexing="ij"), axis=-1).reshape(-1, 3)
    distances = np.linalg.norm(vectors @ cell + offset, axis=1)
    keys = np.ravel_multi_index(tuple((vectors % shape).T), shape)
    shortest = np.full(int(np.prod(shape)), np.inf)
    np.minimum.at(shortest, keys, distances)
    near = distances < shortest[keys] + SAME_DISTANCE
    counts = np.bincount(keys[near], minlength=len(shortest))
    return vectors[near], 1.0 / counts[keys[near]]


def dense_grid(shape: tuple[int, int, int]) -> NDArray:
    """[n1 n2 n3, 3], a grid through Gamma, in units of the reciprocal vectors."""
    axes = [np.arange(n) / n for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
