"""Where tasks run: in this process, in several here, or where a file for Parsl says."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hint_plugin.errors import HintError
from hint_plugin.parallel.pool import Failure, Work, run_tasks

Tasks = Iterator[tuple[int, Any]]
Results = Generator[tuple[int, Any], None, None]


@dataclass(frozen=True)
class Spread:
    """How the structures of a run are shared out.

    Attributes:
        jobs: processes on this machine, one thread each; 1 is this process, with the threads that it has.
        parsl: a file that says where workers run (`parallel.parsl_config`), in place of `jobs`.
        restart: drop what an interrupted run has left.
    """

    jobs: int = 1
    parsl: Path | None = None
    restart: bool = False

    def run(self, tasks: Tasks, setup: Callable[[], Work], count: int, scratch: Path) -> Results:
        """(number, result or `Failure`) as they finish, in any order.

        Args:
            tasks: (number, payload).
            setup: called once in each process; returns the function that does a payload. It must be picklable
                unless all is done in this process.
            count: how many tasks there are.
            scratch: a folder for Parsl's own files.

        Raises:
            HintError: what `setup` raised; workers that die before they can start; a file for Parsl that
                cannot be used.
        """
        if self.parsl is not None:
            from hint_plugin.parallel.parsl_config import read_parsl_file
            from hint_plugin.parallel.parsl_pool import run_tasks_on_parsl

            return run_tasks_on_parsl(tasks, setup, read_parsl_file(self.parsl, scratch), count)
        jobs = min(self.jobs, count)
        return run_tasks(tasks, setup, jobs) if jobs > 1 else _here(tasks, setup)


def _here(tasks: Tasks, setup: Callable[[], Work]) -> Results:
    """As `run_tasks`, without a process of its own: nothing is loaded twice."""
    work = setup()
    for number, payload in tasks:
        try:
            found = work(payload)
        except HintError as error:
            found = Failure(str(error))
        yield number, found
