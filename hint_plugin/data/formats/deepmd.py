"""deepmd-kit: a folder for each system, arrays of all its frames in `set.*`. Read and written.

| file | what | unit |
|---|---|---|
| type.raw | [N] types of the atoms | |
| type_map.raw | the element of each type | |
| nopbc | there is no cell | |
| set.*/coord.npy | [frames, 3N] | A |
| set.*/box.npy | [frames, 9], rows are lattice vectors | A |
| set.*/energy.npy | [frames] | eV |
| set.*/force.npy | [frames, 3N] | eV/A |
| set.*/virial.npy | [frames, 9] = - volume x stress | eV |
| set.*/hessian.npy | [frames, 9 N^2], row-major | eV/A^2 |
| set.*/real_atom_types.npy | [frames, N] types of each frame ("mixed"), -1 for no atom | |

The layout is that of deepmd-kit's documentation ("Formats of a system"); for the sign of the virial see
dpdata. `fparam`, `aparam` and other files are left out. A folder of systems is read as one set.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

from hint_plugin.data.file_io import text_of
from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.data.formats.deepmd_writer import write
from hint_plugin.errors import DataError, LabelWarning

__all__ = ["read", "recognise", "write"]

LABELS = ("energy", "force", "virial", "hessian")
_KNOWN = frozenset({*LABELS, "coord", "box", "real_atom_types"})
_LEFT_OUT = frozenset(
    ["fparam", "aparam", "dipole", "polarizability", "atomic_dipole", "atomic_polarizability", "atom_ener",
     "atom_pref", "atom_dos", "dos", "drdq", "spin", "force_mag", "charge_spin", "type"]
)  # fmt: skip
"""Arrays of deepmd-kit that are no label of ours."""


def recognise(path: Path) -> bool:
    """A folder with type.raw, itself or below."""
    return path.is_dir() and next(path.rglob("type.raw"), None) is not None


def read(path: Path) -> Iterator[Atoms]:
    """The frames, system by system in alphabetical order; `info` gets `system`, the folder below `path`.

    Raises:
        DataError: no system there, arrays of different lengths, damaged; with the set and the frame in it.
    """
    systems = sorted(found.parent for found in path.rglob("type.raw"))
    if not systems:
        raise DataError(f"{path}: no type.raw, here or below; wanted a system of deepmd-kit or several")
    for system in systems:
        name = system.relative_to(path).as_posix()
        sets = sorted(system.glob("set.*"))
        if not sets:
            raise DataError(f"{system}: a system without set.*; wanted set.000 with coord.npy")
        with reading(system / "type.raw"):
            types = np.loadtxt(system / "type.raw", dtype=int, ndmin=1)
            names = text_of(system / "type_map.raw").split()
        _check_names(sets)
        for folder in sets:
            for atoms in _frames(folder, types, np.array(names), not (system / "nopbc").exists()):
                if name != ".":
                    atoms.info["system"] = name
                yield atoms


def _check_names(sets: list[Path]) -> None:
    """Warn of files that look like labels under another name, and of sets that lack what others have."""
    names = [{file.name.removesuffix(".npy") for file in folder.glob("*.npy")} for folder in sets]
    for folder, own in zip(sets, names, strict=True):
        if unknown := sorted(own - _KNOWN - _LEFT_OUT):
            warnings.warn(
                f"{folder}: {', '.join(f'{name}.npy' for name in unknown)} is left out; labels are in "
                f"{', '.join(f'{name}.npy' for name in LABELS)}. Rename it if it is one of them",
                LabelWarning,
                stacklevel=3,
            )
        usual = set.union(*names) | {"energy"}
        if lacking := [name for name in LABELS if name in usual and name not in own]:
            warnings.warn(
                f"{folder}: no {', '.join(f'{name}.npy' for name in lacking)}; its frames have no such label",
                LabelWarning,
                stacklevel=3,
            )


def _frames(folder: Path, types: np.ndarray, names: np.ndarray, periodic: bool) -> Iterator[Atoms]:
    with reading(folder):
        wanted = ["coord", *LABELS, *(["box"] if periodic else []), "real_atom_types"]
        needed = ("coord", "box") if periodic else ("coord",)
        for name in needed:
            if not (folder / f"{name}.npy").is_file():
                advice = "; for molecules make a file nopbc" if name == "box" else ""
                raise DataError(f"{folder}: no {name}.npy{advice}")
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in wanted
            if (folder / f"{name}.npy").is_file()
        }
        count = len(arrays["coord"])
        for name, array in arrays.items():
            if len(array) != count:
                raise ValueError(f"{name}.npy has {len(array)} frames and coord.npy {count}")
    for index in range(count):
        with reading(folder, index):
            atoms = _frame({name: np.array(array[index]) for name, array in arrays.items()}, types, names)
        yield atoms


def _frame(values: dict[str, np.ndarray], types: np.ndarray, names: np.ndarray) -> Atoms:
    types = values.pop("real_atom_types", types).astype(int)
    real = types >= 0
    n = types.size
    positions = values["coord"].reshape(n, 3)[real]
    atoms = Atoms(names[types[real]].tolist(), positions)
    if "box" in values:
        atoms.set_cell(values["box"].reshape(3, 3))
        atoms.pbc = True
    forces, virial, hessian = (values.get(name) for name in LABELS[1:])
    if hessian is not None and not real.all():
        both = np.repeat(real, 3)
        hessian = hessian.reshape(3 * n, 3 * n)[both][:, both]
    stress = None
    if virial is not None and "box" in values:
        virial = virial.reshape(3, 3)
        stress = -0.5 * (virial + virial.T) / atoms.get_volume()
    return labelled(
        atoms,
        "deepmd",
        energy=values.get("energy"),
        forces=None if forces is None else forces.reshape(n, 3)[real],
        stress=stress,
        hessian=hessian,
    )
