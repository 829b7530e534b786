"""Tasks under Parsl: the same contract as `pool.run_tasks`, on the nodes of a cluster.

    tasks ──chunks──> Parsl ──> batch jobs ──> workers, one engine each ──> (number, result or Failure)

Frames travel in chunks, because a message for each would cost more than a small frame. A frame that kills its
engine comes back as `Death` and is given again. When a whole node dies, the frames of its chunk are given
again one by one, so that one that kills nodes is found alone.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import pickle
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hint_plugin import __version__
from hint_plugin.errors import EngineError
from hint_plugin.parallel.parsl_config import ParslRun
from hint_plugin.parallel.parsl_worker import ChunkResult, Death, work_on
from hint_plugin.parallel.pool import Failure, Work

_CHUNK_SECONDS = 10.0
_MOST_FRAMES = 1000  # in a chunk: they are lost together when the run is killed
_GROWTH = 4
_LOST_AT_START = 3
_LOOK_EVERY = 5.0  # s, whether Parsl is still alive
_ANSWER = 60.0  # s, that Parsl's interchange may take

_log = logging.getLogger(__name__)


@dataclass
class _Chunk:
    tasks: list[tuple[int, Any]]
    lost: int = 0  # how often its worker died


@dataclass
class ChunkSizes:
    """How many frames a task gets: about 10 s of work, and less near the end, where workers would wait.

    Attributes:
        workers: how many share the rest.
        fixed: the user's word; 0 adapts it.
    """

    workers: int
    fixed: int = 0
    _recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=20))

    def seen(self, frames: int, seconds: float) -> None:
        """A chunk is back."""
        self._recent.append((frames, seconds))

    def next(self, left: int) -> int:
        """Frames of the next chunk, where `left` are not given yet."""
        if self.fixed:
            return self.fixed
        if not self._recent:
            return 1
        each = sum(seconds for _, seconds in self._recent) / sum(frames for frames, _ in self._recent)
        size = int(_CHUNK_SECONDS / max(each, 1e-6))
        size = min(size, _GROWTH * max(frames for frames, _ in self._recent), _MOST_FRAMES)
        return max(1, min(size, left // (2 * self.workers)))


def run_tasks_on_parsl(
    tasks: Iterable[tuple[int, Any]], setup: Callable[[], Work], run: ParslRun, total: int
) -> Generator[tuple[int, Any], None, None]:
    """Run tasks where a Parsl configuration says; yield (number, result or Failure) as they finish.

    Args:
        tasks: (number, payload), taken as workers get free.
        setup: called once in each worker; returns the function that does a payload. It must be picklable.
        run: the configuration.
        total: the number of tasks.

    Raises:
        HintError: what `setup` raised in a worker.
        EngineError: workers cannot start, or die before they have done anything.
    """
    from parsl import python_app

    with _parsl(run) as kernel:
        app = python_app(work_on, data_flow_kernel=kernel)
        yield from _Feeder(tasks, pickle.dumps(setup), app, kernel, run, total).results()


class _Feeder:
    """Keeps workers busy and takes results, all in the thread of the caller."""

    def __init__(
        self,
        tasks: Iterable[tuple[int, Any]],
        setup: bytes,
        app: Callable[..., Any],
        kernel: Any,
        run: ParslRun,
        total: int,
    ) -> None:
        self._tasks, self._setup, self._app, self._kernel, self._run = iter(tasks), setup, app, kernel, run
        self._left = total
        self._sizes = ChunkSizes(run.workers, run.frames_per_task)
        self._again: deque[_Chunk] = deque()
        self._done: queue.SimpleQueue[tuple[_Chunk, Any]] = queue.SimpleQueue()
        self._in_flight = self._answers = self._losses = 0

    def results(self) -> Iterator[tuple[int, Any]]:
        self._fill()
        while self._in_flight:
            chunk, future = self._next_done()
            self._in_flight -= 1
            error = future.exception()
            if error is None:
                result: ChunkResult = future.result()
                if result.error is not None:
                    raise result.error
                self._answers += 1
                if self._run.jobs is not None:
                    self._run.jobs.forgive()
                self._sizes.seen(len(chunk.tasks), result.seconds)
                self._fill()  # before results are written: workers do not wait for the disk
                for task, outcome in zip(chunk.tasks, result.outcomes, strict=True):
                    if not isinstance(outcome, Death):
                        yield task[0], outcome
                    else:
                        who = "the worker process"
                        yield from self._again_or_failed(
                            _Chunk([task], chunk.lost), who, outcome.host, outcome.how
                        )
                self._fill()
            else:
                yield from self._lost(chunk, error)
                self._fill()

    def _fill(self) -> None:
        """As many chunks as workers, and as many again that wait for them."""
        while self._in_flight < 2 * self._run.workers:
            if self._again:
                chunk = self._again.popleft()
            else:
                chunk = _Chunk(list(itertools.islice(self._tasks, self._sizes.next(self._left))))
                self._left -= len(chunk.tasks)
            if not chunk.tasks:
                return
            payloads = pickle.dumps([payload for _, payload in chunk.tasks])
            future = self._app(__version__, self._setup, payloads)
            self._in_flight += 1
            future.add_done_callback(lambda future, chunk=chunk: self._done.put((chunk, future)))

    def _next_done(self) -> tuple[_Chunk, Any]:
        while True:
            with contextlib.suppress(queue.Empty):
                return self._done.get(timeout=_LOOK_EVERY)
            if any(_interchange_ended(executor) for executor in self._kernel.executors.values()):
                raise EngineError(
                    f"Parsl's interchange has ended; its log is in {self._run.config.run_dir}. "
                    "Give the same command again to go on"
                )

    def _lost(self, chunk: _Chunk, error: BaseException) -> Iterator[tuple[int, Failure]]:
        """What to do with the frames of a chunk that did not come back."""
        from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

        if not isinstance(error, (ManagerLost, WorkerLost)):
            raise _end_of_run(error, self._run) from error
        self._losses += 1
        who = "the worker process" if isinstance(error, WorkerLost) else "the node"
        if not self._answers and self._losses >= _LOST_AT_START:
            raise EngineError(
                f"workers die before their first frame is done: {error}. Their output is in "
                f"{self._run.config.run_dir}"
            )
        yield from self._again_or_failed(chunk, who, error.hostname)

    def _again_or_failed(
        self, chunk: _Chunk, who: str, host: str, how: str = "out of memory?"
    ) -> Iterator[tuple[int, Failure]]:
        """Give the frames of a chunk again; a frame that has had all its tries is a failure."""
        frames = [number for number, _ in chunk.tasks]
        if len(frames) == 1 and chunk.lost >= self._run.retries:
            times = f"{chunk.lost + 1} times" if chunk.lost else "once"
            yield frames[0], Failure(f"{who} that computed it died {times}, the last on {host} ({how})")
            return
        _log.warning(
            "%s on %s died; %s given again, try %d of %d",
            who,
            host,
            f"frame {frames[0]} is" if len(frames) == 1 else f"{len(frames)} frames are",
            chunk.lost + 2,
            self._run.retries + 1 + (len(frames) > 1),
        )
        # the death of a whole chunk is charged to none of its frames: they did not all kill it
        charged = chunk.lost + 1 if len(frames) == 1 else chunk.lost
        self._again += [_Chunk([task], charged) for task in chunk.tasks]


def _end_of_run(error: BaseException, run: ParslRun) -> EngineError:
    """What no other frame would survive, in one sentence."""
    logs = f"Logs are in {run.config.run_dir}"
    if isinstance(error, ModuleNotFoundError):
        return EngineError(
            f"the workers cannot import what they need: {error}. Activate an environment that has HINT and "
            f"the engine with worker_init. {logs}"
        )
    reason = " ".join(str(getattr(error, "reason", None) or error).split())
    if not reason or isinstance(error, ImportError):  # whose words alone do not say that it was an import
        reason = f"{type(error).__name__}: {reason}".removesuffix(": ")
    return EngineError(f"Parsl could not run the frames: {reason}. {logs}")


@contextlib.contextmanager
def _parsl(run: ParslRun) -> Iterator[Any]:
    """A running Parsl; all that it started is gone afterwards, whatever happens between."""
    from parsl.dataflow.dflow import DataFlowKernel

    kernel = None
    try:
        with _signals_wait():
            kernel = DataFlowKernel(run.config)
        for executor in kernel.executors.values():
            if hasattr(executor, "command_client"):
                executor.command_client.run = partial(_ask, executor, executor.command_client.run)
        yield kernel
    finally:
        if kernel is not None:
            with _signals_wait():
                _stop(kernel)


def _stop(kernel: Any) -> None:
    """Parsl's clean-up, and the jobs of broken executors, which it leaves in the queue."""
    from parsl.executors.status_handling import BlockProviderExecutor

    for executor in kernel.executors.values():
        if not isinstance(executor, BlockProviderExecutor) or executor.provider is None:
            continue
        if _interchange_ended(executor) and not executor.bad_state_is_set:
            executor.set_bad_state_and_fail_all(EngineError("the interchange has ended"))
        if executor.bad_state_is_set:
            status = executor.status_facade
            jobs = executor.blocks_to_job_id.items()
            left = [job for block, job in jobs if block not in status or not status[block].terminal]
            if left:
                executor.provider.cancel(left)
    kernel.cleanup()


def _ask(executor: Any, run: Callable[..., Any], message: Any, **options: Any) -> Any:
    """A command to the interchange; Parsl's own would wait for a dead one for ever."""
    from parsl.executors.high_throughput.errors import CommandClientTimeoutError

    if _interchange_ended(executor):
        raise CommandClientTimeoutError("the interchange has ended")
    return run(message, **{"timeout_s": _ANSWER, **options})


def _interchange_ended(executor: Any) -> bool:
    process = getattr(executor, "interchange_proc", None)
    return process is not None and process.poll() is not None


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect at the end: half-started or half-stopped, Parsl leaves processes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt
