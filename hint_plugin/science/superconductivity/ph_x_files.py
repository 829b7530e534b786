"""Files of ph.x: electron-phonon matrices (elph_dir/a2Fq2r.*) and dynamical matrices, matched by q point."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from hint_plugin.data.formats.common import reading
from hint_plugin.data.formats.fortran import glued_numbers
from hint_plugin.data.formats.qe_dyn import RY_PER_BOHR2, read_file
from hint_plugin.data.formats.qe_set import dyn_set
from hint_plugin.errors import DataError
from hint_plugin.science.superconductivity.coupling_matrices import ElectronPhononMatrices

SAME_Q = 1e-4  # in reciprocal vectors; the files have nine digits


def broadenings(folder: Path) -> dict[float, int]:
    """The broadenings (Ry) of a folder `elph_dir`, and the number in the names of their files.

    Raises:
        DataError: no such folder, or nothing of ph.x in it.
    """
    found: dict[float, int] = {}
    for path in sorted(folder.glob("a2Fq2r.*.1")):
        with reading(path, wanted="broadening, Fermi energy and density of states"):
            found[round(float(path.read_text().split()[0]), 10)] = int(path.name.split(".")[1])
    if not found:
        raise DataError(
            f"{folder}: no files a2Fq2r.N.1; wanted the folder elph_dir of ph.x with electron_phonon = "
            "'interpolated'"
        )
    return dict(sorted(found.items()))


def read_matrices(folder: Path, broadening: float | None = None) -> ElectronPhononMatrices:
    """The files a2Fq2r.* of one broadening, all stars.

    Args:
        folder: `elph_dir`.
        broadening: Ry; may be left out if there is only one.

    Raises:
        DataError: no such broadening; a damaged file; files of different runs.
    """
    known = broadenings(folder)
    if broadening is None and len(known) == 1:
        broadening = next(iter(known))
    number = next(
        (n for b, n in known.items() if broadening is not None and abs(b - broadening) < 1e-8), None
    )
    if number is None:
        got = "none was chosen" if broadening is None else f"got {broadening:g}"
        raise DataError(
            f"{folder} has the broadenings {', '.join(f'{b:g}' for b in known)} Ry; {got}; give one of these"
        )
    paths = sorted(folder.glob(f"a2Fq2r.{number}.*"), key=lambda path: int(path.suffix[1:]))
    stars = [_read_star(path) for path in paths]
    if any(header != stars[0][0] for header, _, _ in stars):
        raise DataError(
            f"{folder}: the files a2Fq2r.{number}.* have different densities of states. Are they of one run?"
        )
    if [int(path.suffix[1:]) for path in paths] != list(range(1, len(paths) + 1)):
        raise DataError(
            f"{folder}: of a2Fq2r.{number}.* the numbers are {[p.suffix[1:] for p in paths]}; one is missing"
        )
    width, fermi, dos = stars[0][0]
    if not dos > 0:
        raise DataError(f"{paths[0]}: the density of states at the Fermi level is {dos}; wanted a metal")
    sums = np.concatenate([matrices for _, _, matrices in stars])
    sums = 0.5 * (sums + sums.conj().swapaxes(1, 2))
    q = np.concatenate([q for _, q, _ in stars])
    _each_once(paths, [points for _, points, _ in stars])
    return ElectronPhononMatrices(q, sums * (RY_PER_BOHR2 / (2 * dos)), dos, fermi, width)


_PAIR = re.compile(r"\s*(\d+)\s+(\d+)\s*")


def _each_once(paths: list[Path], stars: list[NDArray]) -> None:
    """Raises DataError where a q point is in two files: its star would weigh twice."""
    for number, points in enumerate(stars):
        for earlier, others in zip(paths[:number], stars[:number], strict=True):
            apart = np.abs(points[:, None] - others[None]).max(axis=2)
            if (apart < SAME_Q).any():
                q = points[int(np.argwhere(apart < SAME_Q)[0][0])]
                raise DataError(
                    f"{paths[number]} has q = {q} (2 pi/alat), which {earlier.name} has, too; wanted each "
                    "star once. Is one of them a copy, or of another run?"
                )


def _read_star(path: Path) -> tuple[tuple[float, float, float], NDArray, NDArray]:
    """Header, q [S, 3], G [S, 3n, 3n] of one file: blocks `i j` and three lines of three complex numbers."""
    with reading(path, wanted="electron-phonon matrices of ph.x"):
        head, *sections = re.split(r"Dynamical\s+Matrix in cartesian axes", path.read_text())
        words = head.split()
        if len(sections) != int(words[3]):
            raise ValueError(f"{len(sections)} matrices where {words[3]} are announced")
        qs, matrices = [], []
        for section in sections:
            start, body = section.split("(", 1)[1].split(")", 1)
            qs.append([float(word) for word in start.split()])
            pairs = [match.groups() for line in body.splitlines() if (match := _PAIR.fullmatch(line))]
            rows = "\n".join(line for line in body.splitlines() if not _PAIR.fullmatch(line))
            numbers = np.array(glued_numbers(rows))
            n = round(len(pairs) ** 0.5)
            matrix = np.zeros((n, 3, n, 3), dtype=complex)
            for (i, j), block in zip(pairs, numbers.reshape(n * n, 3, 3, 2), strict=True):
                matrix[int(i) - 1, :, int(j) - 1, :] = block[..., 0] + 1j * block[..., 1]
            matrices.append(matrix.reshape(3 * n, 3 * n))
        return (float(words[0]), float(words[1]), float(words[2])), np.array(qs), np.array(matrices)


def read_points(path: Path) -> tuple[NDArray, float]:
    """q [Q, 3] in 2 pi / alat of all matrices of a set, and alat in A. Raises DataError."""
    files = [read_file(one) for one in dyn_set(path).files]
    points = [np.array(point) * (files[0].alat / file.alat) for file in files for point in file.q]
    return np.array(points), float(files[0].alat)


def read_force_constants(path: Path, q: ArrayLike) -> tuple[Atoms, float, NDArray]:
    """C(q) of dynamical-matrix files at given q points.

    The files of a self-consistent run may have another alat than those of ph.x (CellConstructor's is the
    length of the first lattice vector), and files of electron-phonon matrices do not say theirs: that one is
    taken for which all q points are there.

    Args:
        path: a set of files of ph.x (harmonic) or of a self-consistent run that writes the same layout, by
            one of its names: PREFIX, PREFIX0, PREFIX1, ... (`data.formats.qe_set`).
        q: [Q, 3], 2 pi / alat.

    Returns:
        the primitive cell (with the files' masses), the alat of `q` in A, and [Q, 3n, 3n] in eV/A^2.

    Raises:
        DataError: missing or damaged files; a q point that none of them has, up to reciprocal-lattice vectors
            and time reversal.
    """
    files = [read_file(one) for one in dyn_set(path).files]
    atoms, cell = files[0].atoms, files[0].atoms.cell.array
    points = np.array([point for file in files for point in file.q]) @ (cell / files[0].alat).T
    matrices = [matrix.reshape(3 * len(atoms), -1) for file in files for matrix in file.matrices]
    wanted = np.asarray(q, dtype=float)
    lengths = np.linalg.norm(cell, axis=1)
    for alat in (files[0].alat, *(factor * length for factor in _ALAT for length in lengths)):
        found = [_at(place, points, matrices) for place in wanted @ (cell / alat).T]
        if all(one is not None for one in found):
            return atoms, float(alat), _hermitian(path, np.array(found)) * RY_PER_BOHR2
    missing = [_at(place, points, matrices) is None for place in wanted @ (cell / files[0].alat).T]
    raise DataError(
        f"{path}: no matrix at q = {np.round(wanted[missing.index(True)], 4)} (2 pi/alat), which the "
        f"electron-phonon matrices have. Wanted the same grid of q points; it has {len(points)}"
    )


#: alat over the length of a primitive vector: simple, face-centred, body-centred lattices.
_ALAT = (1.0, 2**0.5, 2 / 3**0.5)


def _at(place: NDArray, points: NDArray, matrices: list[NDArray]) -> NDArray | None:
    """The matrix at a fractional q, or the conjugate of that at -q."""
    for sign in (1, -1):
        off = points - sign * place
        hit = np.flatnonzero(np.abs(off - np.rint(off)).max(axis=1) < SAME_Q)
        if len(hit):
            return matrices[hit[0]] if sign == 1 else matrices[hit[0]].conj()
    return None


def _hermitian(path: Path, matrices: NDArray) -> NDArray:
    off = np.abs(matrices - matrices.conj().swapaxes(1, 2)).max()
    if off > 1e-3 * np.abs(matrices).max():
        raise DataError(
            f"{path}: a matrix is not Hermitian (by {off:.2g} Ry/bohr^2). Real and imaginary parts are "
            "wanted side by side, as ph.x writes them"
        )
    return 0.5 * (matrices + matrices.conj().swapaxes(1, 2))
