"""Several files of frames into one; stores of the same settings by copying their compressed chunks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms

from hint_plugin.data.file_io import replacing
from hint_plugin.data.labels.frame_labels import ASE_NAMES
from hint_plugin.data.labels.levels import LevelCount, has_label, is_of_the_level, refuse_mixture
from hint_plugin.data.sets.frames import file_kind, iter_frames, write_frames
from hint_plugin.data.sets.patterns import each_once
from hint_plugin.data.stores.frame_bytes import Layout
from hint_plugin.data.stores.hdf5 import FrameStore, is_store
from hint_plugin.data.stores.hdf5_v2 import HESSIAN, LAYOUT, RECORD, Version2, append
from hint_plugin.data.stores.shards import files_of
from hint_plugin.errors import DataError

_SETTINGS = ("hessian_dtype", "compression", "checksums")
_ROWS = 1 << 16
_MIXED = "Give --mixed to join them all the same"


def merge(
    inputs: Sequence[str | Path],
    output: str | Path,
    report: Callable[[str, int], Any] = lambda name, frames: None,
    *,
    mixed: bool = False,
    **store_options: Any,
) -> dict[str, int]:
    """Join files of frames, in order.

    Labels of several levels (`levels.LevelCount`) in one file are an error: a model would learn from two
    surfaces as if they were one.

    Args:
        inputs: files, folders or patterns of any format that is read.
        output: a store, or any format that `write_frames` makes; it appears when it is complete.
        report: called with the name of each file, and the frames that are written so far.
        mixed: join labels of several levels all the same.
        **store_options: of `FrameStore.create`; by default those of the first input that is a store. None for
            other formats.

    Returns:
        frames of each input.

    Raises:
        DataError: a file cannot be read or is the output, or labels are of several levels.
        OptionsError: a file is given twice.
    """
    files = [file for path in inputs for file in files_of(path)]
    each_once(files)
    target = Path(output)
    if target.resolve() in [file.resolve() for file in files]:
        raise DataError(f"{output} is an input as well. Choose another name for the output")
    if not target.resolve().parent.is_dir():
        raise DataError(f"{output}: the folder {target.parent} does not exist. Make it first")
    if file_kind(target) != "hdf5":
        return _merge_frames(files, target, report, mixed, store_options)
    counts: dict[str, int] = {}
    levels = LevelCount()
    options = store_options or _options_of(files)
    with replacing(target) as temporary, FrameStore.create(temporary, **options) as store:
        body: Version2 = store._body(write=True)
        for file in files:
            before = len(store)
            if not _join_store(body, file, levels):
                store.extend(_counted(iter_frames(file), levels, str(file)))
            if not mixed:
                refuse_mixture(levels, _MIXED)
            counts[str(file)] = counts.get(str(file), 0) + len(store) - before
            report(str(file), len(store))
        if not len(store):
            raise DataError(f"{', '.join(map(str, inputs))}: no frames")
    return counts


def _merge_frames(
    files: Sequence[Path],
    target: Path,
    report: Callable[[str, int], Any],
    mixed: bool,
    options: Mapping[str, Any],
) -> dict[str, int]:
    """Join them frame by frame, in constant memory."""
    counts: dict[str, int] = {}
    levels = LevelCount()

    def frames() -> Iterator[Atoms]:
        for file in files:
            for atoms in _counted(iter_frames(file), levels, str(file)):
                counts[str(file)] = counts.get(str(file), 0) + 1
                yield atoms
            if not mixed:
                refuse_mixture(levels, _MIXED)
            counts.setdefault(str(file), 0)
            report(str(file), sum(counts.values()))
        if not any(counts.values()):
            raise DataError(f"{', '.join(map(str, files))}: no frames")

    write_frames(target, frames(), **options)
    return counts


def _counted(frames: Iterable[Atoms], levels: LevelCount, source: str) -> Iterator[Atoms]:
    for atoms in frames:
        levels.add(atoms, source)
        yield atoms


def _join_store(body: Version2, file: Path, levels: LevelCount) -> bool:
    """Copy a store's chunks, if it is one with these settings, and count its levels."""
    if not is_store(file):
        return False
    try:
        source = FrameStore.open(file)
    except DataError:
        return False  # HDF5 of another program, or damaged: the reader says what is wrong
    with source:
        other = source._body()
        if not isinstance(other, Version2) or any(
            body.file.attrs[name] != other.file.attrs[name] for name in _SETTINGS
        ):
            return False
        with contextlib.suppress(OSError):  # a damaged index; `join` says where
            _count_levels(source, other, levels, str(file))
        join(body, other, file)
    return True


