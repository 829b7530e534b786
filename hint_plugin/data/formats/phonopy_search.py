"""Which of phonopy's files belong together: structure, force constants, forces."""

from __future__ import annotations

import lzma
import re
from dataclasses import dataclass
from pathlib import Path

from hint_plugin.data.file_io import opened
from hint_plugin.data.formats.common import reading
from hint_plugin.errors import DataError

_YAML = tuple(
    f"{name}.yaml{packed}"
    for name in ("phonopy_params", "phonopy", "phonopy_disp")
    for packed in ("", ".xz", ".gz", ".bz2")
)
_CONSTANTS = ("FORCE_CONSTANTS", "force_constants.hdf5")
_SETS = ("FORCE_SETS",)
WANTED = "FORCE_CONSTANTS, force_constants.hdf5 or FORCE_SETS"
_STRUCTURES = ("SPOSCAR", "POSCAR-unitcell", "POSCAR")


@dataclass(frozen=True)
class Sources:
    """Files of one crystal.

    Attributes:
        yaml, structure: one of the two: phonopy's YAML, or SPOSCAR, POSCAR.
        constants, sets: where force constants, or forces, are; None: inside the YAML.
        stored_full: the force constants are stored as a square.
    """

    yaml: Path | None
    structure: Path | None
    constants: Path | None
    sets: Path | None
    stored_full: bool


def recognise(path: Path) -> bool:
    """A YAML of phonopy, a file of its names, or a folder with force constants, forces or such a YAML."""
    if path.is_dir():
        return any((path / name).is_file() for name in (*_YAML, *_CONSTANTS, *_SETS))
    if path.name in (*_CONSTANTS, *_SETS) or path.name.startswith(("FORCE_", "force_constants")):
        return True
    if ".yaml" not in path.suffixes[-2:]:
        return False
    try:
        with opened(path) as handle:
            return bool(re.search(r"^phonopy:", handle.read(2000), re.MULTILINE))
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError):
        return False


def find_sources(path: Path) -> Sources:
    """The files that belong to `path`: a folder, a YAML, or a file of force constants or forces.

    Raises:
        DataError: nothing that gives force constants, or no structure.
    """
    folder = path if path.is_dir() else path.parent
    yaml = path if ".yaml" in path.suffixes[-2:] else _first(folder, _YAML)
    constants = sets = None
    is_inside = is_full = False
    if path.is_file() and path != yaml:
        is_sets = path.name.upper().startswith("FORCE_SETS")
        constants, sets = (None, path) if is_sets else (path, None)
    else:
        is_inside, is_full = (False, False) if yaml is None else _inside(yaml)
        if not is_inside:
            constants = _first(folder, _CONSTANTS)
            sets = None if constants is not None else _first(folder, _SETS)
    if not is_inside and constants is None and sets is None:
        raise DataError(f"{path}: no force constants and no forces in it; wanted {WANTED} beside it")
    structure = None
    if yaml is None:
        structure = _first(folder, _STRUCTURES[1:] if constants is None else _STRUCTURES[:1])
        if structure is None:
            other = "POSCAR" if constants is None else "SPOSCAR"
            raise DataError(
                f"{path}: no structure beside it; wanted phonopy.yaml, phonopy_disp.yaml or {other}"
            )
    if constants is not None:
        is_full = _stored_full(constants)
    return Sources(yaml, structure, constants, sets, is_full)


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _inside(path: Path) -> tuple[bool, bool]:
    """(force constants or forces are in the YAML, they are a square); by its lines, as parsing is slow."""
    has_forces = False
    with reading(path, 0, "YAML of phonopy"), opened(path) as handle:
        for line in handle:
            if line.startswith("force_constants:"):
                shape = next((other for other in handle if "shape:" in other), "")
                sizes = re.findall(r"\d+", shape)
                return True, len(sizes) == 2 and sizes[0] == sizes[1]
            has_forces = has_forces or re.match(r"[\s-]*forces?:\s*(\[|$)", line) is not None
    return has_forces, False


def _stored_full(path: Path) -> bool:
    with reading(path, 0, "force constants of phonopy"):
        if path.suffix == ".hdf5":
            import h5py

            with h5py.File(path, "r") as file:
                sizes = list((file["fc2"] if "fc2" in file else file["force_constants"]).shape[:2])
        else:
            with opened(path) as handle:
                sizes = [int(word) for word in handle.readline().split()]
        return len(sizes) == 1 or sizes[0] == sizes[1]
