"""A matrix of features on disk: computed in parallel, in constant memory, and resumed where it was killed.

In the cache folder a matrix is named by the hash of all it depends on (files, descriptor, versions):

| file | content |
|---|---|
| `<hash>.npy` | [frames, dimension] float32; plain `numpy.load` reads it |
| `<hash>.done.npy` | [blocks] bool: which blocks of `BLOCK` frames are in it |
| `<hash>.json` | what the hash is of |

A block is marked as done only after its rows have reached the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import multiprocessing
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.file_io import replacing
from hint_plugin.errors import DataError, InterruptedRunError, OptionsError
from hint_plugin.parallel.threads import one_thread_each
from hint_plugin.sampling.population import Population, Report
from hint_plugin.sampling.soap import Compute

BLOCK = 64
FLUSH_EVERY = 5.0  # s; flushing after each block would wait for the disk most of the time


class Featurizer(Protocol):
    """Features of whole structures; it is pickled and sent to the worker processes."""

    dimension: int

    def identity(self) -> dict[str, Any]:
        """What the features depend on, for JSON."""

    def setup(self) -> Compute:
        """Called once in each process; returns the function from frames to [frames, dimension]."""


def feature_matrix(
    population: Population,
    featurizer: Featurizer,
    folder: Path,
    *,
    jobs: int = 1,
    report: Report | None = None,
) -> np.memmap:
    """The features of all frames, from the cache or computed into it.

    Args:
        population: the frames.
        featurizer: what computes them.
        folder: of the cache; made if it is missing.
        jobs: processes, one thread each; the result does not depend on it.
        report: told the number of frames that are done.

    Returns:
        [frames, dimension] float32, mapped from the file, read-only.

    Raises:
        DataError: a feature is not finite, or a worker process died.
        OptionsError: another process fills this cache.
        InterruptedRunError: Ctrl-C; what is done is kept.
    """
    identity = featurizer.identity() | {
        "dimension": featurizer.dimension,
        "sources": [[source.sha256, source.frames] for source in population.sources],
    }
    text = json.dumps(identity, sort_keys=True, indent=1)
    stem = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    path, progress = folder / f"{stem}.npy", folder / f"{stem}.done.npy"
    if path.exists() and progress.exists() and np.load(progress).all():
        return np.load(path, mmap_mode="r")  # complete: any number of processes may read
    with _locked(folder / f"{stem}.json", text):
        n_blocks = -(-len(population) // BLOCK)
        matrix = _open(path, np.float32, (len(population), featurizer.dimension))
        done = _open(progress, np.bool_, (n_blocks,))
        if not done.all():
            _fill(population, featurizer, matrix, done, max(1, jobs), report)
    return np.load(path, mmap_mode="r")


def _open(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """The file's array; a new one of zeros (a hole, no disk space yet) if it is not there."""
    if not path.exists():
        with replacing(path) as temporary:
            np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape).flush()
    try:
        found = np.load(path, mmap_mode="r+")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: a damaged cache of features ({error}). Remove it") from error
    if found.shape != shape or found.dtype != dtype:
        raise DataError(f"{path}: an array {found.shape} of {found.dtype}; wanted {shape}. Remove it")
    return found


def _fill(
    population: Population,
    featurizer: Featurizer,
    matrix: np.memmap,
    done: np.memmap,
    jobs: int,
    report: Report | None,
) -> None:
    fresh: list[int] = []
    flushed = time.monotonic()

    def flush() -> None:
        matrix.flush()  # before the marks: a mark promises rows
        done[fresh] = True
        done.flush()
        fresh.clear()

    finished = int(done.sum())
    results = _compute(_todo(population, done), featurizer, min(jobs, len(done) - finished))
    try:
        for block, rows in results:
            _check(rows, block, population)
            matrix[block * BLOCK : block * BLOCK + len(rows)] = rows
            fresh.append(block)
            finished += 1
            if time.monotonic() - flushed > FLUSH_EVERY:
                flush()
                flushed = time.monotonic()
            if report:
                report("features", min(finished * BLOCK, len(population)), len(population))
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "stopped: the features that are done are kept. Give the same command again to go on"
        ) from None
    finally:
        results.close()
        flush()


def _check(rows: NDArray[np.float32], block: int, population: Population) -> None:
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        name = population.name(block * BLOCK + int(bad.argmax()))
        raise DataError(f"{name}: its features are not finite. Are two atoms at the same place?")


def _todo(population: Population, done: NDArray[np.bool_]) -> Iterator[tuple[int, list[Atoms]]]:
    frames = population.frames()
    for block, is_done in enumerate(np.array(done)):
        some = list(islice(frames, BLOCK))
        if not is_done:
            # without labels: a Hessian would be the largest part of what goes to the worker
            yield block, [Atoms(a.numbers, a.positions, cell=a.cell, pbc=a.pbc) for a in some]


_compute_here: Compute | None = None


def _begin(featurizer: Featurizer) -> None:
    global _compute_here
    _compute_here = featurizer.setup()


def _work(frames: Sequence[Atoms]) -> NDArray[np.float32]:
    assert _compute_here is not None
    return _compute_here(frames)


def _compute(
    tasks: Iterator[tuple[int, list[Atoms]]], featurizer: Featurizer, jobs: int
) -> Generator[tuple[int, NDArray[np.float32]], None, None]:
    """(block, features), in any order."""
    if jobs == 1:
        compute = featurizer.setup()
        for block, frames in tasks:
            yield block, compute(frames)
        return
    context = multiprocessing.get_context("spawn")
    with one_thread_each(), ProcessPoolExecutor(jobs, context, _begin, (featurizer,)) as pool:
        flying: dict[Future[NDArray[np.float32]], int] = {}
        try:
            for block, frames in tasks:
                flying[pool.submit(_work, frames)] = block
                if len(flying) >= 3 * jobs:  # so many blocks are in memory, however long the files are
                    for future in wait(flying, return_when=FIRST_COMPLETED).done:
                        yield flying.pop(future), future.result()
            while flying:
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    yield flying.pop(future), future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a worker process died while it computed features (out of memory?). What is done is kept: "
                "give the same command again, with fewer --jobs"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _locked(path: Path, text: str) -> Iterator[None]:
    with open(path, "a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OptionsError(f"{path}: another process computes these features; wait for it") from None
        handle.seek(0)
        if handle.read() != text:
            handle.truncate(0)
            handle.write(text)
            handle.flush()
        yield
