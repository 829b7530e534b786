"""Worker processes that may die: a task whose worker is killed is reported, and the others go on.

`concurrent.futures` gives up the whole pool when one process is killed, and does not say which task it was
at. Here each worker has a pipe of its own and one task at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hint_plugin.errors import EngineError, HintError
from hint_plugin.parallel.threads import one_thread_each

MOST_FAILED_STARTS = 3
_PR_SET_PDEATHSIG = 1  # of Linux's prctl.h

Work = Callable[[Any], Any]
READY, DONE, ERROR = "ready", "done", "error"


@dataclass(frozen=True)
class Failure:
    """A task that did not work: what to tell the user."""

    message: str


class Worker:
    """A process with an engine, at the other end of a pipe of its own.

    Args:
        setup: called once in the process; returns the function that does a payload. It must be picklable.

    Attributes:
        ready: it has said that it is set up.
        number: the task in flight.
    """

    def __init__(self, setup: Callable[[], Work]) -> None:
        self.ready = False
        self.number: int | None = None
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        handle, name = tempfile.mkstemp(prefix="hint-label-")
        self._stderr, self._stderr_path = os.fdopen(handle, "rb"), Path(name)
        self._process = context.Process(target=_serve, args=(theirs, setup, name), daemon=True)
        self._process.start()
        theirs.close()  # so that the death of the worker is the end of the pipe

    def receive(self) -> tuple[str, Any]:
        """What it says next: ("ready", None), ("done", result or Failure), ("error", HintError).

        Raises:
            EOFError, OSError: it has died.
        """
        kind, value = self.pipe.recv()
        if not self.ready:
            self._stderr_path.unlink(missing_ok=True)  # both have it open: nothing is left, however they end
            self.ready = True
        return kind, value

    def send(self, payload: Any) -> None:
        """Give it a payload, or None to end it; if it is dead, `receive` finds out."""
        with contextlib.suppress(OSError):
            self.pipe.send(payload)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self._process.terminate()

    def bury(self) -> str:
        """Wait for a process that ends, clean up, and say how it ended."""
        self._process.join(timeout=10)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        code = self._process.exitcode or 0
        how = f"exit code {code}"
        if code < 0:
            how = f"killed by {signal.Signals(-code).name}"
            how += " (out of memory?)" if code == -signal.SIGKILL else ""
        last_words = self._stderr.read()[-400:].decode(errors="replace").strip()
        self._stderr.close()
        self._stderr_path.unlink(missing_ok=True)
        self.pipe.close()
        self._process.close()
        return how + (f": {last_words}" if last_words else "")


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
    todo, failed_starts = iter(tasks), 0
    workers: list[Worker] = []
    try:
        with one_thread_each():
            workers += [Worker(setup) for _ in range(jobs)]
        while workers:
            ready = wait([worker.pipe for worker in workers])
            for worker in [worker for worker in workers if worker.pipe in ready]:
                try:
                    kind, value = worker.receive()
                except (EOFError, OSError):
                    workers.remove(worker)
                    obituary = f"the worker process died: {worker.bury()}"
                    failed_starts += not worker.ready
                    if failed_starts >= MOST_FAILED_STARTS:
                        raise EngineError(f"workers die before their first frame: {obituary}") from None
                    if worker.number is not None:
                        yield worker.number, Failure(obituary)
                    with one_thread_each():
                        workers.append(Worker(setup))
                    continue
                if kind == ERROR:
                    raise value
                if kind == DONE and worker.number is not None:
                    yield worker.number, value
                worker.number, payload = next(todo, (None, None))
                worker.send(payload)
                if worker.number is None:
                    workers.remove(worker)
                    worker.bury()
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.bury()


def _serve(pipe: Connection, setup: Callable[[], Work], stderr: str) -> None:
    """What a worker does: Ctrl-C is the parent's business, and libraries print into a file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    _redirect_output(stderr)
    try:
        work = setup()
    except HintError as error:
        pipe.send((ERROR, error))
        return
    pipe.send((READY, None))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        while (payload := pipe.recv()) is not None:
            pipe.send((DONE, _try_work(work, payload)))


def _end_with_parent() -> None:
    """A frame can take hours: when nobody waits for it any more, it ends. (Elsewhere after the frame.)

    By the kernel: a thread that watches would make every allocation of the engine take a lock.
    """
    parent = multiprocessing.parent_process()
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent.pid:  # it had died before
        os._exit(1)


def _try_work(work: Work, payload: Any) -> Any:
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
