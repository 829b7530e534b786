"""What a Parsl worker does: many frames a task, one process with an engine for its whole life.

Parsl sends a function by its name, so HINT has to be installed where the workers are, in the same version.
"""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import dataclass
from typing import Any

from hint_plugin import __version__
from hint_plugin.errors import EngineError, HintError
from hint_plugin.parallel.pool import ERROR, MOST_FAILED_STARTS, Worker

_workers: dict[bytes, Worker] = {}  # one entry, kept between tasks: an engine starts once a process


@dataclass(frozen=True)
class Death:
    """A frame during which the engine's process died.

    Attributes:
        how: signal or exit code, and last words.
        host: on which machine.
    """

    how: str
    host: str


@dataclass(frozen=True)
class ChunkResult:
    """What comes back of one task.

    Attributes:
        outcomes: a result, a `Failure` or a `Death` for each frame.
        seconds: wall time of the frames, without setting up.
        error: why the worker cannot work; then there are no outcomes.
    """

    outcomes: list[Any]
    seconds: float = 0.0
    error: HintError | None = None


def work_on(version: str, setup: bytes, payloads: bytes) -> ChunkResult:
    """Do the payloads of one task, in a process of their own: an engine that dies takes only its frame along.

    Parsl's worker has to live. It shares queues with the others of its node, and one that dies while its
    last result is on the way can lose that, or leave a lock behind for which all others then wait for ever.

    Args:
        version: HINT's where the run was started.
        setup: a pickled callable that returns the function for one payload.
        payloads: a pickled list.
    """
    host = os.uname().nodename
    if version != __version__:
        where = f"{host} has HINT {__version__}, the run was started by {version}"
        return ChunkResult([], error=EngineError(f"{where}. Install the same version for both (worker_init)"))
    outcomes: list[Any] = []
    seconds = 0.0
    for payload in pickle.loads(payloads):
        try:
            worker = _worker_for(setup)
        except HintError as error:
            return ChunkResult([], error=type(error)(f"{error} (on {host})"))
        start = time.perf_counter()
        worker.send(payload)
        try:
            outcomes.append(worker.receive()[1])
        except (EOFError, OSError):
            del _workers[setup]
            outcomes.append(Death(worker.bury(), host))
        seconds += time.perf_counter() - start
    return ChunkResult(outcomes, seconds)


def _worker_for(setup: bytes) -> Worker:
    """The process that this one keeps, started if there is none."""
    if setup in _workers:
        return _workers[setup]
    for old in [_workers.pop(other) for other in list(_workers)]:
        old.send(None)
        old.bury()
    obituary = ""
    for _ in range(MOST_FAILED_STARTS):
        worker = Worker(pickle.loads(setup))
        try:
            kind, value = worker.receive()
        except (EOFError, OSError):
            obituary = worker.bury()
            continue
        if kind == ERROR:
            worker.bury()
            raise value
        _workers[setup] = worker
        return worker
    raise EngineError(f"workers die before their first frame: {obituary}")
