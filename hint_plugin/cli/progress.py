"""How far a long command is, where no bar can say it."""

import time
from typing import TypeVar

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
