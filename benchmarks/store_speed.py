"""How fast and how large stores of frames are, beside LMDB with pickles, ASE's database, and extxyz.

    python benchmarks/store_speed.py [--projected 1000000] [--full 100000] [--others 20000]
    python benchmarks/store_speed.py --transition1x

Frames are of 9 atoms (ethanol, displaced) with energy, forces, and one pair (v, Hv), or a full Hessian. Each
step runs in a process of its own, so that its peak memory is its own. `FrameStore float32` gets all
frames, the others `--others` of them. Times are per frame, CPU of the process; making the frames is not
counted. Random reads are 1,000 frames in random order, from the file system's cache.

`--transition1x` measures bytes per frame with GFN2-xTB labels of 14-atom molecules (about the mean of that
set) and multiplies by 9.6 million.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule
from rich.console import Console
from rich.table import Table

from hint_plugin.data import (
    FrameStore,
    HessianLabel,
    ShardedStore,
    merge,
    read_label,
    write_frames,
    write_label,
    write_shards,
)

READS = 1000


def make_frames(count: int, hessians: bool) -> Iterator[Atoms]:
    """Ethanol with random displacements, forces, and labels."""
    rng = np.random.default_rng(0)
    base = molecule("CH3CH2OH")
    n = len(base)
    provenance = {"engine": "gfn2-xtb", "method": "GFN2-xTB", "engine_version": "tblite 0.4", "step": 1e-3}
    for number in range(count):
        atoms = Atoms(base.numbers, base.positions + rng.normal(0, 0.05, (n, 3)))
        atoms.info["REF_energy"] = -300 + rng.normal()
        atoms.arrays["REF_forces"] = rng.normal(size=(n, 3))
        about: dict[str, Any] = {"provenance": provenance | {"seed": number}, "noise": 1e-5 * rng.random()}
        if hessians:
            matrix = rng.normal(size=(3 * n, 3 * n)) * 10
            write_label(atoms, HessianLabel.full(matrix + matrix.T, **about))
        else:
            v = rng.choice([-1.0, 1.0], (1, n, 3))
            write_label(atoms, HessianLabel.projected(v, rng.normal(size=(1, n, 3)) * 30, **about))
        yield atoms


class Hint:
    """FrameStore; options of `create`."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def write(self, path: Path, frames: Iterable[Atoms]) -> None:
        """All frames."""
        write_frames(path, frames, **self.options)

    def read(self, path: Path) -> Iterable[Atoms]:
        """One after the other."""
        with FrameStore.open(path) as store:
            yield from store

    def pick(self, path: Path, numbers: list[int]) -> None:
        """Some, in this order."""
        with FrameStore.open(path) as store:
            for number in numbers:
                store[number]


