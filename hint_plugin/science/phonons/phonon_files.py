"""A crystal from any file, and the results of a phonon run as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from hint_plugin.data import read_frames
from hint_plugin.data.file_io import replacing, without_mark
from hint_plugin.data.formats import qe_dyn
from hint_plugin.data.formats.common import reading
from hint_plugin.data.formats.occupancy import check_occupancy
from hint_plugin.data.formats.qe_set import dyn_set, is_dyn, is_stem
from hint_plugin.data.structures.electrons import refuse_electrons_of_a_cell
from hint_plugin.errors import DataError
from hint_plugin.science.phonons.crystals import (
    check_crystal,
    in_a_box,
    in_angstrom,
    need_phonopy,
    quiet,
    to_ase,
)

if TYPE_CHECKING:
    from phonopy import Phonopy

WIDTH = 10.0
"""A: how wide a supercell is at least if none is asked for."""
_FRAMES = (".xyz", ".extxyz", ".h5", ".hdf5")


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


def default_supercell(atoms: Atoms, width: float = WIDTH) -> list[int]:
    """How often each lattice vector is repeated for opposite faces to be `width` (A) apart, or more;
    once where a layer is not periodic."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(in_a_box(atoms).cell.array), axis=0)
    times = [max(1, int(np.ceil(width / height - 1e-6))) for height in heights]
    return [n if periodic else 1 for n, periodic in zip(times, atoms.pbc, strict=True)]


def write_phonopy(phonon: Phonopy, folder: Path) -> None:
    """phonopy.yaml (Born charges too) and FORCE_CONSTANTS, compact: `phonopy-load` reads them."""
    from phonopy.file_IO import write_FORCE_CONSTANTS

    with quiet():
        with replacing(folder / "phonopy.yaml") as temporary:
            phonon.save(
                temporary, settings={"force_sets": False, "displacements": False, "force_constants": False}
            )
        with replacing(folder / "FORCE_CONSTANTS") as temporary:
            write_FORCE_CONSTANTS(
                np.asarray(phonon.force_constants), filename=str(temporary), p2s_map=phonon.primitive.p2s_map
            )
