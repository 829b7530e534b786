"""q2r.x's force constants (`flfrc`, NAME.fc) -> the Hessian of the supercell.

The file holds the crystal as in ph.x's files, then Phi(R i a, 0 j b) in Ry/bohr^2 for each pair of axes and
of atoms on the grid n1 n2 n3 of lattice vectors R, the first index fastest (PHonon: q2r.f90). So

    H[(R i a), (R' j b)] = Phi(R - R', i a, j b).

q2r.x imposes its acoustic sum rule (`zasr`) on the way. Of polar crystals with Born charges in the file it
has taken the long-range part out: what is left is no Hessian, and such a file is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

from hint_plugin.data.file_io import opened, text_of
from hint_plugin.data.formats.common import reading
from hint_plugin.data.formats.qe_dyn import RY_PER_BOHR2, crystal_of, supercell_label
from hint_plugin.errors import DataError


def recognise(path: Path) -> bool:
    """Two numbers, ibrav and six celldm in the first line."""
    try:
        with opened(path) as handle:
            words = handle.readline().split()
        return (
            len(words) == 9 and all(word.lstrip("-").isdigit() for word in words[:3]) and float(words[3]) > 0
        )
    except (OSError, ValueError):
        return False


def read(path: Path, *, rows: bool = False) -> Iterator[Atoms]:
    """One frame: the supercell with its full Hessian label.

    Args:
        path: the file.
        rows: keep the rows of the first primitive cell only.

    Raises:
        DataError: damaged, or without the long-range part of a polar crystal.
    """
    with reading(path, wanted="force constants of q2r.x"):
        lines = text_of(path).splitlines()
        _, n, ibrav = (int(word) for word in lines[0].split()[:3])
        atoms, _, at = crystal_of(lines, 0, 1 if ibrav == 0 else None)
        if lines[at].split()[0].strip(".").upper().startswith("T"):
            raise DataError(
                f"{path}: with Born charges q2r.x keeps the short-range part of the force constants alone, "
                "which is no Hessian. Give the dynamical matrices instead, NAME.dyn0"
            )
        grid = tuple(int(word) for word in lines[at + 1].split())
        if len(grid) != 3:
            raise ValueError(f"the grid is {lines[at + 1].strip()!r}")
        phi = _blocks(lines[at + 2 :], n, grid)
    yield supercell_label(atoms, phi, grid, rows, "qe-fc", {"engine": "q2r.x"})


def _blocks(lines: list[str], n: int, grid: tuple[int, ...]) -> np.ndarray:
    """[n1, n2, n3, N, 3, N, 3] in eV/A^2: Phi(0 i, R j), which is Phi(-R i, 0 j) of the file."""
    size = int(np.prod(grid))
    body = [line.split() for line in lines if line.strip()]
    if len(body) != 9 * n * n * (size + 1):
        raise ValueError(f"{len(body)} lines of force constants; wanted {9 * n * n * (size + 1)}")
    phi = np.full((*grid, n, 3, n, 3), np.nan)
    for block in range(9 * n * n):
        a, b, i, j = (int(word) - 1 for word in body[block * (size + 1)])
        for words in body[block * (size + 1) + 1 : (block + 1) * (size + 1)]:
            place = tuple(-(int(word) - 1) % m for word, m in zip(words, grid, strict=False))
            element = (*place, i, a, j, b)
            phi[element] = float(words[3].replace("D", "E"))
    if np.isnan(phi).any():
        raise ValueError("a force constant is missing")
    return phi * RY_PER_BOHR2
