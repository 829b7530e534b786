"""Shards: a large set in several files, read as one sequence, and written whole or not at all."""

from __future__ import annotations

import bisect
import contextlib
import glob
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.sets.patterns import expand, is_pattern, matching, natural
from hint_plugin.data.stores.hdf5 import SUFFIXES, FrameStore
from hint_plugin.errors import DataError

OPEN_AT_ONCE = 32


def is_sharded(path: str | Path) -> bool:
    """Is this a pattern (`set-*.h5`), or a folder with stores in it?"""
    if is_pattern(path):
        return str(path).lower().endswith(SUFFIXES)
    return os.path.isdir(path) and any(p.suffix.lower() in SUFFIXES for p in Path(path).iterdir())


def shard_paths(path: str | Path) -> list[Path]:
    """The stores of a folder or pattern, by name; 2 comes before 10.

    Raises:
        DataError: there is none.
    """
    if is_pattern(path):
        return matching(path)
    folder = Path(path)
    names = folder.iterdir() if folder.is_dir() else iter(())
    found = [p for p in names if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
    if not found:
        raise DataError(f"{path}: no stores there; wanted a folder or a pattern of .h5 files, as 'set-*.h5'")
    return sorted(found, key=natural)


def files_of(path: str | Path) -> list[Path]:
    """What a name stands for: the stores of a folder, the files of a pattern, or itself.

    Raises:
        DataError: there is none.
    """
    if is_sharded(path):
        return shard_paths(path)
    return matching(path) if is_pattern(path) else [Path(path)]


def all_files(paths: Iterable[str | Path]) -> list[Path]:
    """`patterns.expand`, and the stores in place of their folders.

    Raises:
        DataError: a file is not there, or a pattern matches nothing.
    """
    return [file for path in expand(paths) for file in files_of(path)]


class ShardedStore(Sequence[Atoms]):
    """Several stores as one sequence, in the order of their names; at most 32 of them are open.

    It can be pickled and used after a fork, as a `FrameStore` can.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self.paths = [Path(path) for path in paths]
        lengths = []
        for path in self.paths:
            with FrameStore.open(path) as store:
                lengths.append(len(store))
        self._ends = list(accumulate(lengths))
        self._stores: OrderedDict[int, FrameStore] = OrderedDict()

    @classmethod
    def open(cls, path: str | Path) -> ShardedStore:
        """Of a folder or pattern.

        Raises:
            DataError: no store there, or one of them cannot be opened.
        """
        return cls(shard_paths(path))

    def __enter__(self) -> ShardedStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        while self._stores:
            self._stores.popitem()[1].close()

    def __getstate__(self) -> dict[str, Any]:
        return {"paths": self.paths, "_ends": self._ends, "_stores": OrderedDict()}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Atoms]:
        for (
            path
        ) in self.paths:  # not of the stores kept open: a look elsewhere might close the one that is read
            with FrameStore.open(path) as store:
                yield from store

    def __getitem__(self, index: int | slice) -> Any:
        """One `Atoms`, or a list of them for a slice.

        Raises:
            DataError: no such frame, or a file is damaged there.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise DataError(f"{self.paths[0].parent}: no frame {index}; its shards hold {len(self)}")
        shard = bisect.bisect_right(self._ends, number)
        return self._store(shard)[number - (self._ends[shard - 1] if shard else 0)]

    def _store(self, shard: int) -> FrameStore:
        if shard not in self._stores:
            if len(self._stores) >= OPEN_AT_ONCE:
                self._stores.popitem(last=False)[1].close()
            self._stores[shard] = FrameStore.open(self.paths[shard])
        self._stores.move_to_end(shard)
        return self._stores[shard]


def write_shards(
    path: str | Path,
    frames: Iterable[Atoms],
    *,
    frames_per_shard: int | Sequence[int],
    **store_options: Any,
) -> list[Path]:
    """Write shards; they appear together when all are complete.

    Args:
        path: a folder, which gets `shard-00000.h5`, ..., or a name `set.h5`, which becomes `set-00000.h5`,
            ...
        frames: may be a generator.
        frames_per_shard: of each, the last one may have fewer; or one number for each.
        **store_options: of `FrameStore.create`.

    Returns:
        their paths.

    Raises:
        DataError: there are such shards already, or the folder does not exist.
    """
    target = Path(path)
    named = target.suffix.lower() in SUFFIXES
    folder, stem = (target.parent, target.stem) if named else (target, "shard")
    if not folder.resolve().parent.is_dir() or (named and not folder.is_dir()):
        raise DataError(
            f"{path}: the folder {folder if named else folder.parent} does not exist. Make it first"
        )
    old = sorted(folder.glob(f"{glob.escape(stem)}-*.h5"))
    if old:
        raise DataError(f"{old[0]} exists: shards of two sets would mix. Remove them or choose another name")
    fixed = isinstance(frames_per_shard, int)
    sizes = iter([] if fixed else frames_per_shard)  # type: ignore[arg-type]
    source = iter(frames)
    names: list[str] = []
    with _folder_beside(target) as temporary:
        for first in source:
            name = f"{stem}-{len(names):05d}.h5"
            size = frames_per_shard if isinstance(frames_per_shard, int) else next(sizes)
            with FrameStore.create(temporary / name, **store_options) as store:
                store.extend(chain([first], islice(source, size - 1)))
            names.append(name)
        made = not folder.exists()
        folder.mkdir(exist_ok=True)
        done: list[Path] = []
        try:
            for name in names:
                os.replace(temporary / name, folder / name)
                done.append(folder / name)
        except BaseException:
            for file in done:
                file.unlink(missing_ok=True)
            if made:
                folder.rmdir()
            raise
    return done


@contextlib.contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the same file system as `path`, removed at the end."""
    folder = path.resolve().parent / f".{path.name}.{os.getpid()}.tmp"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
