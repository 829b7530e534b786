"""Force constants as ph.x's dynamical matrices: `fildyn`0 and a file for each star of q points.

    C_ij(q) = sum_R Phi(0 i, R j) exp(i q.R),        R: lattice vectors of the primitive cell

in Ry/bohr^2, without masses, at the q of the n1 x n2 x n3 grid that is the supercell (the layout and signs of
`hint_plugin.data.formats.qe_dyn`, which reads them). q2r.x, matdyn.x and CellConstructor go on from there.
Born charges are not written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.units import Bohr
from numpy.typing import NDArray

from hint_plugin.data.file_io import replacing
from hint_plugin.data.formats.qe_dyn import AMU_RY, RY_PER_BOHR2
from hint_plugin.errors import DataError
from hint_plugin.science.phonons.crystals import CM_PER_THZ, supercell_repeats

if TYPE_CHECKING:
    from phonopy import Phonopy

_SAME = 1e-6
_SQRT_RY_TO_THZ = 3289.841960250880  # Ry/h in THz: of sqrt(Ry / bohr^2 / (m_e / 2))


def write_dyn(phonon: Phonopy, stem: Path) -> list[Path]:
    """Write STEM0, STEM1, ...

    Args:
        phonon: with force constants in eV/A^2, whose supercell is n1 x n2 x n3 of its primitive cell.
        stem: path of the files without their number, as `DIR/pdh.dyn`.

    Returns:
        the files.

    Raises:
        DataError: no force constants, or another supercell.
    """
    grid = check_dyn(phonon)
    stars = _stars(phonon, grid)
    alat = float(np.linalg.norm(phonon.primitive.cell[0]))
    to_cartesian = np.linalg.inv(phonon.primitive.cell).T * alat  # 2 pi / alat
    listed = [f"  {n}" for n in ("   ".join(map(str, grid)), len(stars))]
    listed += ["".join(f"{x:24.15E}" for x in star[0] @ to_cartesian) for star in stars]
    files = [_write(stem.with_name(f"{stem.name}0"), listed)]
    for number, star in enumerate(stars, start=1):
        lines = _header(phonon, alat)
        matrices = [_matrix(phonon, q) for q in star]
        for q, matrix in zip(star, matrices, strict=True):
            lines += _block(q @ to_cartesian, matrix)
        lines += _diagonalised(star[0] @ to_cartesian, matrices[0], phonon.primitive.masses)
        files.append(_write(stem.with_name(f"{stem.name}{number}"), lines))
    return files


def check_dyn(phonon: Phonopy) -> NDArray[np.int64]:
    """The grid of q points, n1, n2, n3. Raises DataError as `write_dyn` does."""
    if phonon.force_constants is None:
        raise DataError("dyn files: the Phonopy object has no force constants")
    try:
        return np.array(supercell_repeats(phonon))
    except DataError as error:
        raise DataError(f"dyn files: {error}; start from the primitive cell") from error


def _stars(phonon: Phonopy, grid: NDArray[np.int64]) -> list[list[NDArray]]:
    """The q of the grid, fractional, in classes that rotations and q -> -q make of each other."""
    rotations = np.asarray(phonon.primitive_symmetry.pointgroup_operations)
    turns = np.concatenate([rotations, -rotations])
    left = {tuple(index): np.array(index) / grid for index in np.ndindex(*grid)}
    stars = []
    while left:
        first = left[next(iter(left))]
        star = []
        for turn in turns:
            # fractional q transform with the transposed inverse; the group has that as well
            q = turn.T @ first
            key = tuple(int(k) for k in np.rint(q * grid).astype(int) % grid)
            if key in left and np.abs(q * grid - np.rint(q * grid)).max() < _SAME:
                star.append(left.pop(key))
        stars.append(star)
    return stars


def _matrix(phonon: Phonopy, q: NDArray) -> NDArray:
    """C(q) [n, 3, n, 3], Ry/bohr^2."""
    primitive, large = phonon.primitive, phonon.supercell
    constants = np.asarray(phonon.force_constants)
    rows = constants if len(constants) == len(primitive) else constants[primitive.p2s_map]
    places = large.positions - large.positions[primitive.s2p_map]
    cells = np.rint(places @ np.linalg.inv(primitive.cell))  # R, in primitive lattice vectors
    owners = np.array([primitive.p2p_map[s] for s in primitive.s2p_map])
    phases = np.exp(2j * np.pi * (cells @ q))
    found = np.zeros((len(primitive), 3, len(primitive), 3), dtype=complex)
    for j in range(len(primitive)):
        chosen = owners == j
        found[:, :, j, :] = np.einsum("isab,s->iab", rows[:, chosen], phases[chosen])
    return found / RY_PER_BOHR2


def _header(phonon: Phonopy, alat: float) -> list[str]:
    cell = phonon.primitive
    kinds = list(dict.fromkeys(zip(cell.symbols, np.round(cell.masses, 8), strict=True)))
    celldm = "".join(f"{x:11.7f}" for x in (alat / Bohr, 0, 0, 0, 0, 0))
    lines = ["Dynamical matrix file", "HINT", f"{len(kinds):3d}{len(cell):5d}{0:4d}{celldm}", "Basis vectors"]
    lines += ["  " + "".join(f"{x:15.9f}" for x in row / alat) for row in cell.cell]
    lines += [
        f"{k:12d}  '{symbol:<4s}'  {mass * AMU_RY:.12f}" for k, (symbol, mass) in enumerate(kinds, start=1)
    ]
    for k, (symbol, mass, position) in enumerate(zip(cell.symbols, cell.masses, cell.positions, strict=True)):
        kind = kinds.index((symbol, np.round(mass, 8))) + 1
        lines.append(f"{k + 1:5d}{kind:5d}" + "".join(f"{x:18.10f}" for x in position / alat))
    return lines


def _block(q: NDArray, matrix: NDArray) -> list[str]:
    lines = ["", "     Dynamical  Matrix in cartesian axes", "", f"     q = ( {_numbers(q, 14, 9)} ) ", ""]
    n = len(matrix)
    for i, j in np.ndindex(n, n):
        lines.append(f"{i + 1:5d}{j + 1:5d}")
        for row in matrix[i, :, j, :]:
            lines.append("  ".join(f"{z.real:16.10f}{z.imag:16.10f}" for z in row))
    return lines


def _diagonalised(q: NDArray, matrix: NDArray, masses: Any) -> list[str]:
    weights = np.repeat(np.asarray(masses) * AMU_RY, 3) ** -0.5
    n = 3 * len(matrix)
    square = weights[:, None] * matrix.reshape(n, n) * weights
    squared, vectors = np.linalg.eigh(0.5 * (square + square.conj().T))
    thz = np.sign(squared) * np.sqrt(np.abs(squared)) * _SQRT_RY_TO_THZ
    stars = " " + 74 * "*"
    lines = [
        "",
        "     Diagonalizing the dynamical matrix",
        "",
        f"     q = ( {_numbers(q, 14, 9)} ) ",
        "",
        stars,
    ]
    moves = weights[:, None] * vectors
    moves /= np.linalg.norm(moves, axis=0)
    for k in range(n):
        lines.append(f"     freq ({k + 1:5d}) ={thz[k]:15.6f} [THz] ={thz[k] * CM_PER_THZ:15.6f} [cm-1]")
        for atom in moves[:, k].reshape(-1, 3):
            lines.append(" (" + "".join(f"{z.real:10.6f}{z.imag:10.6f}" for z in atom) + " ) ")
    return [*lines, stars]


def _numbers(values: NDArray, width: int, digits: int) -> str:
    return "".join(f"{x:{width}.{digits}f}" for x in values)


def _write(path: Path, lines: list[str]) -> Path:
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
