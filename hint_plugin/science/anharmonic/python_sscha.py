"""CellConstructor and python-sscha, imported when they are needed, and the conversions to and from them.

Theirs: dynmat(q) = sum_n Phi(0, n) exp(2 pi i q.n) in Ry/bohr^2, q in 1/A without 2 pi, masses in units of
two electron masses, positions in A, ensemble energies in Ry, forces in Ry/A, stresses in Ry/bohr^3 with the
sign of a pressure.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.errors import DataError
from hint_plugin.optional import wanted
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants

_ON_GRID = 1e-3
_HOW = (
    "this needs CellConstructor and python-sscha (No module named '{package}'): pip install "
    "'.[sscha]' in HINT's folder; they are built from source, with gfortran and the libraries openblas "
    "and lapack: apt-get install gfortran libopenblas-dev liblapack-dev pkg-config"
)


def cellconstructor() -> Any:
    """The package, with `Phonons`, `Structure`, `Units`. Raises MissingDependencyError."""
    with wanted("cellconstructor", message=_HOW), quiet():
        import cellconstructor.Phonons
        import cellconstructor.Structure
        import cellconstructor.Units
    return cellconstructor


def ensemble_class() -> Any:
    """`sscha.Ensemble.Ensemble`. Raises MissingDependencyError."""
    with wanted("cellconstructor", "sscha", message=_HOW), quiet():
        import sscha.Ensemble
    return sscha.Ensemble.Ensemble


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the packages warn of and print, their Fortran parts included."""
    _flush_fortran()
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(nowhere.fileno(), 1)
            yield
            _flush_fortran()
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _flush_fortran() -> None:
    """What Fortran has printed goes out now, not when the process ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libgfortran.so.5")._gfortran_flush_i4(None)


def ry_per_bohr2() -> float:
    """eV/A^2 in one Ry/bohr^2, of CellConstructor's own constants."""
    units = cellconstructor().Units
    return float(units.RY_TO_EV * units.A_TO_BOHR**2)


def to_cellconstructor(constants: ForceConstants) -> Any:
    """As `cellconstructor.Phonons.Phonons`, its q points sorted into stars.

    Raises:
        DataError: atoms of one element have different masses. MissingDependencyError.
    """
    package = cellconstructor()
    atoms = constants.atoms
    structure = package.Structure.Structure()
    structure.generate_from_ase_atoms(atoms)
    structure.unit_cell = atoms.cell.array.copy()
    structure.coords = np.ascontiguousarray(atoms.positions)
    _one_mass_each(atoms)
    found = package.Phonons.Phonons(structure, constants.cells)
    grid = np.indices(constants.repeats).reshape(3, -1).T / np.array(constants.repeats)
    points = (grid - np.rint(grid - 1e-9)) @ np.linalg.inv(atoms.cell.array).T
    matrices = constants.at_q().reshape(constants.cells, *constants.blocks.shape[3:]) / ry_per_bohr2()
    found.q_tot = [point.copy() for point in points]
    found.dynmats = [np.array(matrix, dtype=np.complex128) for matrix in matrices]
    found.q_stars = [[point.copy()] for point in points]
    with quiet():
        found.AdjustQStar()
    found.initialized = True
    return found


def from_cellconstructor(dyn: Any) -> ForceConstants:
    """From `cellconstructor.Phonons.Phonons`.

    Raises:
        DataError: the q points are no full grid, or a matrix is not Hermitian, or does not belong to real
            force constants.
    """
    units = cellconstructor().Units
    structure = dyn.structure
    atoms = Atoms(
        [_element(name) for name in structure.atoms],
        positions=structure.coords,
        cell=structure.unit_cell,
        masses=np.asarray(structure.get_masses_array()) * units.MASS_RY_TO_UMA,
        pbc=True,
    )
    matrices = np.array(dyn.dynmats, dtype=np.complex128) * ry_per_bohr2()
    points = np.array(dyn.q_tot) @ atoms.cell.array.T
    return from_matrices(atoms, points, matrices)


def from_matrices(atoms: Atoms, points: NDArray, matrices: NDArray) -> ForceConstants:
    """From D [Q, 3N, 3N] (eV/A^2) at q [Q, 3] (fractional), a full grid in any order.

    Raises:
        DataError: see `from_cellconstructor`.
    """
    repeats = grid_of(points)
    places = np.rint(points * np.array(repeats)).astype(np.int64) % np.array(repeats)
    on_grid = np.zeros((*repeats, *matrices.shape[1:]), dtype=np.complex128)
    on_grid[tuple(places.T)] = matrices
    if not np.isfinite(matrices).all():
        raise DataError("the dynamical matrices hold NaN or infinity")
    scale = abs(matrices).max() or 1.0
    skew = abs(matrices - matrices.conj().transpose(0, 2, 1)).max() / scale
    if skew > 1e-3:
        raise DataError(f"the dynamical matrices are not Hermitian: {skew:.1e} of the largest element")
    blocks = np.fft.fftn(on_grid, axes=(0, 1, 2), norm="forward")
    imaginary = abs(blocks.imag).max() / (abs(blocks.real).max() or 1.0)
    if imaginary > 1e-3:
        raise DataError(
            f"the dynamical matrices do not belong to real force constants: imaginary parts of "
            f"{imaginary:.1e} of the largest; D(-q) must be D(q)*, and real at Gamma and where -q is q"
        )
    return ForceConstants(atoms, np.ascontiguousarray(blocks.real))


def grid_of(points: NDArray) -> tuple[int, int, int]:
    """The grid n1, n2, n3 that fractional q points [Q, 3] fill. Raises DataError if they do not."""
    steps = []
    for column in np.asarray(points, dtype=float).T:
        inside = column % 1.0
        distances = np.minimum(inside, 1.0 - inside)
        smallest = distances[distances > _ON_GRID]
        steps.append(1 if not len(smallest) else int(np.rint(1.0 / smallest.min())))
    repeats = np.array(steps)
    on_grid = points * repeats
    places = np.rint(on_grid).astype(np.int64)
    if abs(on_grid - places).max() > _ON_GRID * repeats.max():
        raise DataError(f"{len(points)} q points that lie on no regular grid; wanted those of one supercell")
    found = {tuple(map(int, place)) for place in places % repeats}
    if len(found) != len(points) or len(points) != repeats.prod():
        missing = [place for place in np.ndindex(*map(int, repeats)) if place not in found]
        first = ", ".join(
            f"({', '.join(f'{h}/{n}' for h, n in zip(p, steps, strict=True))})" for p in missing[:4]
        )
        raise DataError(
            f"{len(points)} q points of which {len(found)} differ; a {'x'.join(map(str, steps))} grid has "
            f"{repeats.prod()}: missing {first or 'none'}{' ...' if len(missing) > 4 else ''}. Are all files "
            "of the set there, and was the whole star written?"
        )
    return steps[0], steps[1], steps[2]


def _element(name: str) -> str:
    """Of a label as Quantum ESPRESSO has them: Fe1, H_2."""
    from ase.data import atomic_numbers

    letters = "".join(c for c in name.strip()[:2] if c.isalpha())
    for guess in (letters.capitalize(), letters[:1].upper()):
        if guess in atomic_numbers:
            return guess
    raise DataError(f"atom label '{name}'; wanted one that begins with an element's symbol")


def _one_mass_each(atoms: Atoms) -> None:
    for symbol in set(atoms.symbols):
        masses = atoms.get_masses()[atoms.symbols == symbol]
        if np.ptp(masses) > 1e-6:
            raise DataError(
                f"{symbol} has masses from {masses.min()} to {masses.max()}; CellConstructor has one for each"
            )