def _count_levels(store: FrameStore, body: Version2, levels: LevelCount, source: str) -> None:
    """Count by layouts, which hold what frames have in common; frames are read where theirs do not say it."""
    used = np.zeros(len(body.layouts), dtype=np.int64)
    for first in range(0, body.frames, _ROWS):
        rows = body.index[first : min(first + _ROWS, body.frames), LAYOUT]
        used += np.bincount(rows, minlength=len(used))
    layouts = [layout for layout, count in zip(body.layouts, used, strict=True) if count]
    told = [_told(layout, levels.keys.prefix) for layout in layouts]
    if None in told:
        for atoms in store:
            levels.add(atoms, source)
        return
    for layout, info, count in zip(layouts, told, used[used > 0].tolist(), strict=True):
        stored = [item.name for item in layout.items]
        of_ase = any(item.section == "calc" and item.name in ASE_NAMES for item in layout.items)
        if info is not None and (of_ase or has_label(stored, levels.keys)):
            levels.add_info(info, source, count)


def _told(layout: Layout, prefix: str) -> dict[str, Any] | None:
    """What the layout says about the level of its frames; None where that stands in their records."""
    known = {item.name: value for item, value in layout.parsed if item.section == "info"}
    names = [item.name for item in layout.items if item.section == "info" and item.name.startswith(prefix)]
    counting = [name for name in names if is_of_the_level(name[len(prefix) :])]
    if not all(name in known for name in counting):
        return None
    return {name: known[name] for name in (*counting, "config_type") if name in known}


def join(body: Version2, other: Version2, path: Path) -> None:
    """Add all frames of a store to another one of the same settings.

    Chunks are copied as they are, compressed and with their checksums, behind a gap that fills the last
    chunk; of the index, the places are moved.

    Raises:
        DataError: a frame of the source lies outside of its data.
    """
    starts = {}
    for name in ("records", "hessians"):
        starts[name] = _copy_chunks(getattr(other, name), getattr(body, name))
    known = {layout.items: number for number, layout in enumerate(body.layouts)}
    new = [layout for layout in other.layouts if layout.items not in known]
    known.update({layout.items: number for number, layout in enumerate(new, start=len(body.layouts))})
    body.add_layouts(new)
    body._packer = None  # it has to learn the new layouts
    renumber = np.array([known[layout.items] for layout in other.layouts], dtype=np.uint32)
    for first in range(0, other.frames, _ROWS):
        try:
            rows = other.index[first : min(first + _ROWS, other.frames)]
        except OSError as error:
            raise DataError(f"{path}: the index near frame {first} is damaged ({error})") from error
        rows[:, LAYOUT] = renumber[rows[:, LAYOUT]]
        rows[:, RECORD] += starts["records"]
        rows[:, HESSIAN] += starts["hessians"]
        append(body.index, rows)
    body.count(body.frames + other.frames)


def _copy_chunks(source: h5py.Dataset, target: h5py.Dataset) -> int:
    """Copy all chunks behind the last one of the target; returns where the first of them begins."""
    if len(source) == 0:
        return len(target)
    chunk = source.chunks[0]
    start = -(-len(target) // chunk) * chunk
    target.resize(start + len(source), axis=0)
    for offset in range(0, len(source), chunk):
        if source.id.get_chunk_info_by_coord((offset,)).byte_offset is None:
            continue  # a gap: nothing was written there
        filters, raw = source.id.read_direct_chunk((offset,))
        target.id.write_direct_chunk((start + offset,), raw, filters)
    return start


def _options_of(files: Sequence[Path]) -> dict[str, Any]:
    """Settings of the first store among the files."""
    for file in files:
        if h5py.is_hdf5(file):
            try:
                with FrameStore.open(file) as store:
                    attrs = store._file.attrs
                    checksums = bool(attrs.get("checksums", True))
                    return {
                        "hessian_dtype": str(attrs["hessian_dtype"]),
                        "compression": str(attrs["compression"]) or None,
                        "checksums": checksums,
                    }
            except DataError:
                continue
    return {}
