"""Hessians and their products by central differences of forces, and how far they can be trusted.

    H v ~ -(F(x + s v) - F(x - s v)) / (2 s),   s = h / |v|,

with an error of s^2/6 d^3F[v, v, v] from the truncation and of sigma_F/(sqrt(2) s) from the noise of the
forces. With the length |s v| = h of the displacement kept the same for a column and for a dense probe, both
give the same error of an element of H (measured: 1e-5 to 5e-5 eV/A^2 for GFN2-xTB at h = 0.001 A; ten times
that if every coordinate moved by h).

*Noise* is always the standard error of one element of H, in eV/A^2, so that all kinds of label compare:

| label | what disagrees | noise |
|---|---|---|
| full, symmetrised | D = H - H^T | rms(D) / 2 |
| full, of what is to be invariant to translations | S_a = sum_b H_ab | rms(S) / sqrt(N), if larger |
| rows of the atoms A | D of the block H_AA | rms(D) / sqrt(2) |
| projected, K >= 4 | d = v1.(Hv2) - v2.(Hv1) | rms(d / sqrt(2 (|v1|^2 |v2|^2 - (v1.v2)^2))) |
| projected, K < 4 | Hv1 with steps h and 2h | rms(Hv(h) - Hv(2h)) / rms(v) / sqrt(3N) |

Those of D and d follow from independent errors of variance sigma^2 in the elements of H before
symmetrisation: D has 2 sigma^2, the symmetrised matrix sigma^2/2; d = v1.(H - H^T).v2. Of rows only the
block is symmetrised. S is zero by the acoustic sum rule; for wB97X/6-31G(d) Hessians of water it was 0.094,
0.012, 0.0038 on grids 2, 3, 4 of PySCF where the true errors were 0.094, 0.011, 0.0020 and the asymmetry
3e-4. Errors that are themselves symmetric are not seen: against exact Hessians the true error was up to
twice the estimate. Few pairs can agree by chance, hence the third estimate below K = 4; it is an upper one,
3 times the truncation error or 1.1 times the noise of the forces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Forces = Callable[[NDArray], NDArray]


def hvp(forces: Forces, positions: NDArray, probes: NDArray, step: float) -> NDArray:
    """Products H v_k by central differences: 2K calls.

    Args:
        forces: positions [N, 3] in A -> forces [N, 3] in eV/A.
        positions: [N, 3], A.
        probes: [K, N, 3].
        step: Euclidean length of the displacement of all atoms together, A.

    Returns:
        [K, N, 3], eV/A^2 times the unit of the probes.
    """
    products = np.empty_like(probes)
    for k, probe in enumerate(probes):
        scale = step / np.linalg.norm(probe)
        forward = forces(positions + scale * probe)
        products[k] = (forces(positions - scale * probe) - forward) / (2 * scale)
    return products


@dataclass(frozen=True)
class DifferenceHessian:
    """A symmetric H [3N, 3N] in eV/A^2; its noise, and max |H - H^T| before symmetrisation."""

    matrix: NDArray
    noise: float
    asymmetry: float


def hessian(
    forces: Forces, positions: NDArray, step: float, *, translation_invariant: bool = False
) -> DifferenceHessian:
    """H by central differences along every coordinate, symmetrised: 6N calls.

    Where a translation of everything changes nothing (a molecule or a cell, and no grid that is fixed in
    space), the last atom need not be moved: 6(N - 1) calls. Its elements with another atom a are known from
    moving a, H_Na = H_aN^T, and its own block is minus their sum, H_NN = -sum_a H_Na (acoustic sum rule).

    Args:
        forces: positions [N, 3] in A -> forces [N, 3] in eV/A.
        positions: [N, 3], A.
        step: length of a displacement, A.
        translation_invariant: whether `forces` are.
    """
    size = positions.size
    moved = size - 3 if translation_invariant and size > 3 else size
    units = np.eye(size)[:moved].reshape(moved, -1, 3)
    rows = hvp(forces, positions, units, step).reshape(moved, size)
    square = rows[:, :moved]
    noise, asymmetry = hessian_noise(square)
    matrix = np.empty((size, size))
    matrix[:moved, :moved] = 0.5 * (square + square.T)
    if moved < size:
        last = rows[:, moved:]
        corner = -last.reshape(-1, 3, 3).sum(0)
        matrix[:moved, moved:], matrix[moved:, :moved] = last, last.T
        matrix[moved:, moved:] = 0.5 * (corner + corner.T)
    return DifferenceHessian(matrix, noise, asymmetry)


def hessian_noise(matrix: NDArray) -> tuple[float, float]:
    """(noise after symmetrisation, max |H - H^T|) of a raw H [n, n], eV/A^2; see the table above."""
    difference = (matrix - matrix.T)[np.triu_indices(len(matrix), 1)]
    return float(np.sqrt(np.mean(difference**2)) / 2), float(np.abs(difference).max())


def translation_noise(matrix: NDArray) -> float:
    """Noise of a symmetric H [3N, 3N] by what the acoustic sum rule sum_b H_ab = 0 leaves, eV/A^2."""
    atoms = len(matrix) // 3
    sums = matrix.reshape(3 * atoms, atoms, 3).sum(axis=1)
    return float(np.sqrt(np.mean(sums**2) / atoms))


def rows_from_products(products: NDArray, columns: NDArray) -> DifferenceHessian:
    """Rows H[A, :], [3m, 3N], from the products H e_c, [3m, N, 3], with the unit vectors of A's coordinates.

    The block H_AA, known twice, is symmetrised; its asymmetry gives the noise.

    Args:
        products: in the order of `columns`.
        columns: the 3m coordinates of A, 3a + axis.
    """
    matrix = products.reshape(len(columns), -1).copy()
    block = matrix[:, columns]
    noise, asymmetry = hessian_noise(block)
    matrix[:, columns] = 0.5 * (block + block.T)
    return DifferenceHessian(matrix, np.sqrt(2) * noise, asymmetry)


def pair_noise(probes: NDArray, products: NDArray) -> float | None:
    """Noise from all pairs of K >= 2 probes [K, N, 3], eV/A^2; None where all probes are parallel."""
    v, hv = probes.reshape(len(probes), -1), products.reshape(len(probes), -1)
    first, second = np.triu_indices(len(v), 1)
    gram, product = v @ v.T, v @ hv.T
    area = gram[first, first] * gram[second, second] - gram[first, second] ** 2
    seen = area > 1e-10 * gram[first, first] * gram[second, second]
    if not seen.any():
        return None
    difference = (product[first, second] - product[second, first])[seen]
    return float(np.sqrt(np.mean(difference**2 / (2 * area[seen]))))


def step_noise(probes: NDArray, fine: NDArray, coarse: NDArray) -> float:
    """Upper estimate of the noise from products with steps h and 2h, both [K, N, 3]; eV/A^2."""
    rms = np.sqrt(np.mean((fine - coarse) ** 2) / np.mean(probes**2))
    return float(rms / np.sqrt(probes[0].size))