class Shards(Hint):
    """Ten shards."""

    def write(self, path: Path, frames: Iterable[Atoms]) -> None:
        """All frames."""
        assert isinstance(frames, Counted)
        write_shards(path, frames, frames_per_shard=-(-frames.count // 10), **self.options)

    def read(self, path: Path) -> Iterable[Atoms]:
        """One after the other."""
        with ShardedStore.open(path) as store:
            yield from store

    def pick(self, path: Path, numbers: list[int]) -> None:
        """Some."""
        with ShardedStore.open(path) as store:
            for number in numbers:
                store[number]


class Lmdb:
    """One pickled Atoms a key, 1,000 a transaction."""

    def write(self, path: Path, frames: Iterable[Atoms]) -> None:
        """All frames."""
        import lmdb

        with lmdb.open(str(path), map_size=1 << 36, subdir=False, lock=False) as env:
            transaction = env.begin(write=True)
            for number, atoms in enumerate(frames):
                transaction.put(str(number).encode(), pickle.dumps(atoms, protocol=5))
                if number % 1000 == 999:
                    transaction.commit()
                    transaction = env.begin(write=True)
            transaction.commit()

    def _open(self, path: Path) -> Any:
        import lmdb

        return lmdb.open(str(path), subdir=False, readonly=True, lock=False)

    def read(self, path: Path) -> Iterable[Atoms]:
        """One after the other, in the order of numbers."""
        with self._open(path) as env, env.begin() as transaction:
            for number in range(env.stat()["entries"]):
                yield pickle.loads(transaction.get(str(number).encode()))

    def pick(self, path: Path, numbers: list[int]) -> None:
        """Some."""
        with self._open(path) as env, env.begin() as transaction:
            for number in numbers:
                pickle.loads(transaction.get(str(number).encode()))


class AseDb:
    """ASE's database (SQLite); all of info and arrays in `data`."""

    def write(self, path: Path, frames: Iterable[Atoms]) -> None:
        """All frames, in one transaction."""
        from ase.db import connect

        with connect(path) as base:
            for atoms in frames:
                data = dict(atoms.info) | {
                    k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")
                }
                base.write(Atoms(atoms.numbers, atoms.positions), data=data)

    def read(self, path: Path) -> Iterable[Atoms]:
        """One after the other."""
        from ase.db import connect

        for row in connect(path).select():
            yield _with_data(row)

    def pick(self, path: Path, numbers: list[int]) -> None:
        """Some."""
        from ase.db import connect

        base = connect(path)
        for number in numbers:
            _with_data(base.get(number + 1))


def _with_data(row: Any) -> Atoms:
    atoms = row.toatoms()
    for name, value in row.data.items():
        if isinstance(value, np.ndarray) and len(value) == len(atoms):
            atoms.arrays[name] = value
        else:
            atoms.info[name] = value
    return atoms


class Extxyz:
    """Text; a random read goes through the file."""

    def write(self, path: Path, frames: Iterable[Atoms]) -> None:
        """All frames."""
        write_frames(path, frames)

    def read(self, path: Path) -> Iterable[Atoms]:
        """One after the other."""
        from hint_plugin.data import iter_frames

        yield from iter_frames(path)

    def pick(self, path: Path, numbers: list[int]) -> None:
        """Not measured."""
        raise NotImplementedError


FORMATS: dict[str, tuple[Callable[[], Any], str]] = {
    "FrameStore float32": (lambda: Hint(hessian_dtype="float32"), "a.h5"),
    "FrameStore float32 gzip": (lambda: Hint(hessian_dtype="float32", compression="gzip"), "b.h5"),
    "FrameStore float64": (lambda: Hint(), "c.h5"),
    "FrameStore float32, no checksums": (lambda: Hint(hessian_dtype="float32", checksums=False), "d.h5"),
    "10 shards float32": (lambda: Shards(hessian_dtype="float32"), "shards"),
    "LMDB, pickles": (Lmdb, "a.lmdb"),
    "ASE db (SQLite)": (AseDb, "a.db"),
    "extxyz": (Extxyz, "a.xyz"),
}
ALL_FRAMES = ("FrameStore float32",)


class Counted:
    """Frames whose making is timed, so that it can be taken off."""

    def __init__(self, count: int, hessians: bool) -> None:
        self.count, self.hessians, self.seconds = count, hessians, 0.0

    def __iter__(self) -> Iterator[Atoms]:
        source = make_frames(self.count, self.hessians)
        while True:
            start = time.process_time()
            atoms = next(source, None)
            self.seconds += time.process_time() - start
            if atoms is None:
                return
            yield atoms


def one(name: str, step: str, count: int, hessians: bool, folder: Path) -> dict[str, float]:
    """Write, read or pick with one format, in this process."""
    make, file = FORMATS[name]
    writer, path = make(), folder / file
    start = time.process_time()
    if step == "write":
        frames = Counted(count, hessians)
        writer.write(path, frames)
        seconds = time.process_time() - start - frames.seconds
    elif step == "read":
        if sum(1 for _ in writer.read(path)) != count:
            raise RuntimeError(f"{name}: frames are missing")
        seconds = time.process_time() - start
    else:
        writer.pick(path, np.random.default_rng(1).integers(0, count, READS).tolist())
        seconds = time.process_time() - start
    files = [path] if path.is_file() else list(path.iterdir())
    return {
        "us": 1e6 * seconds / (READS if step == "pick" else count),
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "bytes": sum(f.stat().st_blocks * 512 for f in files) / count,
    }


def child(*arguments: str) -> dict[str, float]:
    """`one` in a process of its own."""
    command = [sys.executable, __file__, "--one", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr[-2000:])
    return json.loads(result.stdout)


def compare(title: str, count: int, others: int, hessians: bool, folder: Path, console: Console) -> None:
    """One table."""
    table = Table(
        "format",
        "frames",
        "bytes a frame",
        "write us",
        "read us",
        "random us",
        "peak MB w",
        "peak MB r",
        title=title,
    )
    for name, (_, file) in FORMATS.items():
        frames = count if name in ALL_FRAMES else min(count, others)
        rows = {}
        for step in ("write", "read", "pick"):
            if not (step == "pick" and name == "extxyz"):
                rows[step] = child(name, step, str(frames), str(int(hessians)), str(folder))
        table.add_row(
            name,
            f"{frames:,}",
            f"{rows['write']['bytes']:.0f}",
            *(f"{rows[step]['us']:.0f}" if step in rows else "-" for step in ("write", "read", "pick")),
            f"{rows['write']['rss']:.0f}",
            f"{max(rows['read']['rss'], rows.get('pick', rows['read'])['rss']):.0f}",
        )
        if name == "10 shards float32":
            start = time.process_time()
            merge([folder / file], folder / "merged.h5")
            table.add_row(
                "merging these shards",
                f"{frames:,}",
                "",
                f"{(time.process_time() - start) / frames * 1e6:.2f}",
            )
            (folder / "merged.h5").unlink()
        for path in [folder / file, folder / f"{file}-lock"]:
            if path.is_dir():
                for shard in path.iterdir():
                    shard.unlink()
                path.rmdir()
            path.unlink(missing_ok=True)
    console.print(table)


def transition1x(console: Console, frames: int = 100) -> None:
    """What 9.6 million labelled frames take."""
    from hint_plugin.labelling import make_engine, make_labels

    engine, rng, total = make_engine("gfn2-xtb"), np.random.default_rng(0), 9_600_000
    names = ("trans-butane", "isobutane")
    full = []
    for number in range(frames):
        base = molecule(names[number % 2])
        atoms = Atoms(base.numbers, base.positions + rng.normal(0, 0.05, base.positions.shape))
        labels = make_labels(engine, atoms, "full")
        atoms.info["REF_energy"] = labels.point.energy
        atoms.arrays["REF_forces"] = labels.point.forces
        write_label(atoms, labels.hessian)
        full.append(atoms)
    table = Table("labels", "dtype", "compression", "bytes a frame", "GB for 9.6 M")
    with tempfile.TemporaryDirectory() as name:
        for k in (None, 1, 2, 4, 0):
            chosen = []
            for number, atoms in enumerate(full):
                label = read_label(atoms)
                assert label is not None
                new = atoms.copy()
                if k == 0:
                    write_label(new, None)
                elif k:
                    write_label(new, label.to_projected(k, np.random.default_rng(number)))
                chosen.append(new)
            for dtype in ("float64", "float32"):
                for compression in (None, "gzip"):
                    path = Path(name) / "a.h5"
                    sizes = []
                    for copies in (10, 30):  # the slope: what a file costs once is not counted
                        with FrameStore.create(path, hessian_dtype=dtype, compression=compression) as store:  # type: ignore[arg-type]
                            for _ in range(copies):
                                store.extend(chosen)
                        sizes.append(path.stat().st_size)
                    per_frame = (sizes[1] - sizes[0]) / (20 * frames)
                    what = "full" if k is None else f"projected, K = {k}" if k else "none (E and F)"
                    gigabytes = f"{per_frame * total / 1e9:.1f}"
                    table.add_row(what, dtype, compression or "-", f"{per_frame:.0f}", gigabytes)
    console.print(table)


def main() -> None:
    """Parse arguments and print tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--projected", type=int, default=1_000_000)
    parser.add_argument("--full", type=int, default=100_000)
    parser.add_argument("--others", type=int, default=20_000, help="frames of the other formats")
    parser.add_argument("--folder", type=Path, default=None, help="for the files; about 2 GB at a time")
    parser.add_argument("--transition1x", action="store_true", help="what 9.6 million Hessians take")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, step, count, hessians, folder = arguments.one
        print(json.dumps(one(name, step, int(count), hessians == "1", Path(folder))))
        return
    console = Console(width=130)
    if arguments.transition1x:
        transition1x(console)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.environ["OMP_NUM_THREADS"] = "1"
        for title, count, hessians in (
            ("energy, forces, one pair (v, Hv)", arguments.projected, False),
            ("energy, forces, full Hessian", arguments.full, True),
        ):
            if count:
                compare(title, count, arguments.others, hessians, Path(folder), console)


if __name__ == "__main__":
    main()
