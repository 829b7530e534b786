"""Quantum ESPRESSO's ph.x: dynamical matrices on a grid of q points -> the Hessian of the supercell.

A file `fildyn`N holds the matrices C_ij(q) of a star of q points, in Ry/bohr^2, without masses; `fildyn`0
the grid n1 n2 n3 and the number of files. With C_ij(q) = sum_R Phi(0i, Rj) exp(i q.R), where R runs over
lattice vectors (no phases of the atoms' positions), the force constants of the n1 x n2 x n3 supercell are

    Phi(0i, Rj) = 1/(n1 n2 n3) sum_q C_ij(q) exp(-i q.R),        H[(R i), (R' j)] = Phi(0i, (R' - R) j):

periodic in the supercell, hence exactly its Hessian, and what its displaced copies would give by differences.
The layout is that of QE 5 to 7 (PHonon: write_dyn_on_file, q2qstar_ph; the sum is that of q2r.x). Nothing is
symmetrised and no acoustic sum rule imposed (q2r's `zasr`): the matrices of the q points come back to the
last digit, and how far the rule is broken is kept as `hint_acoustic_sum`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Rydberg

from hint_plugin.data.file_io import text_of
from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.data.formats.fortran import glued_numbers
from hint_plugin.data.formats.qe_lattice import lattice
from hint_plugin.data.formats.qe_set import dyn_set
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.errors import DataError

RY_PER_BOHR2 = Rydberg / Bohr**2  # 48.59 eV/A^2
AMU_RY = 911.4442431  # electron masses / 2 in one amu: the masses of the files, in Rydberg units
_LARGEST_GRID = 64
_ON_GRID = 1e-4  # in units of the grid's spacing; the files have nine digits


@dataclass
class DynamicalMatrices:
    """What one file holds.

    Attributes:
        atoms: the primitive cell.
        q: [3] each, 2 pi / alat; the star of the file and, where it is another, its negative.
        matrices: [N, 3, N, 3] complex, Ry/bohr^2, one for each q.
        frequencies: [3N], cm^-1, of the first q, as printed.
    """

    atoms: Atoms
    alat: float
    q: list[np.ndarray] = field(default_factory=list)
    matrices: list[np.ndarray] = field(default_factory=list)
    frequencies: list[float] = field(default_factory=list)


def members(path: Path, *, rows: bool = False, only_this_file: bool = False) -> list[Path]:
    """The files that `read` reads."""
    return list(dyn_set(path, only_this_file).all_files)


def read(path: Path, *, rows: bool = False, only_this_file: bool = False) -> Iterator[Atoms]:
    """One frame: the supercell with its full Hessian label.

    Args:
        path: a set of files by one of its names (`qe_set`), or one file that stands for itself.
        rows: keep the rows of the first primitive cell only: [3 N, 3 N n1 n2 n3] in place of the square.
        only_this_file: read one file of a set, which has to hold the Gamma point, for the Hessian of the
            primitive cell.

    Raises:
        DataError: a file is missing or damaged, a q point of the grid is missing or does not belong to it.
    """
    found = dyn_set(path, only_this_file)
    files = [read_file(file) for file in found.files]
    grid = found.grid or _grid_of(files)
    if found.stem is None and not any(np.allclose(q, 0.0, atol=1e-8) for q in files[0].q):
        raise DataError(f"{path}: one star of a grid, without Gamma; wanted all files of the set beside it")
    if found.stem is None:
        grid = (1, 1, 1)
    atoms, phi = _force_constants(path, files, grid)
    about = {"engine": "ph.x", "files": " ".join(file.name for file in found.all_files)}
    yield supercell_label(atoms, phi, grid, rows, "qe-dyn", about)


def read_file(path: Path) -> DynamicalMatrices:
    """The matrices of one file.

    Raises:
        DataError: missing, truncated, of another layout.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file, and the grid needs it")
    with reading(path, wanted="dynamical matrices of ph.x, as text"):
        lines = text_of(path).splitlines()
        found, start = _header(lines)
        n, number = len(found.atoms), start
        while number < len(lines):
            line = lines[number]
            if line.split()[:3] == ["Dynamical", "Matrix", "in"]:
                inside = lines[number + 2].split("(", 1)[1].split(")", 1)[0]
                found.q.append(np.array(glued_numbers(inside)))
                found.matrices.append(_matrix(lines, number + 4, n))
                number += 4 + 4 * n * n
            elif match := re.search(r"freq.*=\s*(\S+)\s*\[cm-1\]", line):
                found.frequencies.append(float(match[1]))
                number += 1
            else:
                number += 1
        if not found.matrices:
            raise ValueError("no dynamical matrix")
    return found


def _header(lines: list[str]) -> tuple[DynamicalMatrices, int]:
    if not lines[0].strip().startswith("Dynamical matrix file"):
        raise ValueError(f"it begins with {lines[0].strip()[:40]!r}")
    atoms, alat, at = crystal_of(lines, 2, 4 if lines[2].split()[2] == "0" else None)
    return DynamicalMatrices(atoms, alat), at


