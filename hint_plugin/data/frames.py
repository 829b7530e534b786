"""Files of frames, extxyz or HDF5 by suffix, read lazily and written atomically."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ase import Atoms

from hint_plugin.data.files import replacing
from hint_plugin.data.hdf5 import FrameStore
from hint_plugin.data.shards import ShardedStore, is_sharded
from hint_plugin.errors import DataError

XYZ_SUFFIXES = (".xyz", ".extxyz")
HDF5_SUFFIXES = (".h5", ".hdf5")

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


def file_kind(path: str | Path) -> str:
    """'extxyz' or 'hdf5', by suffix.

    Raises:
        DataError: another suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix in XYZ_SUFFIXES:
        return "extxyz"
    if suffix in HDF5_SUFFIXES:
        return "hdf5"
    wanted = ", ".join(XYZ_SUFFIXES + HDF5_SUFFIXES)
    raise DataError(
        f"{path}: a file of frames ends in one of {wanted}, not in '{suffix}'. Rename or convert it"
    )


def iter_frames(path: str | Path) -> Iterator[Atoms]:
    """The frames of a file one after the other, in constant memory.

    Raises:
        DataError: the file is missing, truncated, or not what its suffix says.
    """
    if is_sharded(path):
        with ShardedStore.open(path) as shards:
            yield from shards
        return
    kind = file_kind(path)
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file")
    if kind == "hdf5":
        with FrameStore.open(path) as store:
            yield from store
        return
    yield from _read_extxyz(path, slice(None))


def read_frames(path: str | Path, index: str | int | slice = ":") -> list[Atoms]:
    """Frames of a file as a list; `index` as in ASE (":", "::5", -1, slice(...)).

    Raises:
        DataError: the file is missing, truncated, or not what its suffix says, or the index is out of range.
    """
    if is_sharded(path):
        with ShardedStore.open(path) as shards:
            found = shards[_as_slice(index)]
        return found if isinstance(found, list) else [found]
    kind, wanted = file_kind(path), _as_slice(index)
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file")
    if kind == "hdf5":
        with FrameStore.open(path) as store:
            if isinstance(wanted, slice):
                return store[wanted]
            return [store[wanted]]
    frames = list(_read_extxyz(path, wanted))
    if isinstance(wanted, int) and not frames:
        raise DataError(f"{path}: no frame {wanted}")
    return frames


def write_frames(path: str | Path, frames: Iterable[Atoms], **store_options: object) -> int:
    """Write frames to a temporary file in the same folder and rename it: the file appears whole or not at
    all.

    Args:
        path: ends in .xyz, .extxyz, .h5 or .hdf5.
        frames: may be a generator; memory stays constant.
        **store_options: for HDF5 only, see `FrameStore.create` (`hessian_dtype`, `compression`).

    Returns:
        the number of frames.

    Raises:
        DataError: unknown suffix, or the folder does not exist.
    """
    kind, target = file_kind(path), Path(path)
    if not target.resolve().parent.is_dir():
        raise DataError(f"{path}: the folder {target.parent} does not exist. Make it first")
    with replacing(target) as temporary:
        if kind == "hdf5":
            with FrameStore.create(temporary, **store_options) as store:  # type: ignore[arg-type]
                count = store.extend(frames)
        else:
            count = _write_extxyz(temporary, frames)
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
    return count


def _write_extxyz(path: Path, frames: Iterable[Atoms]) -> int:
    from ase.io.extxyz import write_extxyz

    count = 0
    with open(path, "w", encoding="utf-8") as handle:
        for atoms in frames:
            write_extxyz(handle, [atoms])
            count += 1
    return count


def _read_extxyz(path: str | Path, index: int | slice) -> Iterator[Atoms]:
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


def _as_slice(index: str | int | slice) -> int | slice:
    if not isinstance(index, str):
        return index
    if re.fullmatch(r"-?\d+", index):
        return int(index)
    parts = index.split(":")
    if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"(-?\d+)?", part) for part in parts):
        raise DataError(f"index {index!r}; wanted a number or a slice such as ':', '10:', '::5'")
    return slice(*[int(part) if part else None for part in parts])
