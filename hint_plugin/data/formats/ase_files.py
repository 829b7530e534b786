"""Whatever else ASE reads: CIF, POSCAR, .traj, .db, .pdb, .gen, inputs and outputs of programs.

ASE tells the format from name and content. Energies, forces and stress that a file has stay under ASE's own
names, in the frame's calculator (`frame_labels`): only the file's author knows which method they are of.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.file_io import without_mark
from hint_plugin.data.formats import xyz
from hint_plugin.data.formats.common import reading
from hint_plugin.data.formats.occupancy import check_occupancy
from hint_plugin.errors import DataError

_ANYBODYS = frozenset({".out", ".log", ".dat", ".txt"})  # names that tell nothing: the content has to
_XYZ = ("xyz", "extxyz")
_UNASKED = frozenset({"json"})  # ASE takes each .json for a database; ours are plans and results


_READ_HERE = {
    "gaussian-out": "quantum-chemistry",
    "orca-output": "quantum-chemistry",
    "espresso-out": "qe-pw",
    "vasp-out": "vasp-outcar",
    "vasp-xml": "vasp-xml",
}
"""Formats of ASE, without Hessians -> those of HINT, with Hessians, which names of files decide about."""


def better(path: Path) -> str | None:
    """HINT's format for what ASE takes a file for, whatever its name; None: ASE is the best reader."""
    return _READ_HERE.get(_format_of(path) or "")


def recognise(path: Path) -> bool:
    """A file that ASE knows by name or content, and does read."""
    return path.is_file() and _format_of(path) not in (None, *_UNASKED)


def read(path: Path) -> Iterator[Atoms]:
    """The frames one by one.

    Raises:
        DataError: damaged, no atoms in it, or sites that are shared by several elements or partly empty.
    """
    from ase.io import ParseError, iread
    from ase.io.formats import UnknownFileTypeError

    kind, number = _format_of(path), 0
    if kind is None:
        raise DataError(f"{path}: no format that ASE reads")
    if kind in _XYZ:  # never by ASE itself, which takes a blank line for the end
        yield from xyz.read(path)
        return
    also = (ParseError, UnknownFileTypeError)
    with without_mark(path) as text:
        with reading(path, 0, f"ASE's format {kind}", *also):
            frames = iter(iread(text, ":", format=kind, do_not_split_by_at_sign=True))
        while True:
            with reading(path, number, f"ASE's format {kind}", *also):
                atoms = next(frames, None)
            if atoms is None:
                break
            check_occupancy(atoms, f"{path}, frame {number}")
            group = atoms.info.get("spacegroup")
            if group is not None:
                atoms.info["spacegroup"] = str(getattr(group, "symbol", group))  # an object goes into no file
            number += 1
            yield atoms
    if number == 0:
        raise DataError(f"{path}: no frames in it, as ASE's format {kind}")


def _format_of(path: Path) -> str | None:
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    with without_mark(path) as text:
        try:
            kind: Any = filetype(str(text), read=True)
        except (UnknownFileTypeError, OSError, ValueError, EOFError):
            return None
        known = ioformats.get(kind)
        if known is not None and path.suffix.lower() in _ANYBODYS:
            with open(text, "rb") as handle:
                known = known if known.match_magic(handle.read(50_000)) else None
    return kind if known is not None and known.can_read else None
