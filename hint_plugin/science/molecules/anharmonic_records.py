"""Hessians of one molecule, kept one by one while a run lasts: one that is stopped goes on after the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hint_plugin.parallel.journal import Journal

SUFFIX = ".anharmonic.partial.jsonl"
"""Of the file, after the name of the molecule."""


@dataclass
class Records:
    """What is done of one molecule; in a file if there is one."""

    journal: Journal | None = None

    def __post_init__(self) -> None:
        self._here: dict[int, Mapping[str, Any]] = {}

    def get(self, number: int) -> Mapping[str, Any] | None:
        """The record; None of what is not done."""
        kept = self._here if self.journal is None else self.journal
        return kept[number] if number in kept else None  # noqa: SIM401  (a journal has no get)

    def add(self, number: int, record: Mapping[str, Any]) -> None:
        """Keep it."""
        if self.journal is None:
            self._here[number] = record
        else:
            self.journal.add(number, record)


@contextmanager
def records(path: Path | None, run: Mapping[str, Any], keep: bool = False) -> Iterator[Records]:
    """The records of one molecule while the block lasts; their file stays where the block is stopped.

    Args:
        path: of the file; None: nothing is kept.
        run: all that the records depend on; a file of another run is refused.
        keep: the file stays, whatever it has.

    Raises:
        OptionsError: the file is of another run.
    """
    if path is None:
        yield Records()
        return
    journal = Journal(path, {"run": dict(run)}, writer="hint vibrations --anharmonic")
    try:
        yield Records(journal)
        if not keep:
            journal.remove()
    except Exception:  # it would come again; what stops a run is none
        journal.remove()
        raise
    finally:
        if not len(journal):
            journal.remove()
        journal.close()
