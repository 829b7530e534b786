"""Extended XYZ, by ASE."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ase import Atoms

from hint_plugin.data.files import replacing
from hint_plugin.errors import DataError

# what ASE's reader raises on a damaged file, depending on where it breaks off
_READ_ERRORS = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    AssertionError,
    OSError,  # XYZError is one
)


def read(path: Path) -> Iterator[Atoms]:
    """The frames one by one, with all that `info` and `arrays` hold; labels keep the keys of the file."""
    return _read(path, slice(None))


def select(path: Path, index: int | slice) -> list[Atoms]:
    """Frames by ASE's index, which skips over the others."""
    return list(_read(path, index))


def write(path: Path, frames: Iterable[Atoms]) -> int:
    """Write frames; returns how many."""
    from ase.io.extxyz import write_extxyz

    count = 0
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
        for atoms in frames:
            write_extxyz(handle, [atoms])
            count += 1
        handle.flush()
        os.fsync(handle.fileno())
    return count


def _read(path: Path, index: int | slice) -> Iterator[Atoms]:
    from ase.io.extxyz import read_extxyz  # ase.io is slow to import, and workers that label need none of it

    number = 0
    try:
        with open(path, encoding="utf-8") as handle:
            for atoms in read_extxyz(handle, index):
                yield atoms
                number += 1
    except _READ_ERRORS as error:
        raise DataError(
            f"{path}: cannot read frame {number} as extended XYZ ({type(error).__name__}: {error}). "
            "Is the file truncated, or of another format?"
        ) from error
