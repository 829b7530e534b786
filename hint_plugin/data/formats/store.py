"""HINT's own HDF5, the `FrameStore`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
from ase import Atoms

from hint_plugin.data.file_io import replacing
from hint_plugin.data.stores.hdf5 import FORMAT, FrameStore
from hint_plugin.errors import DataError


def read(path: Path) -> Iterator[Atoms]:
    """The frames one by one, exactly as they were written.

    Raises:
        DataError: truncated, or HDF5 of another layout.
        UnknownVersionError: written by a newer HINT.
    """
    with _open(path) as store:
        yield from store


def select(path: Path, index: int | slice) -> list[Atoms]:
    """Frames without reading the others."""
    with _open(path) as store:
        return store[index] if isinstance(index, slice) else [store[index]]


def count(path: Path) -> int:
    """The number of frames, without reading them."""
    with _open(path) as store:
        return len(store)


def _open(path: Path) -> FrameStore:
    try:
        with h5py.File(path, "r") as file:
            is_foreign = file.attrs.get("format") != FORMAT
    except OSError:
        is_foreign = False  # truncated, or no HDF5: the store says which
    if is_foreign:
        raise DataError(
            f"{path}: HDF5, but no store of frames (no attribute format = '{FORMAT}'), and not laid out as "
            "transition1x, openreact; name another by hint dataset convert --from"
        )
    return FrameStore.open(path)


def write(path: Path, frames: Iterable[Atoms], **store_options: Any) -> int:
    """Write frames in constant memory; `store_options` as of `FrameStore.create`. Returns how many."""
    with replacing(path) as temporary:
        with FrameStore.create(temporary, **store_options) as store:
            count = store.extend(frames)
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
    return count
