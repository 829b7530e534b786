"""Worker processes that may die: a task whose worker is killed is reported, and the others go on.

`concurrent.futures` gives up the whole pool when one process is killed, and does not say which task it was
at. Here each worker has a pipe of its own and one task at a time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from hint_plugin.core.threads import one_thread_each
from hint_plugin.errors import EngineError, HintError

_MOST_FAILED_STARTS = 3

Work = Callable[[Any], Any]
_READY, _DONE, _ERROR = "ready", "done", "error"


@dataclass(frozen=True)
class Failure:
    """A task that did not work: what to tell the user."""

    message: str


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    stderr: Path
    ready: bool = False
    number: int | None = None  # the task in flight


def run_tasks(
    tasks: Iterable[tuple[int, Any]], setup: Callable[[], Work], jobs: int
) -> Generator[tuple[int, Any], None, None]:
    """Run tasks in `jobs` processes; yield (number, result or Failure) as they finish, in any order.

    Args:
        tasks: (number, payload), taken one by one as workers get free. Payloads and results are pickled.
        setup: called once in each worker; returns the function that does a payload. It must be picklable.
        jobs: number of processes, each with one thread.

    Raises:
        HintError: what `setup` raised.
        EngineError: workers die before they can start.
    """
    context, todo, failed_starts = multiprocessing.get_context("spawn"), iter(tasks), 0
    workers: list[_Worker] = []
    with tempfile.TemporaryDirectory(prefix="hint-label-") as folder:
        try:
            workers += [_start(context, setup, folder) for _ in range(jobs)]
            while workers:
                ready = wait([worker.pipe for worker in workers])
                for worker in [worker for worker in workers if worker.pipe in ready]:
                    try:
                        kind, value = worker.pipe.recv()
                    except (EOFError, OSError):
                        workers.remove(worker)
                        obituary = _bury(worker)
                        failed_starts += not worker.ready
                        if failed_starts >= _MOST_FAILED_STARTS:
                            raise EngineError(f"workers die before their first frame: {obituary}") from None
                        if worker.number is not None:
                            yield worker.number, Failure(obituary)
                        workers.append(_start(context, setup, folder))
                        continue
                    if kind == _ERROR:
                        raise value
                    worker.ready = True
                    if kind == _DONE and worker.number is not None:
                        yield worker.number, value
                    if not _give(worker, todo):
                        workers.remove(worker)
                        _bury(worker)
        finally:
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                _bury(worker)


def _start(context: SpawnContext, setup: Callable[[], Work], folder: str) -> _Worker:
    ours, theirs = context.Pipe()
    handle, name = tempfile.mkstemp(dir=folder)
    os.close(handle)
    process = context.Process(target=_serve, args=(theirs, setup, name), daemon=True)
    with one_thread_each():
        process.start()
    theirs.close()  # so that the death of the worker is the end of the pipe
    return _Worker(process, ours, Path(name))


def _give(worker: _Worker, todo: Iterator[tuple[int, Any]]) -> bool:
    worker.number, payload = next(todo, (None, None))
    with contextlib.suppress(OSError):  # it died meanwhile: the next recv finds out
        worker.pipe.send(payload)
    return worker.number is not None


def _bury(worker: _Worker) -> str:
    """Wait for a process that ends, clean up, and say how it ended."""
    worker.process.join(timeout=10)
    if worker.process.exitcode is None:
        worker.process.kill()
        worker.process.join()
    code = worker.process.exitcode or 0
    how = f"exit code {code}"
    if code < 0:
        how = f"killed by {signal.Signals(-code).name}"
        how += " (out of memory?)" if code == -signal.SIGKILL else ""
    last_words = worker.stderr.read_bytes()[-400:].decode(errors="replace").strip()
    worker.stderr.unlink()
    worker.pipe.close()
    worker.process.close()
    return f"the worker process died: {how}" + (f": {last_words}" if last_words else "")


def _serve(pipe: Connection, setup: Callable[[], Work], stderr: str) -> None:
    """What a worker does: Ctrl-C is the parent's business, and libraries print into a file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _redirect_output(stderr)
    try:
        work = setup()
    except HintError as error:
        pipe.send((_ERROR, error))
        return
    pipe.send((_READY, None))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        while (payload := pipe.recv()) is not None:
            pipe.send((_DONE, try_work(work, payload)))


def try_work(work: Work, payload: Any) -> Any:
    """The result, or a `Failure` that says what was raised."""
    try:
        return work(payload)
    except HintError as error:
        return Failure(str(error))
    except Exception as error:  # one frame's surprise must not end a run of a hundred thousand
        return Failure(f"unexpected {type(error).__name__}: {error}")


def _redirect_output(stderr: str) -> None:
    for target, stream in ((os.devnull, 1), (stderr, 2)):
        handle = os.open(target, os.O_WRONLY)
        os.dup2(handle, stream)
        os.close(handle)


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM as Ctrl-C, so that a run that a batch system or service ends takes its workers with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
