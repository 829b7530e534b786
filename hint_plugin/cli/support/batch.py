"""What the verbs that go over molecules share: results and failures of many, kept when a run is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from hint_plugin.parallel import Spread, StructureWork

FOLDERS = ("vibrations", "thermo", "compare-thermo")
"""Verbs whose output is a folder."""
_NO_MATTER = ("inputs", "reactant", "product", "output", "model", "jobs", "parsl", "restart", "json_")
"""Parameters of a command that results do not depend on, and files."""


@dataclass
class Batch:
    """Results of many molecules, and why some have none.

    Attributes:
        results: rows for the JSON, in input order.
        failures: name, formula, error and kind of those that have none.
        done: (molecule of the input, its row, what else the work has left) for each row.
        about: what goes with the results: `provenance`.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    done: list[tuple[Any, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"results": self.results, "failures": self.failures}

    def add(self, name: str, atoms: Any, record: dict[str, Any]) -> None:
        """What `parallel.go_over` says of one molecule."""
        about = {"name": name, "formula": atoms.get_chemical_formula()}
        if "error" in record:
            self.failures.append(about | record)
            return
        self.results.append(about | record["row"])
        self.done.append((atoms, self.results[-1], record["kept"]))

    def finish(self, json_: bool) -> None:
        """Print JSON if asked for, `about` first, and the failures; exit with 3 if there are some."""
        import json

        if json_:
            typer.echo(json.dumps(self.about | self.as_dict(), indent=2))
        for failure in self.failures:
            typer.echo(f"failed: {failure['name']} ({failure['formula']}): {failure['error']}", err=True)
        if self.failures:
            raise typer.Exit(EXIT_SOME_FAILED)


@contextmanager
def each_molecule(
    context: typer.Context,
    inputs: list[Path],
    setup: Callable[[], StructureWork],
    output: Path,
    spread: Spread,
    calculator: Any = None,
    model: Path | None = None,
) -> Iterator[Batch]:
    """Do the work on each molecule and hand over the results, for the verb to write.

    A run that is stopped goes on with the same command (`parallel.go_over`): what was done is kept until the
    block ends without an error.

    Args:
        context: of the command: its name and all its options, which the results depend on.
        inputs: files of molecules.
        setup: called in each process; returns the work. It is picklable.
        output: a file; or a folder, of `FOLDERS`, which is made once all inputs are read.
        spread: where the work is done.
        calculator: that of the engine, for the provenance.
        model: the file behind `--model`.

    Raises:
        DataError: a file cannot be read or has no frames, or none of the frames is a molecule.
        And what `go_over` raises.
    """
    from hint_plugin.cli.support.molecules import named_frames
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.parallel import go_over, journal_of

    verb, frames = str(context.info_name), list(named_frames(inputs))
    _look_at(frames)
    setup = _OfMolecules(setup)
    batch = Batch(about={"provenance": run_provenance(inputs, model, calculator)})
    if verb in FOLDERS:
        output.mkdir(parents=True, exist_ok=True)
    journal = journal_of(output, verb if verb in FOLDERS else "")
    run = {"verb": verb, **options_of(context), **identity(batch.about["provenance"])}
    with Bar(verb, "molecules") as bar, go_over(frames, setup, journal, run, spread, bar) as records:
        bar.stop()
        for (name, atoms), record in zip(frames, records, strict=True):
            batch.add(name, atoms, record)
        yield batch


@dataclass(frozen=True)
class _OfMolecules:
    """The work on molecules; what is none fails, and the others are done."""

    setup: Callable[[], StructureWork]

    def __call__(self) -> StructureWork:
        work = self.setup()

        def checked(name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            from hint_plugin.cli.support.molecules import no_molecule
            from hint_plugin.errors import EngineError

            if wrong := no_molecule(atoms):
                kind, reason = wrong
                raise EngineError(reason, kind)
            return work(name, atoms, say)

        return checked


def _look_at(frames: list[tuple[str, Any]]) -> None:
    """Warn of positions that look like bohr. Raises DataError if none of the frames is a molecule."""
    from hint_plugin.cli.support.molecules import no_molecule
    from hint_plugin.data.structures.lengths import LengthCheck
    from hint_plugin.errors import DataError

    wrong = [found for _, atoms in frames if (found := no_molecule(atoms))]
    if len(wrong) == len(frames):
        none = f" (none of the {len(frames)} structures can be done)" if len(frames) > 1 else ""
        raise DataError(f"{frames[0][0]}: {wrong[0][1]}{none}")
    lengths: LengthCheck[str] = LengthCheck()
    for name, atoms in frames:
        lengths.add(atoms, name)
    for place, _, text in lengths.findings():
        typer.echo(f"warning: {text} (the first is {place})", err=True)


def options_of(context: typer.Context) -> dict[str, Any]:
    """Those that results depend on, as they are on the command line; files count by what is in them."""
    return {
        name.strip("_").replace("_", "-"): value
        for name, value in context.params.items()
        if name not in _NO_MATTER
    }


def identity(provenance: dict[str, Any]) -> dict[str, str]:
    """What makes two runs the same beside their options, in words that an error can show."""
    files = {f"input {number}": about for number, about in enumerate(provenance["data"])}
    if "model" in provenance:
        files["model"] = provenance["model"]
    found = {
        name: f"{Path(about['path']).name} (sha256 {about['sha256'][:16]})" for name, about in files.items()
    }
    made = {"hint": provenance["versions"].get("hint-mlip"), **provenance.get("engine", {})}
    return found | {"made by": ", ".join(f"{name} {value}" for name, value in made.items() if value)}


def save_structures(output: Path, verb: str, frames: list[Any], batch: Batch) -> None:
    """The structures, and beside them OUT.json with all results; nothing where there are no structures.

    Adds `output` to what goes with the results, None if nothing was written.
    """
    from hint_plugin.cli.support.outputs import record
    from hint_plugin.data import write_frames

    batch.about["output"] = str(output) if frames else None
    if frames:
        write_frames(output, frames)
        record(output, verb, batch.about | batch.as_dict())
