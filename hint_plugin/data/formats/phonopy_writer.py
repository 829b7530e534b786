"""Write a supercell with a full Hessian for phonopy."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.file_io import replacing
from hint_plugin.data.formats.common import reading
from hint_plugin.data.labels.extxyz import read_label
from hint_plugin.errors import DataError
from hint_plugin.optional import load


def write(path: Path, frames: Iterable[Atoms], *, symmetry_precision: float = 1e-5) -> int:
    """Write one periodic frame with a full Hessian label.

    A name `*.yaml` becomes one file with structure and force constants; any other name a folder with
    phonopy.yaml and FORCE_CONSTANTS. The frame is kept as phonopy's unit cell and supercell at once, in its
    own order of atoms; the primitive cell is found by symmetry, so `phonopy-load` draws bands as from any
    other run.

    Args:
        path: a file, or a folder that does not exist.
        frames: one frame.
        symmetry_precision: in A, of the search for the primitive cell.

    Returns:
        1.

    Raises:
        DataError: no or several frames, not periodic in three directions, no full label, the folder exists.
        MissingDependencyError: phonopy is not installed.
    """
    load("phonopy", "phonons", f"{path} needs phonopy")
    atoms = _only(path, frames)
    label = read_label(atoms, source=path, frame=0)
    if not atoms.pbc.all():
        raise DataError(f"{path}: {atoms.get_chemical_formula()} is not periodic in three directions")
    if label is None or label.kind != "full" or label.hessian is None:
        kind = "no" if label is None else f"a {label.kind}"
        raise DataError(f"{path}: {atoms.get_chemical_formula()} has {kind} Hessian label; wanted a full one")
    n = len(atoms)
    constants = label.hessian.reshape(n, 3, n, 3).transpose(0, 2, 1, 3).copy()
    with reading(path, 0, "a crystal that phonopy takes"):
        phonon = _phonon(atoms, symmetry_precision)
        phonon.force_constants = constants
    if path.suffix == ".yaml":
        with replacing(path) as temporary:
            phonon.save(temporary, settings={"force_constants": True})
        return 1
    if path.exists():
        raise DataError(f"{path}: exists. A folder is not replaced: remove it, or take another name")
    folder = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    folder.mkdir()
    try:
        from phonopy.file_IO import write_FORCE_CONSTANTS

        phonon.save(folder / "phonopy.yaml", settings={"force_sets": False, "displacements": False})
        write_FORCE_CONSTANTS(constants, filename=str(folder / "FORCE_CONSTANTS"))
        os.replace(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1


def _only(path: Path, frames: Iterable[Atoms]) -> Atoms:
    taken = list(islice(iter(frames), 2))
    if len(taken) != 1:
        count = "several" if taken else "no"
        raise DataError(f"{path}: {count} frames; phonopy's files hold one crystal. Choose one")
    return taken[0]


def _phonon(atoms: Atoms, symmetry_precision: float) -> Any:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    spins = atoms.get_initial_magnetic_moments()
    cell = PhonopyAtoms(
        symbols=list(atoms.symbols),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
        magnetic_moments=spins.tolist() if spins.any() else None,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="primitive_matrix defaulted")  # it is meant
        return Phonopy(cell, supercell_matrix=[1, 1, 1], primitive_matrix="auto", symprec=symmetry_precision)
