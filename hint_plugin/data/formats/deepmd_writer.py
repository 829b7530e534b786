"""Write systems of deepmd-kit; the layout is in `deepmd`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from hint_plugin.data.labels.extxyz import DEFAULT_KEYS, read_label
from hint_plugin.errors import DataError

_BYTES_AT_ONCE = 64 * 2**20


def write(path: Path, frames: Iterable[Atoms], *, set_size: int = 1000) -> int:
    """Write frames as systems of deepmd-kit: one folder for each composition and kind of labels.

    A single kind goes to `path` itself, several to folders named by the formula. Frames of one system share
    order of atoms, periodicity, and which labels they have, since deepmd-kit wants the same arrays for all
    frames of a set. Labels of rows or pairs (v, Hv) have no place in the format, nor have `info` and weights.

    Args:
        path: a folder that does not exist.
        frames: in any order; memory holds a set of each system, 64 MiB at most.
        set_size: frames of a set.

    Returns:
        the number of frames.

    Raises:
        DataError: the folder exists, a frame is periodic in some directions only, or has a Hessian label that
            is not full.
    """
    if path.exists():
        raise DataError(f"{path}: exists. A folder is not replaced: remove it, or take another name")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    systems: dict[tuple, _System] = {}
    count = 0
    try:
        for atoms in frames:
            values = _values(atoms, path, count)
            key = (atoms.numbers.tobytes(), bool(atoms.pbc.all()), tuple(values))
            if key not in systems:
                systems[key] = _System(temporary / f"{len(systems):06d}", atoms, set_size)
            systems[key].add(values)
            count += 1
        if not systems:
            raise DataError(f"{path}: no frames to write")
        for system in systems.values():
            system.flush()
        if len(systems) == 1:
            os.replace(next(iter(systems.values())).folder, path)
        else:
            _name(list(systems.values()))
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return count


class _System:
    """Frames of one kind; a set goes to disk when it is full."""

    def __init__(self, folder: Path, atoms: Atoms, set_size: int) -> None:
        self.folder, self.formula, self.set_size = folder, atoms.get_chemical_formula(), set_size
        self.sets = self.bytes = 0
        self.waiting: list[dict[str, np.ndarray]] = []
        names = sorted(set(atoms.symbols), key=atoms.symbols.get_chemical_formula().find)
        folder.mkdir()
        (folder / "type_map.raw").write_text("\n".join(names) + "\n")
        (folder / "type.raw").write_text("\n".join(str(names.index(s)) for s in atoms.symbols) + "\n")
        if not atoms.pbc.all():
            (folder / "nopbc").touch()

    def add(self, values: dict[str, np.ndarray]) -> None:
        self.waiting.append(values)
        self.bytes += sum(array.nbytes for array in values.values())
        if len(self.waiting) == self.set_size or self.bytes > _BYTES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if not self.waiting:
            return
        folder = self.folder / f"set.{self.sets:03d}"
        folder.mkdir()
        for name in self.waiting[0]:
            np.save(folder / f"{name}.npy", np.stack([values[name] for values in self.waiting]))
        self.sets, self.bytes, self.waiting = self.sets + 1, 0, []


def _values(atoms: Atoms, path: Path, number: int) -> dict[str, np.ndarray]:
    keys = DEFAULT_KEYS
    where = f"{path}, frame {number} ({atoms.get_chemical_formula()})"
    if atoms.pbc.any() and not atoms.pbc.all():
        raise DataError(
            f"{where}: periodic in some directions only; deepmd-kit knows none or three. Set pbc to all"
        )
    values = {"coord": atoms.positions.reshape(-1).copy()}
    if atoms.pbc.all():
        values["box"] = atoms.cell.array.reshape(-1).copy()
    if keys.energy in atoms.info:
        values["energy"] = np.asarray(atoms.info[keys.energy], dtype=float).reshape(())
    if keys.forces in atoms.arrays:
        values["force"] = np.asarray(atoms.arrays[keys.forces], dtype=float).reshape(-1)
    if keys.stress in atoms.info and atoms.pbc.all():
        stress = np.asarray(atoms.info[keys.stress], dtype=float)
        full = voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) else stress.reshape(3, 3)
        values["virial"] = -atoms.get_volume() * full.reshape(-1)
    label = read_label(atoms, source=path, frame=number)
    if label is not None:
        if label.kind != "full" or label.hessian is None:
            raise DataError(f"{where}: a Hessian label of kind {label.kind}; deepmd-kit holds full ones only")
        values["hessian"] = label.hessian.reshape(-1)
    return values


def _name(systems: list[_System]) -> None:
    """Folders by formula, numbered where several systems share it."""
    formulas = [system.formula for system in systems]
    for index, system in enumerate(systems):
        same = [i for i, formula in enumerate(formulas) if formula == system.formula]
        number = f".{same.index(index)}" if len(same) > 1 else ""
        os.replace(system.folder, system.folder.with_name(system.formula + number))
