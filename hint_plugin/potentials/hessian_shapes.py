"""Hessians in the shapes of other packages, and theirs in ours.

HINT's `get_hessian` returns H [3N, 3N], element (3a + i, 3b + j) of atom a, axis i, and atom b, axis j.
Others order the same numbers d2E / dx_ai dx_bj in other shapes:

| name | shape | element of (a, i) and (b, j) | who returns it |
|---|---|---|---|
| `hint`, `aimnet` | [3N, 3N] | (3a + i, 3b + j) | HINT, AIMNet2's ASE calculator, Sella wants it |
| `mace` | [3N, N, 3] | (3a + i, b, j) | MACE's ASE calculator |
| `nequix` | [N, N, 3, 3] | (a, b, i, j) | nequix, PySCF, phonopy's force constants |
| `axes` | [N, 3, N, 3] | (a, i, b, j) | `torch.autograd.functional.hessian` of positions [N, 3] |

The first, second and last have their numbers in the same order, and a `reshape` takes one to the other. The
third has not: a `reshape` of it is a matrix of the wrong atoms and axes, of the right shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.settings import did_you_mean

SHAPES = ("hint", "aimnet", "mace", "nequix", "axes")
_SYMMETRIC = 1e-3
"""Of the largest element: what the Hessian of a calculator may lack in symmetry, by differences for
instance."""


def in_shape_of(hessian: NDArray, name: str) -> NDArray:
    """H [3N, 3N] in the shape of another package (`SHAPES`), in the same unit.

    Raises:
        OptionsError: a name that is not known. DataError: no square matrix of 3N rows.
    """
    if name not in SHAPES:
        raise OptionsError(f"shape {name!r}; wanted one of {', '.join(SHAPES)}.{did_you_mean(name, SHAPES)}")
    matrix = np.asarray(hessian)
    n = len(matrix) // 3 if matrix.ndim == 2 else 0
    if matrix.shape != (3 * n, 3 * n):
        raise DataError(f"a Hessian of shape {matrix.shape}; wanted [3N, 3N]")
    by_axes = matrix.reshape(n, 3, n, 3)
    if name == "mace":
        return by_axes.reshape(3 * n, n, 3)
    if name == "nequix":
        return np.ascontiguousarray(by_axes.transpose(0, 2, 1, 3))
    return by_axes if name == "axes" else matrix


def as_matrix(hessian: ArrayLike, n_atoms: int) -> NDArray[np.float64]:
    """H [3N, 3N] of a Hessian in any of these shapes, or flat.

    Three atoms have [N, 3, N, 3] = [N, N, 3, 3]: there the reading counts in which the matrix is symmetric.

    Args:
        hessian: in any unit, which stays.
        n_atoms: N.

    Raises:
        DataError: a shape that is none of these, or of three atoms, if both readings are symmetric or none
            is.
    """
    array, n = np.asarray(hessian, dtype=float), n_atoms
    straight = ((9 * n * n,), (3 * n, 3 * n), (3 * n, n, 3), (n, 3, n, 3))
    readings = [array.reshape(3 * n, 3 * n)] if array.shape in straight else []
    if array.shape == (n, n, 3, 3):
        readings.append(array.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n))
    if not readings:
        wanted = ", ".join(map(str, ((3 * n, 3 * n), (3 * n, n, 3), (n, n, 3, 3), (n, 3, n, 3))))
        raise DataError(f"a Hessian of shape {array.shape} for {n} atoms; wanted one of {wanted}")
    if len(readings) > 1 and not np.allclose(readings[0], readings[1]):
        limit = _SYMMETRIC * float(np.abs(array).max())
        readings = [one for one in readings if np.abs(one - one.T).max() <= limit]
        if len(readings) != 1:
            raise DataError(
                "a Hessian of shape (3, 3, 3, 3) is symmetric in both of its readings, (N, 3, N, 3) and "
                "(N, N, 3, 3), or in none: give it as (9, 9)"
            )
    return readings[0]
