"""`go_over`: one runner for what is done to each structure of a list, and kept when the run is stopped.

    structures ──tasks──> workers ──(row, kept)──> OUT.partial.jsonl ──in input order──> the verb writes OUT

A kill at any moment loses the structures in flight; the same command goes on from the journal. The verb
writes its results from what the journal holds, so that a run that was stopped ends with the same files as one
that was not. The journal goes when the verb has written everything.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from hint_plugin.errors import (
    EngineError,
    HintError,
    InterruptedRunError,
    LabelWarning,
    MissingDependencyError,
)
from hint_plugin.parallel.failures import failure_kind
from hint_plugin.parallel.journal import Journal
from hint_plugin.parallel.kept import JOURNAL, journal_of, keep
from hint_plugin.parallel.pool import Failure, Work
from hint_plugin.parallel.spread import Spread

Say = Callable[[str], None]
StructureWork = Callable[[str, Atoms, Say], tuple[dict[str, Any], dict[str, Any]]]
"""`work(name, atoms, say)` returns the row of the results, and what else the verb needs to write its files:
numbers, text and float arrays, both. `say` is told what is being done; nobody may listen."""


class Display(Protocol):
    """Who is told how far a run is."""

    def __call__(self, done: int, failed: int, total: int, /) -> None:
        """Called at the start and after each structure."""

    def say(self, text: str) -> None:
        """What is being done, where it is done in this process."""


@dataclass(frozen=True)
class Reported:
    """A `Display` of what a caller gives as `report`.

    Attributes:
        report: called with (done, failed, total) at the start and after each structure; where it has `say`,
            as a `Display` has, that is told what is being done. None: nobody listens.
    """

    report: Callable[[int, int, int], None] | None = None

    def __call__(self, done: int, failed: int, total: int, /) -> None:
        """See `Display`."""
        if self.report is not None:
            self.report(done, failed, total)

    def say(self, text: str) -> None:
        """See `Display`."""
        say = getattr(self.report, "say", None)
        if say is not None:
            say(text)

    def warn(self, text: str) -> None:
        """What looks wrong, and is done: for `report.warn`, if it has that, else a `LabelWarning`."""
        warn = getattr(self.report, "warn", None)
        if warn is None:
            warnings.warn(text, LabelWarning, stacklevel=2)
        else:
            warn(text)


@contextmanager
def journal_for_now() -> Iterator[Path]:
    """A journal for a run that writes nothing: it is gone at the end, however the run ends."""
    with tempfile.TemporaryDirectory(prefix="hint-run-") as folder:
        try:
            yield journal_of(Path(folder) / "run")
        except InterruptedRunError:
            raise InterruptedRunError("stopped: nothing is kept, since the run has no output") from None


@contextmanager
def journal_in(folder: Path | None, verb: str) -> Iterator[Path]:
    """The journal of a run in its folder, which is made; without a folder, a `journal_for_now`."""
    if folder is None:
        with journal_for_now() as journal:
            yield journal
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield journal_of(folder, verb)


@contextmanager
def go_over(
    structures: Sequence[tuple[str, Atoms]],
    setup: Callable[[], StructureWork],
    journal: Path,
    run: Mapping[str, Any],
    spread: Spread,
    show: Display,
    what: str = "molecules",
) -> Iterator[list[dict[str, Any]]]:
    """Do the work on each structure, keep what is done, and hand all of it over, in input order.

        with go_over(...) as records:
            ...  # write the results

    Each record is {"row": ..., "kept": ...} of `StructureWork`, or {"error": why, "kind": a key of
    `FAILURE_KINDS`} of a structure that failed. The journal is removed where the block ends without an error.

    Args:
        structures: (name, structure). The work gets copies.
        setup: called once in each process; returns the work. It travels to other processes, if there are
            some, and has to be picklable then.
        journal: where results are kept (`journal_of`).
        run: all that results depend on, in words, the `verb` among them: another run's journal is refused.
        spread: where the work is done.
        show: told how far it is.
        what: the structures are called.

    Raises:
        OptionsError: the journal is that of another run, or another process writes to it.
        MissingDependencyError: the work needs a package that is not installed: no structure can do without.
        OSError: the work cannot write its files.
        InterruptedRunError: Ctrl-C or SIGTERM, here or in the block; what is done is kept.
    """
    total, scratch = len(structures), journal.with_name(journal.name.removesuffix(JOURNAL) + ".parsl")

    def stopped(kept: Journal) -> str:
        return _stopped(len(kept), total, what, journal)

    with keep(journal, run, stopped, restart=spread.restart) as kept:
        _compute(structures, setup, kept, spread, scratch, show)
        yield [kept[number] for number in range(total)]
        shutil.rmtree(scratch, ignore_errors=True)


def _stopped(done: int, total: int, what: str, journal: Path) -> str:
    if not done:
        return f"stopped: none of {total} {what} was done, and nothing is kept"
    return (
        f"stopped: {done} of {total} {what} are done and kept in {journal}. "
        "Give the same command again to go on"
    )


def _compute(
    structures: Sequence[tuple[str, Atoms]],
    setup: Callable[[], StructureWork],
    journal: Journal,
    spread: Spread,
    scratch: Path,
    show: Display,
) -> None:
    total = len(structures)
    failed = sum("error" in journal[number] for number in range(total) if number in journal)
    show(len(journal), failed, total)
    todo = [number for number in range(total) if number not in journal]
    if not todo:
        return
    tasks = ((number, structures[number]) for number in todo)
    local = show.say if spread.parsl is None and min(spread.jobs, len(todo)) == 1 else None
    with closing(spread.run(tasks, _Guarded(setup, local), len(todo), scratch)) as outcomes:
        for number, outcome in outcomes:
            if isinstance(outcome, _Ends):
                raise outcome.error
            if isinstance(outcome, Failure):
                outcome = {"error": outcome.message, "kind": failure_kind(outcome)}
            journal.add(number, outcome)
            failed += "error" in outcome
            show(len(journal), failed, total)


@dataclass(frozen=True)
class _Ends:
    """An error that no structure can do without the cure of."""

    error: Exception


@dataclass(frozen=True)
class _Guarded:
    """The work; what is wrong with one structure is its result, and what is wrong with all ends the run."""

    setup: Callable[[], StructureWork]
    say: Say | None = None

    def __call__(self) -> Work:
        return partial(_guarded, self.setup(), self.say)


def _guarded(work: StructureWork, say: Say | None, structure: tuple[str, Atoms]) -> dict[str, Any] | _Ends:
    name, atoms = structure

    def about(text: str) -> None:
        if say is not None:
            say(f"{name}: {text}" if text else name)

    about("")
    try:
        row, kept = work(name, atoms.copy(), about)
    except MissingDependencyError as error:
        return _Ends(error)
    except OSError as error:  # of an output: engines raise EngineError
        return _Ends(error)
    except (HintError, PropertyNotImplementedError) as error:
        return {"error": str(error), "kind": error.kind if isinstance(error, EngineError) else "other"}
    except Exception as error:  # one structure's surprise must not end a run of thousands
        if os.environ.get("HINT_DEBUG", "") not in ("", "0"):
            raise
        return {"error": f"unexpected {type(error).__name__}: {error}", "kind": "unexpected"}
    return {"row": row, "kept": kept}
