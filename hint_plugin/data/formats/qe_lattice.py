"""Lattice vectors of Quantum ESPRESSO's `ibrav`: the table of INPUT_PW, which ASE does not have.

Files of ph.x write only `ibrav` and `celldm`. Symbols: a = celldm(1), b = a celldm(2), c = a celldm(3);
alpha, beta, gamma are the angles of the axes b c, a c, a b.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.units import Bohr
from numpy.typing import NDArray


def lattice(ibrav: int, celldm: Sequence[float]) -> NDArray[np.float64]:
    """The three vectors, rows, in A.

    Args:
        ibrav: all but 0, whose vectors are written out.
        celldm: six numbers; the first in bohr.

    Raises:
        ValueError: an ibrav that is not in the table.
    """
    vectors = _cubic_and_trigonal(ibrav, celldm)
    if vectors is None:
        vectors = _orthogonal(ibrav, celldm)
    if vectors is None:
        vectors = _oblique(ibrav, celldm)
    if vectors is None:
        raise ValueError(f"ibrav = {ibrav}; wanted one of Quantum ESPRESSO's table")
    return np.array(vectors, dtype=float) * celldm[0] * Bohr


def _cubic_and_trigonal(ibrav: int, celldm: Sequence[float]) -> NDArray | None:
    """In units of a."""
    if ibrav in (5, -5):
        cosine = celldm[3]
        tx, ty, tz = np.sqrt((1 - cosine) / 2), np.sqrt((1 - cosine) / 6), np.sqrt((1 + 2 * cosine) / 3)
        if ibrav == 5:
            return np.array([[tx, -ty, tz], [0, 2 * ty, tz], [-tx, -ty, tz]])
        u, v = (tz - 2 * np.sqrt(2) * ty) / np.sqrt(3), (tz + np.sqrt(2) * ty) / np.sqrt(3)
        return np.array([[u, v, v], [v, u, v], [v, v, u]])
    tables = {
        1: np.eye(3),
        2: 0.5 * np.array([[-1, 0, 1], [0, 1, 1], [-1, 1, 0]]),
        3: 0.5 * np.array([[1, 1, 1], [-1, 1, 1], [-1, -1, 1]]),
        -3: 0.5 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
    }
    return tables.get(ibrav)


def _orthogonal(ibrav: int, celldm: Sequence[float]) -> NDArray | None:
    """Hexagonal, tetragonal and orthorhombic, in units of a."""
    b, c = celldm[1], celldm[2]
    tables = {
        4: [[1, 0, 0], [-0.5, np.sqrt(3) / 2, 0], [0, 0, c]],
        6: [[1, 0, 0], [0, 1, 0], [0, 0, c]],
        7: [[0.5, -0.5, c / 2], [0.5, 0.5, c / 2], [-0.5, -0.5, c / 2]],
        8: [[1, 0, 0], [0, b, 0], [0, 0, c]],
        9: [[0.5, b / 2, 0], [-0.5, b / 2, 0], [0, 0, c]],
        -9: [[0.5, -b / 2, 0], [0.5, b / 2, 0], [0, 0, c]],
        91: [[1, 0, 0], [0, b / 2, -c / 2], [0, b / 2, c / 2]],
        10: [[0.5, 0, c / 2], [0.5, b / 2, 0], [0, b / 2, c / 2]],
        11: [[0.5, b / 2, c / 2], [-0.5, b / 2, c / 2], [-0.5, -b / 2, c / 2]],
    }
    return np.array(tables[ibrav]) if ibrav in tables else None


def _oblique(ibrav: int, celldm: Sequence[float]) -> NDArray | None:
    """Monoclinic and triclinic, in units of a."""
    b, c, fourth, fifth, sixth = celldm[1:6]
    if ibrav in (12, 13):  # unique axis c: gamma
        second = [b * fourth, b * np.sqrt(1 - fourth**2), 0]
        if ibrav == 12:
            return np.array([[1, 0, 0], second, [0, 0, c]])
        return np.array([[0.5, 0, -c / 2], second, [0.5, 0, c / 2]])
    if ibrav in (-12, -13):  # unique axis b: beta
        third = [c * fifth, 0, c * np.sqrt(1 - fifth**2)]
        if ibrav == -12:
            return np.array([[1, 0, 0], [0, b, 0], third])
        return np.array([[0.5, b / 2, 0], [-0.5, b / 2, 0], third])
    if ibrav != 14:
        return None
    cos_a, cos_b, cos_g = fourth, fifth, sixth
    sin_g = np.sqrt(1 - cos_g**2)
    height = np.sqrt(1 + 2 * cos_a * cos_b * cos_g - cos_a**2 - cos_b**2 - cos_g**2) / sin_g
    third = [c * cos_b, c * (cos_a - cos_b * cos_g) / sin_g, c * height]
    return np.array([[1, 0, 0], [b * cos_g, b * sin_g, 0], third])