def crystal_of(lines: list[str], first: int, vectors: int | None) -> tuple[Atoms, float, int]:
    """The crystal as ph.x and q2r.x write it: (primitive cell, alat in A, number of the line behind it).

    Args:
        first: line of the numbers of elements and atoms, ibrav and celldm.
        vectors: line of the first lattice vector, where ibrav is 0.
    """
    words = lines[first].split()
    n_types, n_atoms, ibrav = (int(word) for word in words[:3])
    celldm = [float(word) for word in words[3:9]]
    alat, at = celldm[0] * Bohr, first + 1
    if vectors is not None:
        cell = np.array([glued_numbers(line) for line in lines[vectors : vectors + 3]]) * alat
        at = vectors + 3
    else:
        cell = lattice(ibrav, celldm)
    symbols, masses = [], []
    for line in lines[at : at + n_types]:
        name, mass = line.split("'")[1:]
        symbols.append(re.match(r"[A-Z][a-z]?", name.strip().capitalize())[0])  # type: ignore[index]
        masses.append(float(mass) / AMU_RY)
    rows = [line.split() for line in lines[at + n_types : at + n_types + n_atoms]]
    kinds = [int(row[1]) - 1 for row in rows]
    atoms = Atoms(
        [symbols[kind] for kind in kinds],
        np.array([row[2:5] for row in rows], dtype=float) * alat,
        cell=cell,
        pbc=True,
        masses=[masses[kind] for kind in kinds],
    )
    return atoms, alat, at + n_types + n_atoms


def _matrix(lines: list[str], start: int, n: int) -> np.ndarray:
    matrix = np.zeros((n, 3, n, 3), dtype=complex)
    for block in range(n * n):
        at = start + 4 * block
        i, j = (int(word) - 1 for word in lines[at].split())
        values = np.array([glued_numbers(line) for line in lines[at + 1 : at + 4]])
        matrix[i, :, j, :] = values[:, 0::2] + 1j * values[:, 1::2]
    return matrix


def _grid_of(files: list[DynamicalMatrices]) -> tuple[int, int, int]:
    """The smallest grid that has all q points, where no file says which it was."""
    cell, alat = files[0].atoms.cell.array, files[0].alat
    places = np.array([q for file in files for q in file.q]) @ (cell / alat).T
    sizes = []
    for axis in range(3):
        for size in range(1, _LARGEST_GRID + 1):
            if np.abs(places[:, axis] * size - np.rint(places[:, axis] * size)).max() < _ON_GRID:
                break
        sizes.append(size)
    return sizes[0], sizes[1], sizes[2]


def _force_constants(
    path: Path, files: list[DynamicalMatrices], grid: tuple[int, int, int]
) -> tuple[Atoms, np.ndarray]:
    """The primitive cell, and Phi [n1, n2, n3, N, 3, N, 3] in eV/A^2."""
    atoms, n = files[0].atoms, len(files[0].atoms)
    on_grid = np.full((*grid, n, 3, n, 3), np.nan, dtype=complex)
    for file in files:
        if len(file.atoms) != n or not np.allclose(file.atoms.positions, atoms.positions, atol=1e-4):
            raise DataError(f"{path}: the files are of different crystals. Are they of one run?")
        for q, matrix in zip(file.q, file.matrices, strict=True):
            place = (atoms.cell.array / file.alat) @ q * grid
            index = np.rint(place).astype(int)
            if np.abs(place - index).max() > _ON_GRID:
                if grid == (1, 1, 1):
                    continue
                raise DataError(f"{path}: q = {q} is not on the grid {grid}. Are the files of one run?")
            on_grid[tuple(index % grid)] = matrix
    for index in np.ndindex(*grid):  # C(-q) is the conjugate of C(q)
        opposite = tuple(-np.array(index) % grid)
        if np.isnan(on_grid[index]).any() and not np.isnan(on_grid[opposite]).any():
            on_grid[index] = on_grid[opposite].conj()
    missing = np.argwhere(np.isnan(on_grid).any(axis=(3, 4, 5, 6)))
    if len(missing):
        raise DataError(f"{path}: {len(missing)} q points of the grid {grid} are missing, first {missing[0]}")
    phi = np.fft.fftn(on_grid, axes=(0, 1, 2)) / np.prod(grid)
    if np.abs(phi.imag).max() > 1e-3 * np.abs(phi.real).max():
        raise DataError(f"{path}: the force constants are not real; the matrices of q and -q do not agree")
    return atoms, phi.real * RY_PER_BOHR2


def supercell_label(
    cell: Atoms, phi: np.ndarray, grid: tuple[int, ...], rows: bool, source_format: str, about: dict[str, Any]
) -> Atoms:
    """The supercell with its Hessian label.

    Args:
        cell: the primitive cell.
        phi: [n1, n2, n3, N, 3, N, 3], Phi(0 i, R j) in eV/A^2.
        grid: n1, n2, n3.
        rows: keep the rows of the first primitive cell only.
        source_format, about: provenance.
    """
    n, places = len(cell), np.array(list(np.ndindex(*grid)))
    supercell = Atoms(
        list(cell.symbols) * len(places),
        np.concatenate([cell.positions + place @ cell.cell.array for place in places]),
        cell=np.array(grid)[:, None] * cell.cell.array,
        pbc=True,
        masses=np.tile(cell.get_masses(), len(places)),
    )
    provenance: dict[str, Any] = about | {
        "q_grid": " ".join(map(str, grid)),
        "acoustic_sum": float(np.abs(phi.sum(axis=(0, 1, 2, 5))).max()),
    }
    origins = places[:1] if rows else places
    # Phi of the difference of cells: [origins, cells, N, 3, N, 3]
    difference = (places[None] - origins[:, None]) % grid
    blocks = phi[difference[..., 0], difference[..., 1], difference[..., 2]]
    matrix = blocks.transpose(0, 2, 3, 1, 4, 5).reshape(len(origins) * n * 3, len(places) * n * 3)
    if rows:
        label = HessianLabel.rows(matrix, np.arange(n), len(supercell), provenance=provenance)
    else:
        label = HessianLabel.full(matrix, n_atoms=len(supercell), provenance=provenance)
    return labelled(supercell, source_format, hessian=label, **provenance)
