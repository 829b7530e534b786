"""HINT's own HDF5, the `FrameStore`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.files import replacing
from hint_plugin.data.hdf5 import FrameStore


def read(path: Path) -> Iterator[Atoms]:
    """The frames one by one, exactly as they were written."""
    with FrameStore.open(path) as store:
        yield from store


def select(path: Path, index: int | slice) -> list[Atoms]:
    """Frames without reading the others."""
    with FrameStore.open(path) as store:
        return store[index] if isinstance(index, slice) else [store[index]]


def write(path: Path, frames: Iterable[Atoms], **store_options: Any) -> int:
    """Write frames in constant memory; `store_options` as of `FrameStore.create`. Returns how many."""
    with replacing(path) as temporary:
        with FrameStore.create(temporary, **store_options) as store:
            count = store.extend(frames)
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
    return count
