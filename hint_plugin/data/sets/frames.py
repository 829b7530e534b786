"""Files of frames in everybody's formats, read lazily and written atomically. The list: `data.formats`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.formats import Format, check_is_file, for_writing, get_format, is_there, recognise
from hint_plugin.data.sets.patterns import is_pattern, matching
from hint_plugin.data.stores.shards import ShardedStore, is_sharded
from hint_plugin.errors import DataError


def file_kind(path: str | Path) -> str:
    """Name of the format that `write_frames` makes of this file name.

    Raises:
        DataError: the name does not tell.
    """
    return for_writing(path).name


def iter_frames(path: str | Path, format: str | None = None, **options: Any) -> Iterator[Atoms]:
    """The frames of a file or folder one after the other, in constant memory where the format allows.

    Args:
        path: a file; a folder where the format is one; a folder of HINT's stores; a pattern
            (`set-*.h5`), whose files follow in natural order.
        format: name of the format (`hint_plugin.data.formats`); None: by name and content.
        **options: of the format's reader, see docs/formats.md.

    Raises:
        DataError: missing, truncated, not what its name says, or of no known format.
        OptionsError: the format has no such option.
        MissingDependencyError: the format needs a package that is not installed.
    """
    if format is None and is_sharded(path):
        with ShardedStore.open(path) as shards:
            yield from shards
        return
    if is_pattern(path):
        for file in matching(path):
            yield from iter_frames(file, format, **options)
        return
    kind = _kind(path, format, "read", options)
    yield from kind.load().read(Path(path), **options)


def read_frames(
    path: str | Path, index: str | int | slice = ":", format: str | None = None, **options: Any
) -> list[Atoms]:
    """Frames of a file as a list; `index` as in ASE (":", "::5", -1, slice(...)), the rest as `iter_frames`.

    Raises:
        DataError: as `iter_frames`, or the index is out of range.
    """
    wanted = _as_slice(index)
    if format is None and is_sharded(path):
        with ShardedStore.open(path) as stores:
            chosen = stores[wanted]
        return chosen if isinstance(chosen, list) else [chosen]
    module = None if is_pattern(path) else _kind(path, format, "read", options).load()
    if module is not None and hasattr(module, "select"):
        frames = module.select(Path(path), wanted, **options)
    else:
        frames = _select(iter_frames(path, format, **options), wanted)
    if isinstance(wanted, int) and not frames:
        raise DataError(f"{path}: no frame {wanted}")
    return frames


def count_frames(path: str | Path) -> int:
    """How many frames `iter_frames` gives, without parsing them where the format allows; errors as there."""
    if is_sharded(path):
        with ShardedStore.open(path) as shards:
            return len(shards)
    if is_pattern(path):
        return sum(count_frames(file) for file in matching(path))
    module = _kind(path, None, "read", {}).load()
    if hasattr(module, "count"):
        return int(module.count(Path(path)))
    return sum(1 for _ in iter_frames(path))


def write_frames(path: str | Path, frames: Iterable[Atoms], format: str | None = None, **options: Any) -> int:
    """Write frames to a temporary file in the same folder and rename it: the file appears whole or not at
    all.

    Args:
        path: the format goes by its name: .xyz, .extxyz, .h5, .hdf5, phonopy*.yaml.
        frames: may be a generator; memory stays constant.
        format: name of the format, where the file name does not tell ("deepmd").
        **options: of the format's writer; for HDF5 see `FrameStore.create` (`hessian_dtype`, `compression`).

    Returns:
        the number of frames.

    Raises:
        DataError: a name or format that cannot be written, the folder does not exist, or a frame that the
            format cannot hold.
        OptionsError: the format has no such option.
    """
    kind, target = (for_writing(path) if format is None else get_format(format)), Path(path)
    if not kind.writes:
        raise DataError(f"{path}: format {kind.name} can be read, not written. Write extxyz or hdf5")
    kind.check_options("write", options)
    if not target.resolve().parent.is_dir():
        raise DataError(f"{path}: the folder {target.parent} does not exist. Make it first")
    return kind.load().write(target, frames, **options)


def _kind(path: str | Path, format: str | None, action: str, options: dict[str, Any]) -> Format:
    check_is_file(Path(path))
    kind = recognise(path) if format is None else get_format(format)
    if not is_there(path):
        raise DataError(f"{path}: no such file")
    kind.check_options(action, options)
    return kind


def _select(frames: Iterator[Atoms], index: int | slice) -> list[Atoms]:
    """As list(frames)[index], and no further through the file than it needs."""
    if isinstance(index, int):
        if index >= 0:
            return list(islice(frames, index, index + 1))
        return list(frames)[index : index + 1 or None]
    parts = (index.start, index.stop, index.step)
    if all(part is None or part >= 0 for part in parts):
        return list(islice(frames, *parts))
    return list(frames)[index]


def _as_slice(index: str | int | slice) -> int | slice:
    if not isinstance(index, str):
        return index
    if re.fullmatch(r"-?\d+", index):
        return int(index)
    parts = index.split(":")
    if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"(-?\d+)?", part) for part in parts):
        raise DataError(f"index {index!r}; wanted a number or a slice such as ':', '10:', '::5'")
    return slice(*[int(part) if part else None for part in parts])
