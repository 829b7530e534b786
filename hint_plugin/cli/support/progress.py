"""How far a long command is: a bar where it is known how much there is, else a line."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import typer

Line = TypeVar("Line", bound="StatusLine")

EVERY = 30.0  # s, without a terminal


class StatusLine:
    """A line that changes on a terminal; one more line every half minute elsewhere."""

    def __init__(self, text: str) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        self._terminal = console.is_terminal
        self._status = console.status(text)
        self._spoke = time.monotonic()

    def __enter__(self: Line) -> Line:
        if self._terminal:
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the line away."""
        if self._terminal:
            self._status.stop()

    def say(self, text: str) -> None:
        """Show it, or print it if it is time."""
        self._status.update(text)
        if not self._terminal and time.monotonic() - self._spoke > EVERY:
            self._spoke = time.monotonic()
            typer.echo(text, err=True)


class Bar:
    """A bar with rate and time left on a terminal; a line every half minute elsewhere.

    On a cluster results come back in bursts, and none come while jobs wait in the queue: the rate is that of
    the last minutes, and rich's own estimate of the time left, made for a steady flow, is not used.

    Args:
        doing: what the bar is of: "labelling".
        what: the things that are counted.
        clock: for tests.
    """

    _WINDOW = 180.0  # s

    def __init__(self, doing: str, what: str = "frames", clock: Callable[[], float] | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self._what = what
        self._clock = clock or time.monotonic
        self._terminal = console.is_terminal
        self._bar = Progress(
            TextColumn(doing),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[failed]}"),
            TextColumn("{task.fields[now]}", markup=False),
            console=console,
            transient=True,
            disable=not self._terminal,
        )
        self._task: Any = None
        self._spoke = 0.0
        self._seen: deque[tuple[float, int]] = deque()  # (when, how many were done)

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar away."""
        if self._terminal:
            self._bar.stop()

    def say(self, text: str) -> None:
        """What is being done now, beside the bar."""
        if self._task is None:
            return
        self._bar.update(self._task, now=text)
        if not self._terminal and self._clock() - self._spoke > EVERY:
            self._spoke = self._clock()
            done, total = self._bar.tasks[0].completed, self._bar.tasks[0].total or 0
            typer.echo(f"{done:.0f}/{total:.0f} {self._what}; {text}", err=True)

    def warn(self, text: str) -> None:
        """A line beside the bar that stays."""
        typer.echo(f"warning: {text}", err=True)

    def __call__(self, done: int, failed: int, total: int) -> None:
        """So many are done, of all."""
        now = self._clock()
        if self._task is None:
            self._task = self._bar.add_task(
                "", total=total, completed=done, rate="", left="", failed="", now=""
            )
            self._spoke = now
            self._seen.append((now, done))
            return
        rate = self._rate(now, done)
        failures = f"{failed} failed" if failed else ""
        left = f"{_duration((total - done) / rate)} left" if rate > 0 else ""
        self._bar.update(
            self._task, completed=done, rate=_in_words(rate, self._what), left=left, failed=failures
        )
        if not self._terminal and now - self._spoke > EVERY:
            self._spoke = now
            told = ", ".join(part for part in (_in_words(rate, ""), left) if part)
            typer.echo(f"{done}/{total} {self._what}, {told} {failures}".rstrip(), err=True)

    def _rate(self, now: float, done: int) -> float:
        """Done per second since the last point that is older than the window, or since the start."""
        while len(self._seen) > 1 and self._seen[1][0] < now - self._WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        if now - self._seen[-1][0] > 1:
            self._seen.append((now, done))
        return (done - before) / max(now - then, 1e-9)


class SschaProgress:
    """A bar for the forces of a population and the steps after them, and a line when it is done."""

    def __init__(self, count: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=count)

    def __enter__(self) -> "SschaProgress":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Show what is being done."""
        self._bar.update(self._task, description=text)

    def invited(self, command: str) -> None:
        """Say how clients are started, which are waited for."""
        typer.echo(f"waiting for clients: {command}", err=True)

    def evaluated(self, population: int, done: int, count: int) -> None:
        """See `hint_plugin.science.anharmonic.Watcher`."""
        self._bar.update(
            self._task, completed=done, total=count, description=f"population {population}: forces"
        )

    def stepped(self, population: int, step: Any) -> None:
        """See there."""
        from hint_plugin.science.anharmonic.sscha_report import step_in_words

        self._bar.update(self._task, description=step_in_words(population, step))

    def finished_population(self, state: Any) -> None:
        """See there."""
        from hint_plugin.science.anharmonic.sscha_report import population_in_words

        self._console.print(population_in_words(state.records[-1]), highlight=False, soft_wrap=True)


def _in_words(rate: float, what: str) -> str:
    """A rate of which there is something to read: per second, or per hour of what is slow."""
    number, unit = (rate, "s") if rate >= 0.1 else (3600 * rate, "h")
    return f"{number:.2f} {what}/{unit}" if what else f"{number:.2f}/{unit}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
