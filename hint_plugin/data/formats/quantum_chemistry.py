"""Outputs of ORCA, Gaussian, Q-Chem and TURBOMOLE: geometries, energies, forces, Hessians.

cclib reads geometries, energies and gradients of every step of a run, but for ORCA (`orca_output`). It knows
no Hessian but Q-Chem's, so the others are read here or beside:

| program | Hessian | decimals, hartree/bohr^2 |
|---|---|---|
| Gaussian | of the archive entry at the end of a frequency job, with the geometry there | 8 |
| Q-Chem | "Hessian of the SCF Energy", "Final Hessian" | 7 |
| TURBOMOLE | aoforce's "CARTESIAN FORCE CONSTANT MATRIX", translations and rotations projected out | 7 |
| ORCA | not in the output: NAME.hess beside NAME.out | 10 |

A rounding error of half of the last decimal is kept as the label's noise. The energy is that of the method
with which the forces go: coupled cluster before MP2 before SCF (of ORCA, its FINAL SINGLE POINT ENERGY).
Each job of an output is read by itself (`qc_jobs`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

from hint_plugin.data.file_io import DAMAGED, PACKED, opened
from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.data.formats.gaussian_archive import Archive, last_archive
from hint_plugin.data.formats.orca import SAME_GEOMETRY
from hint_plugin.data.formats.orca import read as read_hess
from hint_plugin.data.formats.orca_output import read_steps
from hint_plugin.data.formats.qc_jobs import jobs
from hint_plugin.data.formats.qc_steps import Steps, by_cclib
from hint_plugin.data.labels.extxyz import DEFAULT_KEYS, write_label
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.errors import DataError, LabelWarning

UNIT = Hartree / Bohr**2
"""eV/A^2 in one hartree/bohr^2: 97.17."""
_BANNERS = {
    "Gaussian": "Entering Gaussian System",
    "ORCA": "* O   R   C   A *",
    "Q-Chem": "Welcome to Q-Chem",
    "TURBOMOLE": "TURBOMOLE",
}
_NO_HESSIAN = {
    "ORCA": "ORCA writes it to a file of the same name that ends in .hess: put that beside the output",
}
_AOFORCE = "CARTESIAN FORCE CONSTANT MATRIX"
_GEOMETRY = "Atomic coordinate, charge and isotope information"
_SAME_ENERGY = 1e-5  # hartree, between what is printed and the archive entry
_TORQUE = 0.02  # relative, and in hartree: forces of another orientation have one of the size of |r| |F|


def recognise(path: Path) -> bool:
    """The banner of one of the programs."""
    return _program(path) is not None


def members(path: Path) -> list[Path]:
    """The files that `read` reads."""
    beside = _hess(path)
    return [path, *([beside] if _program(path) == "ORCA" and beside.is_file() else [])]


def read(path: Path) -> Iterator[Atoms]:
    """The geometries of the run, in order; the last one of each job with its Hessian, if there is one.

    Raises:
        DataError: no output of these programs, not finished, damaged, or not certain what belongs together.
        MissingDependencyError: cclib is not installed, and the output is not ORCA's.
    """
    program = _program(path)
    if program is None:
        raise DataError(f"{path}: no output of {', '.join(_BANNERS)}, by its first lines")
    with reading(path, wanted=f"an output of {program}"), opened(path, "rb") as handle:
        text = handle.read().decode("utf-8", errors="replace")
    parts = jobs(text, program)
    frames: list[Atoms] = []
    for number, part in enumerate(parts):
        frames += _of_job(path, program, part, len(frames), (number, len(parts)))
    yield from frames


def _of_job(path: Path, program: str, text: str, first: int, place: tuple[int, int]) -> list[Atoms]:
    """The frames of one job; `first` is the number of the first one, `place` which job it is of how many."""
    number, total = place
    source = path if total == 1 else path.with_name(f"{path.name}, job {number + 1} of {total}")
    with reading(source, wanted=f"an output of {program}"):
        if program == "ORCA":
            steps = read_steps(source, text)
        else:
            steps = by_cclib(source, program, None if total == 1 else text)
        frames = [_frame(source, steps, k, program, first) for k in range(len(steps.positions))]
    _add_hessian(path, source, steps, program, text, frames[-1], first + len(frames) - 1)
    return frames


def _program(path: Path) -> str | None:
    try:
        with opened(path, "rb") as handle:
            start = handle.read(20_000).decode("utf-8", errors="replace")
    except DAMAGED:
        return None
    return next((name for name, banner in _BANNERS.items() if banner in start), None)


def _hess(path: Path) -> Path:
    """NAME.hess for NAME.out and NAME.out.gz."""
    return (path.with_suffix("") if path.suffix.lower() in PACKED else path).with_suffix(".hess")


def _frame(path: Path, steps: Steps, number: int, program: str, first: int) -> Atoms:
    atoms = Atoms(steps.numbers, steps.positions[number], masses=steps.masses)
    for name, value in (("charge", steps.charge), ("spin", steps.multiplicity)):
        if value is not None:
            atoms.info[name] = int(value)
    energy, gradient = steps.energies[number], steps.gradients[number]
    forces = None if gradient is None else -gradient * Hartree / Bohr
    _check_torque(path, first + number, atoms, forces)
    return labelled(
        atoms,
        "quantum-chemistry",
        energy=None if energy is None else energy * Hartree,
        forces=forces,
        engine=program.lower(),
        engine_version=steps.version,
        method=steps.method,
    )


def _check_torque(path: Path, number: int, atoms: Atoms, forces: NDArray | None) -> None:
    """Refuse forces that are not of this geometry's orientation: those of a molecule alone have no torque."""
    if forces is None or len(atoms) < 2:
        return
    arms = atoms.positions - atoms.positions.mean(axis=0)
    torque = np.abs(np.cross(arms, forces).sum(axis=0)).max()
    size = float((np.linalg.norm(arms, axis=1) * np.linalg.norm(forces, axis=1)).sum())
    if torque > _TORQUE * size + 0.002 * Hartree:
        raise DataError(
            f"{path}, frame {number}: the forces have a torque of {torque:.2g} eV, so they are not of this "
            "geometry or orientation. Is there an external field? Then the frame is no label of the molecule"
        )


