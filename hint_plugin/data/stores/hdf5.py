"""`FrameStore`: many labelled frames in one HDF5 file, with random access, appending and constant memory.

Files are written in version 2 (`hdf5_v2` tells the layout) and read in versions 1 and 2.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import h5py
import numpy as np
from ase import Atoms

from hint_plugin.data.stores.hdf5_v1 import Version1
from hint_plugin.data.stores.hdf5_v2 import Version2
from hint_plugin.errors import DataError, UnknownVersionError

FORMAT = "hint-frames"
SUFFIXES = (".h5", ".hdf5")
VERSION = 2
BLOCK = 256  # frames read at once
# Metadata with checksums of its own (they came with 1.8). Nothing later: a file in the formats of 1.10 that
# was open for writing when its process was killed is refused until h5clear has been at it.
_LIBVER = ("v108", "v108")
_CACHE = {"rdcc_nbytes": 1 << 22, "rdcc_nslots": 10007}
_READ_ERRORS = (OSError, KeyError, ValueError, RuntimeError, TypeError, IndexError)


class FrameStore:
    """A file of frames that behaves like a sequence of `ase.Atoms`.

    Open one with `FrameStore.create` or `FrameStore.open`, best in a `with` block. What extxyz keeps is kept:
    cell, pbc, constraints, info, arrays, results of a single-point calculator, labels of every kind; numbers
    in full precision. One that is open to read can be pickled and used after a fork: each process opens the
    file for itself, as workers of a torch DataLoader need it.
    """

    def __init__(self, handle: h5py.File, path: Path) -> None:
        self.path = path
        self._adopt(handle)

    def _adopt(self, handle: h5py.File) -> None:
        self._file, self._process = handle, os.getpid()
        self._inner: Version1 | Version2 = (Version1 if handle.attrs["version"] == 1 else Version2)(handle)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        hessian_dtype: Literal["float32", "float64"] = "float64",
        compression: Literal["gzip", "lzf"] | None = None,
        checksums: bool = True,
    ) -> FrameStore:
        """A new, empty store; an existing file is replaced.

        Args:
            path: the file.
            hessian_dtype: float32 halves the size of symmetric Hessians, of rows and of products (v, Hv) at a
                relative error of 6e-8.
            compression: of frames and Hessians. Random numbers hardly shrink, zeros do.
            checksums: of all chunks, so that no damage goes unnoticed.

        Raises:
            DataError: the file cannot be made.
        """
        if hessian_dtype not in ("float32", "float64"):
            raise DataError(f"hessian_dtype {hessian_dtype!r}; wanted 'float32' or 'float64'")
        if compression not in (None, "gzip", "lzf"):
            raise DataError(f"compression {compression!r}; wanted 'gzip', 'lzf' or None")
        try:
            handle = h5py.File(path, "w", libver=_LIBVER, **_CACHE)
        except OSError as error:
            raise DataError(f"{path}: cannot be made ({error})") from error
        handle.attrs.update({"format": FORMAT, "version": VERSION})
        Version2.create(handle, hessian_dtype, compression, checksums)
        return cls(handle, Path(path))

    @classmethod
    def open(cls, path: str | Path, mode: Literal["r", "a"] = "r") -> FrameStore:
        """An existing store, to read ("r") or to append to ("a").

        Raises:
            DataError: the file is missing, truncated, no store of frames, or of version 1 and to be appended
                to.
            UnknownVersionError: it was written in a newer format.
        """
        handle = _open(Path(path), mode)
        try:
            store = cls(handle, Path(path))
            if mode == "a":
                _keep_tables_until_flushed(handle)
                store._body(write=True).cut_off_leftovers()
        except DataError:
            handle.close()
            raise
        except _READ_ERRORS as error:
            handle.close()
            raise DataError(f"{path}: damaged ({error})") from error
        return store

    def __enter__(self) -> FrameStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def __getstate__(self) -> Path:
        if self._file and self._file.mode != "r":
            raise DataError(f"{self.path}: open for writing, which one process alone can do. Open it to read")
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path = path
        self._adopt(_open(path, "r"))

    def __len__(self) -> int:
        return self._inner.frames

    def __iter__(self) -> Iterator[Atoms]:
        for start in range(0, len(self), BLOCK):
            yield from self._read(np.arange(start, min(start + BLOCK, len(self))))

    def __getitem__(self, index: int | slice) -> Any:
        """One `Atoms`, or a list of them for a slice.

        Raises:
            DataError: no such frame, or the file is damaged there.
        """
        if isinstance(index, slice):
            return list(self._read(np.arange(*index.indices(len(self)))))
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise DataError(f"{self.path}: no frame {index}; it holds {len(self)}")
        return next(iter(self._read(np.array([number]))))

    def scan(self) -> Iterator[tuple[int, Atoms | DataError]]:
        """Every frame with its number, the error in place of one that is damaged."""
        for start in range(0, len(self), BLOCK):
            numbers = np.arange(start, min(start + BLOCK, len(self)))
            try:
                yield from zip(numbers.tolist(), list(self._read(numbers)), strict=True)
            except DataError:
                for number in numbers.tolist():
                    try:
                        yield number, self[number]
                    except DataError as error:
                        yield number, error

    def append(self, atoms: Atoms) -> None:
        """Add one frame at the end. `extend` is much faster for many."""
        self.extend([atoms])

    def extend(self, frames: Iterable[Atoms]) -> int:
        """Add frames at the end, in blocks; returns how many.

        Raises:
            DataError: a value in `info` that can be stored neither as an array nor as JSON.
        """
        return self._body(write=True).extend(frames)

    def _body(self, write: bool = False) -> Any:
        """The reader of this version; in a process that was forked off, with a file opened anew."""
        if self._process != os.getpid():
            if self._file and self._file.mode != "r":
                raise DataError(f"{self.path}: opened for writing by another process. Open it to read")
            self._file.close()  # this process's copy of the handle; the parent's stays open
            self._adopt(_open(self.path, "r"))
        if write and not isinstance(self._inner, Version2):
            raise DataError(
                f"{self.path}: a store of version 1 is only read. To add frames, make it one of version "
                f"{VERSION}: hint dataset convert {self.path} -o NEW.h5"
            )
        return self._inner

    def _read(self, numbers: np.ndarray) -> Iterator[Atoms]:
        try:
            frames = list(self._body().read(numbers))
        except _READ_ERRORS as error:
            if len(numbers) == 1:
                raise DataError(
                    f"{self.path}: frame {numbers[0]} is damaged ({error}). Restore the file from a copy, or "
                    "find all such frames by hint dataset check"
                ) from error
            for number in numbers:  # the first one that is damaged names itself
                yield from self._read(np.array([number]))
            return
        yield from frames


def is_store(path: Path) -> bool:
    """Whether a file is a store of frames, of any version, by its name and a look inside."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as handle:
            return bool(handle.attrs.get("format") == FORMAT)
    except OSError:
        return False


def _keep_tables_until_flushed(handle: h5py.File) -> None:
    """HDF5 writes its own tables only when told to, so that a kill between two flushes finds them whole."""
    settings = handle.id.get_mdc_config()
    settings.evictions_enabled = False
    settings.incr_mode = settings.flash_incr_mode = settings.decr_mode = 0
    handle.id.set_mdc_config(settings)


def _open(path: Path, mode: str) -> h5py.File:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        handle = h5py.File(path, "r" if mode == "r" else "r+", libver=_LIBVER, **_CACHE)
    except OSError as error:
        raise DataError(f"{path}: truncated, in use, or no HDF5 file ({error})") from error
    if handle.attrs.get("format") != FORMAT:
        handle.close()
        raise DataError(f"{path}: HDF5, but no store of frames (no attribute format = '{FORMAT}')")
    version = int(handle.attrs.get("version", 0))
    if not 1 <= version <= VERSION:
        handle.close()
        raise UnknownVersionError(
            f"{path}: format version {version}; this HINT reads up to {VERSION}. Update HINT"
        )
    return handle
