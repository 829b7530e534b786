"""One unit cell of a crystal from any file, and phonopy's cells as ASE atoms."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from hint_plugin.data.file_io import without_mark
from hint_plugin.data.formats import qe_dyn
from hint_plugin.data.formats.common import reading
from hint_plugin.data.formats.occupancy import check_occupancy
from hint_plugin.data.formats.qe_set import dyn_set, is_dyn, is_stem
from hint_plugin.data.sets.frames import read_frames
from hint_plugin.data.structures.electrons import refuse_electrons_of_a_cell
from hint_plugin.data.structures.supercells import dressed
from hint_plugin.errors import DataError
from hint_plugin.optional import load

_FRAMES = (".xyz", ".extxyz", ".h5", ".hdf5")
_SAME_ATOM = 0.1  # A


def read_crystal(path: Path, layers: bool = False) -> Atoms:
    """One unit cell: of any format of ASE (CIF, POSCAR, pw.x's input), a file with one frame, phonopy's YAML,
    or the dynamical matrices of ph.x (a set by one of its names).

    Args:
        layers: periodic in two directions is enough.

    Raises:
        DataError: missing, unreadable, several frames, no crystal, a cell with a charge or spin, or a
        disordered
            crystal (partial occupancies).
    """
    if not path.is_file() and not is_stem(path):
        raise DataError(f"{path}: {'a folder; wanted a file' if path.is_dir() else 'no such file'}")
    if path.suffix in _FRAMES:
        frames = read_frames(path)
        if len(frames) != 1:
            raise DataError(f"{path} has {len(frames)} frames; wanted one crystal")
        atoms = frames[0]
    else:
        with reading(path, wanted="a crystal in a format of ASE, phonopy's YAML, or ph.x's fildyn"):
            atoms = _other(path)
    check_occupancy(atoms, path)
    check_crystal(atoms, layers)
    refuse_electrons_of_a_cell(atoms, str(path))
    return atoms


def _other(path: Path) -> Atoms:
    import ase.io
    from ase.io.formats import UnknownFileTypeError

    if is_dyn(path):
        return qe_dyn.read_file(dyn_set(path).files[0]).atoms
    if ".yaml" in path.suffixes[-2:]:
        need_phonopy()
        from phonopy.interface.phonopy_yaml import read_phonopy_yaml

        with quiet():
            file = read_phonopy_yaml(str(path))
            return in_angstrom(to_ase(file.unitcell), file.calculator)
    try:
        with without_mark(path) as text:
            found: Any = ase.io.read(text)
    except UnknownFileTypeError as error:
        raise DataError(
            f"{path}: no known format of a crystal; wanted one of ASE (.cif, POSCAR, .xyz, pw.x's input), "
            "phonopy's YAML, or ph.x's fildyn"
        ) from error
    return found


def check_crystal(atoms: Atoms, layers: bool = False) -> None:
    """Raises DataError unless `atoms` is a periodic crystal with finite numbers and a right-handed cell.

    Args:
        layers: periodic in two directions is enough.
    """
    if not len(atoms):
        raise DataError("a crystal without atoms")
    periodic = int(atoms.pbc.sum())
    if periodic < 2 or (periodic == 2 and not layers):
        raise DataError(_not_periodic(atoms, periodic))
    if any(length < 1e-8 for length in atoms.cell.lengths()[atoms.pbc]) or (
        periodic == 3 and atoms.cell.rank < 3
    ):
        raise DataError(f"{atoms.symbols}: the cell lacks a lattice vector in a direction that is periodic")
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise DataError(f"{atoms.symbols}: a position or the cell is NaN or infinite")
    if atoms.cell.rank == 3 and np.linalg.det(atoms.cell.array) < 0:
        raise DataError(
            f"{atoms.symbols}: the cell is left-handed (a x b points away from c), and programs of symmetry "
            "want a right-handed one. Exchange two of its lattice vectors, or turn all three around"
        )
    if len(neighbor_list("i", atoms, _SAME_ATOM)):
        raise DataError(f"{atoms.symbols}: two atoms are at one place, within {_SAME_ATOM} A")


def _not_periodic(atoms: Atoms, periodic: int) -> str:
    words = "".join("T" if axis else "F" for axis in atoms.pbc)
    if periodic == 2:
        return (
            f"{atoms.symbols} is a layer (pbc {words}), and this is for crystals that are periodic in three "
            "directions; hint phonons and hint double-well take layers"
        )
    if periodic == 1:
        return f"{atoms.symbols} is a chain (pbc {words}); wanted a crystal, periodic in three directions"
    return (
        f"{atoms.symbols} is not periodic in three directions, and phonons are of crystals; "
        "hint vibrations is for molecules"
    )


def need_phonopy() -> Any:
    """The package. Raises MissingDependencyError with the extra that brings it."""
    return load("phonopy", "phonons", "phonons need phonopy")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the remarks that phonopy and seekpath make about their own versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def to_ase(cell: Any, crystal: Atoms | None = None) -> Atoms:
    """phonopy's cell as ASE atoms, with its masses and magnetic moments.

    Args:
        crystal: what its atoms carry, and in how many directions it is periodic (`dressed`); nothing else is
            known, and three, if not given.
    """
    found = Atoms(
        cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, masses=cell.masses, pbc=True
    )
    if getattr(cell, "magnetic_moments", None) is not None:
        found.set_initial_magnetic_moments(cell.magnetic_moments)
    return found if crystal is None else dressed(found, crystal)


def in_angstrom(atoms: Atoms, calculator: str | None) -> Atoms:
    """A cell of phonopy's in A; those of files for Quantum ESPRESSO, ABINIT, ... are in bohr."""
    from phonopy.interface.calculator import get_calculator_physical_units

    scale = float(get_calculator_physical_units(calculator).distance_to_A)
    if scale == 1.0:
        return atoms
    found = atoms.copy()
    found.set_cell(scale * atoms.cell.array, scale_atoms=True)
    return found


def given_crystal(structure: Atoms | str | Path, layers: bool = False) -> Atoms:
    """One unit cell that is a file's (`read_crystal`), or there already, without its calculator.

    Raises:
        DataError: see `read_crystal`; of atoms, too.
    """
    if not isinstance(structure, Atoms):
        return read_crystal(Path(structure), layers)
    atoms = structure.copy()
    check_occupancy(atoms, str(atoms.symbols))
    check_crystal(atoms, layers)
    refuse_electrons_of_a_cell(atoms, str(atoms.symbols))
    return atoms


def name_of(structure: Atoms | str | Path) -> str:
    """Of a file its path, of atoms their formula."""
    return str(structure.symbols) if isinstance(structure, Atoms) else str(structure)


def short_name_of(structure: Atoms | str | Path) -> str:
    """Of a file its name without folder and suffix, of atoms their formula."""
    return str(structure.symbols) if isinstance(structure, Atoms) else Path(structure).stem
