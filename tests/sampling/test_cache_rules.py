"""The cache of features: marks after rows, blocks on their way to workers, names, and what a lock leaves."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms

from hint_plugin.data import write_frames
from hint_plugin.errors import DataError, InterruptedRunError
from hint_plugin.sampling import cache, survey


class Counted:
    """The number of atoms of each frame, twice; `then` is called after each block."""

    dimension = 2

    def __init__(self, then=lambda: None, identity=()):
        self.then, self.about, self.seen = then, dict(identity), []

    def identity(self):
        return {"features": "count"} | self.about

    def setup(self):
        def compute(frames):
            self.seen.append(len(frames))
            self.then()
            return np.array([[len(a), 2 * len(a)] for a in frames], dtype=np.float32)

        return compute


@pytest.fixture
def population(tmp_path, monkeypatch):
    """H, H2, H3, H4, H5 in two files; a block is one frame."""
    monkeypatch.setattr(cache, "BLOCK", 1)
    frames = [Atoms(f"H{n}", np.arange(3.0 * n).reshape(n, 3)) for n in range(1, 6)]
    write_frames(tmp_path / "a.xyz", frames[:2])
    write_frames(tmp_path / "b.xyz", frames[2:])
    return survey([tmp_path / "a.xyz", tmp_path / "b.xyz"])


def test_marks_reach_the_disk_after_their_rows_every_five_seconds(population, monkeypatch):
    """Blocks of two seconds: rows and then marks are flushed after six, and at the end."""
    clock, told = SimpleNamespace(now=100.0), []

    class Mapped(np.ndarray):
        def flush(self):
            told.append((clock.now - 100, self.dtype.kind, int(rows.any(axis=1).sum()), int(marks.sum())))

    rows, marks = np.zeros((5, 2), np.float32).view(Mapped), np.zeros(5, bool).view(Mapped)
    monkeypatch.setattr(cache, "time", SimpleNamespace(monotonic=lambda: clock.now))
    later = Counted(then=lambda: setattr(clock, "now", clock.now + 2))
    cache._fill(population, later, rows, marks, 1, None)
    assert told == [(6, "f", 3, 0), (6, "b", 3, 3), (10, "f", 5, 3), (10, "b", 5, 5)]


def test_no_more_processes_than_blocks_that_are_left(population, monkeypatch):
    rows, marks = np.zeros((5, 2), np.float32), np.array([True, False, True, False, False])
    asked = []

    def compute(tasks, featurizer, jobs):
        asked.append(jobs)
        yield from ((block, featurizer.setup()(frames)) for block, frames in tasks)

    monkeypatch.setattr(cache, "_compute", compute)
    kind = type("Mapped", (np.ndarray,), {"flush": lambda self: None})
    for jobs in (7, 2):
        told = []
        cache._fill(
            population, Counted(), rows.view(kind), marks.copy().view(kind), jobs,
            lambda *what, told=told: told.append(what),
        )  # fmt: skip
        assert told == [("features", 3, 5), ("features", 4, 5), ("features", 5, 5)]
    assert asked == [3, 2] and rows[:, 0].tolist() == [0, 2, 0, 4, 5]


def test_a_run_that_stops_ends_its_processes_at_once(population, monkeypatch):
    """Not when Python happens to collect the iterator; what has been done is marked."""
    ended = []

    def compute(tasks, featurizer, jobs):
        try:
            yield from ((block, featurizer.setup()(frames)) for block, frames in tasks)
        finally:
            ended.append(True)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_compute", compute)
    kind = type("Mapped", (np.ndarray,), {"flush": lambda self: None})
    rows, marks = np.zeros((5, 2), np.float32).view(kind), np.zeros(5, bool).view(kind)
    with pytest.raises(InterruptedRunError) as error:
        cache._fill(population, Counted(), rows, marks, 1, stop)
    assert ended == [True] and error.value.__traceback__ is not None  # which keeps the iterator alive
    assert marks.tolist() == [True, False, False, False, False]


@pytest.mark.parametrize(("bad", "name"), [(0, "b.xyz, frame 1 (H4)"), (1, "b.xyz, frame 2 (H5)")])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_feature_that_is_not_finite_names_its_frame(population, monkeypatch, bad, name, value):
    """The second block of three frames holds H4 and H5."""
    monkeypatch.setattr(cache, "BLOCK", 3)
    rows = np.ones((2, 2), np.float32)
    cache._check(rows, 1, population)
    rows[bad, 1] = value
    with pytest.raises(DataError) as error:
        cache._check(rows, 1, population)
    assert f"{name}: its features are not finite" in str(error.value)


class Pool:
    """In the place of a pool of processes: works at once, in this process."""

    made: list[Pool] = []

    def __init__(self, jobs, context, begin, arguments):
        self.jobs, self.stopped, self.error = jobs, [], None
        Pool.made.append(self)
        begin(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def submit(self, work, frames):
        future = Future()
        if self.error is None:
            future.set_result(work(frames))
        else:
            future.set_exception(self.error)
        return future

    def shutdown(self, cancel_futures=False):
        self.stopped.append(cancel_futures)


def tasks(taken: list[int]):
    """Twenty blocks of one frame; which have been taken."""
    for block in range(20):
        taken.append(block)
        yield block, [Atoms("H")] * (block + 1)


def test_three_blocks_a_process_are_on_their_way(monkeypatch):
    """However long the files are; and what waits is cancelled when a run stops."""
    monkeypatch.setattr(cache, "ProcessPoolExecutor", Pool)
    taken = []
    results = cache._compute(tasks(taken), Counted(), 2)
    first = next(results)
    assert len(taken) == 6 and Pool.made[-1].jobs == 2
    found = dict([first, *results])
    assert sorted(found) == list(range(20)) and all(
        rows.tolist() == [[1, 2]] * (block + 1) for block, rows in found.items()
    )
    assert Pool.made[-1].stopped == [True]
    stopped = cache._compute(tasks([]), Counted(), 3)
    next(stopped)
    stopped.close()
    assert Pool.made[-1].stopped == [True]


def test_a_worker_that_died_is_told(monkeypatch):
    class Broken(Pool):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.error = BrokenProcessPool("killed")

    monkeypatch.setattr(cache, "ProcessPoolExecutor", Broken)
    with pytest.raises(DataError, match="a worker process died.*fewer --jobs"):
        list(cache._compute(tasks([]), Counted(), 2))


def test_a_cache_is_named_by_what_its_features_depend_on(population, tmp_path):
    """Whatever the order in which that is told; the name is the hash of the text beside it."""
    options = [("b", 1), ("a", 2)]
    first = Counted(identity=options)
    found = cache.feature_matrix(population, first, tmp_path / "cache")
    assert found.tolist() == [[n, 2 * n] for n in range(1, 6)] and first.seen == [1] * 5
    again = Counted(identity=options[::-1])
    assert np.array_equal(cache.feature_matrix(population, again, tmp_path / "cache"), found)
    assert again.seen == []
    (about,) = (tmp_path / "cache").glob("*.json")
    assert about.stem == hashlib.sha256(about.read_bytes()).hexdigest()[:16]
    other = Counted(identity=[("b", 1), ("a", 3)])
    cache.feature_matrix(population, other, tmp_path / "cache")
    assert other.seen == [1] * 5 and len(list((tmp_path / "cache").glob("*.json"))) == 2


def test_the_text_of_a_cache_is_whole_while_it_is_locked(population, tmp_path):
    """Also where a run was killed while it wrote it."""
    with cache._locked(tmp_path / "new.json", "text"):
        assert (tmp_path / "new.json").read_text() == "text"
    cache.feature_matrix(population, Counted(), tmp_path / "cache")
    (about,) = (tmp_path / "cache").glob("*.json")
    text = about.read_text()
    about.write_text(text[:20])
    about.with_name(f"{about.stem}.done.npy").unlink()
    cache.feature_matrix(population, Counted(), tmp_path / "cache")
    assert about.read_text() == text and json.loads(text)["sources"][1][1] == 3
