"""What a Parsl worker does: many frames a task, one engine for its whole life.

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
from hint_plugin.labelling.pool import Work, try_work

_prepared: dict[bytes, Work] = {}  # one entry, kept between tasks: an engine starts once a process


@dataclass(frozen=True)
class ChunkResult:
    """What comes back of one task.

    Attributes:
        outcomes: a result or a `Failure` for each frame.
        seconds: wall time of the frames, without setting up.
        error: why the worker cannot work; then there are no outcomes.
    """

    outcomes: list[Any]
    seconds: float = 0.0
    error: HintError | None = None


def work_on(version: str, setup: bytes, payloads: bytes) -> ChunkResult:
    """Do the payloads of one task.

    Args:
        version: HINT's where the run was started.
        setup: a pickled callable that returns the function for one payload.
        payloads: a pickled list.
    """
    if version != __version__:
        where = f"{os.uname().nodename} has HINT {__version__}, the run was started by {version}"
        return ChunkResult([], error=EngineError(f"{where}. Install the same version for both (worker_init)"))
    if setup not in _prepared:
        _silence()
        try:
            work = pickle.loads(setup)()
        except HintError as error:
            return ChunkResult([], error=type(error)(f"{error} (on {os.uname().nodename})"))
        _prepared.clear()
        _prepared[setup] = work
    work, start = _prepared[setup], time.perf_counter()
    outcomes = [try_work(work, payload) for payload in pickle.loads(payloads)]
    return ChunkResult(outcomes, time.perf_counter() - start)


def _silence() -> None:
    """Engines print; a day of it would fill the disk. Errors still reach the log of the job."""
    handle = os.open(os.devnull, os.O_WRONLY)
    os.dup2(handle, 1)
    os.close(handle)
