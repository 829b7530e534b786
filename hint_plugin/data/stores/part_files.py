"""Several files of frames written side by side, that appear together or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.file_io import replacing
from hint_plugin.data.formats.xyz import write_frame
from hint_plugin.data.sets.frames import file_kind
from hint_plugin.data.stores.hdf5 import FrameStore
from hint_plugin.errors import DataError

_TOGETHER = 256


def write_parts(
    folder: Path, names: Iterable[str], suffix: str, frames: Iterable[tuple[str, Atoms]], **store_options: Any
) -> dict[str, Path]:
    """Write each frame to the file of its part.

    Args:
        folder: is made if it is not there.
        names: of the parts.
        suffix: .h5, .hdf5, .xyz or .extxyz.
        frames: (part, frame).
        **store_options: of `FrameStore.create`.

    Returns:
        the file of each part.

    Raises:
        DataError: one of the files is there already, or the folder cannot be made.
    """
    files = {name: folder / f"{name}{suffix}" for name in names}
    kind = file_kind(f"part{suffix}")
    for file in files.values():
        if file.exists():
            raise DataError(f"{file} exists. Remove it or choose another folder")
    made = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error})") from error
    try:
        with contextlib.ExitStack() as renamed:  # renames all at the end, or none
            places = {name: renamed.enter_context(replacing(file)) for name, file in files.items()}
            with contextlib.ExitStack() as opened:
                writers = {
                    name: opened.enter_context(_Writer(place, kind, store_options))
                    for name, place in places.items()
                }
                for name, atoms in frames:
                    writers[name].add(atoms)
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    return files


class _Writer:
    """One file; stores get frames in blocks."""

    def __init__(self, path: Path, kind: str, store_options: dict[str, Any]) -> None:
        self._store = FrameStore.create(path, **store_options) if kind == "hdf5" else None
        self._text = open(path, "w", encoding="utf-8") if kind != "hdf5" else None  # noqa: SIM115
        self._waiting: list[Atoms] = []

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._flush()
        for handle in (self._store, self._text):
            if handle is not None:
                handle.close()

    def add(self, atoms: Atoms) -> None:
        """Write a frame, soon."""
        self._waiting.append(atoms)
        if len(self._waiting) >= _TOGETHER:
            self._flush()

    def _flush(self) -> None:
        if self._store is not None:
            self._store.extend(self._waiting)
        elif self._text is not None:
            for atoms in self._waiting:
                write_frame(self._text, atoms)
        self._waiting = []