def _add_hessian(
    path: Path, source: Path, steps: Steps, program: str, text: str, last: Atoms, number: int
) -> None:
    if program == "Gaussian" and (archive := last_archive(text)) is not None:
        with reading(source, number, "the archive entry of Gaussian"):
            _from_archive(last, archive)
        return
    if program == "TURBOMOLE" and _AOFORCE in text:
        with reading(source, number, "aoforce's force constants"):
            _put(last, _turbomole(text, len(last)), decimals=7)
        return
    if program == "ORCA" and source == path and (beside := _hess(path)).is_file():
        (other,) = read_hess(beside)
        if (
            np.array_equal(other.numbers, last.numbers)
            and np.abs(other.positions - last.positions).max() < SAME_GEOMETRY
        ):
            _put(last, other.info[DEFAULT_KEYS.hessian] / UNIT, decimals=10)
            return
    if steps.hessian is not None:
        with reading(source, number, f"the Hessian of {program}"):
            _put(last, steps.hessian, decimals=7)
        return
    if steps.has_frequencies:
        advice = _NO_HESSIAN.get(program, "Give the formatted checkpoint file instead")
        if source != path and program == "ORCA":
            advice = (
                f"{_hess(path).name} may be any job's and is not taken: give each job an output of its own"
            )
        text = f"{source}: frequencies and no Hessian, which cannot be made of them. {advice}."
        warnings.warn(text, LabelWarning, stacklevel=4)


def _put(atoms: Atoms, matrix: NDArray, decimals: int) -> None:
    """A Hessian in hartree/bohr^2 as label, with the standard deviation of its rounding as noise."""
    noise = 10.0**-decimals / np.sqrt(12) * UNIT
    hessian = 0.5 * (matrix + matrix.T) * UNIT
    write_label(atoms, HessianLabel.full(hessian, n_atoms=len(atoms), noise=noise))


def _from_archive(atoms: Atoms, archive: Archive) -> None:
    """The geometry of the archive entry in place of the printed one: its Hessian is of that orientation."""
    if not np.array_equal(archive.numbers, atoms.numbers):
        raise ValueError("the atoms of the archive entry are others, or in another order")
    before, after = (_distances(x) for x in (atoms.positions, archive.positions))
    if np.abs(before - after).max() > SAME_GEOMETRY:
        raise ValueError("the geometry of the archive entry is another one than the last that is printed")
    energy = atoms.info.get(DEFAULT_KEYS.energy)
    if energy is not None and archive.energies:
        off = min(abs(energy / Hartree - value) for value in archive.energies)
        if off > _SAME_ENERGY:
            raise ValueError(f"the energies of the archive entry are {off:.2g} hartree from the last printed")
    atoms.positions = archive.positions
    if archive.gradient is not None:
        atoms.arrays[DEFAULT_KEYS.forces] = -archive.gradient * Hartree / Bohr
    else:
        atoms.arrays.pop(DEFAULT_KEYS.forces, None)
    _put(atoms, archive.hessian, decimals=8)


def _distances(positions: NDArray) -> NDArray:
    return np.linalg.norm(positions[:, None] - positions[None], axis=2)


def _turbomole(text: str, n: int) -> NDArray[np.float64]:
    """aoforce's lower triangle, six columns (two atoms) at a time."""
    block = text[text.index(_AOFORCE) :]
    if block.count(_AOFORCE) > 1 or _GEOMETRY in block:
        raise ValueError("another geometry or force constants follow; give each run a file of its own")
    matrix = np.full((3 * n, 3 * n), np.nan)
    first, row = -6, 0
    for line in block.splitlines()[3:]:
        if line.strip().startswith("ATOM"):
            first += 6
            row = first
            continue
        found = re.match(r"\s*(?:\d+\s+[a-z]+\s+)?d([xyz])((?:\s*-?\d+\.\d{7})+)\s*$", line)
        if found is None:
            if row == 3 * n and first + 6 >= 3 * n:
                break
            continue
        values = np.array(re.findall(r"-?\d+\.\d{7}", found[2]), dtype=float)
        if "xyz"[row % 3] != found[1]:
            raise ValueError(f"the force constants of aoforce are not in order, at {line.strip()[:40]!r}")
        matrix[row, first : first + len(values)] = values
        row += 1
    lower = np.tril(matrix)
    if np.isnan(lower).any():
        raise ValueError("the force constants of aoforce are not complete")
    return np.asarray(lower + np.tril(lower, -1).T)
