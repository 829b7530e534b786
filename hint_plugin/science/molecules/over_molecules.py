"""What the runs over molecules share: results and failures of many, kept when a run is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data import write_frames
from hint_plugin.data.outputs import record
from hint_plugin.data.provenance import identity, of_structures, run_provenance
from hint_plugin.data.structures.lengths import LengthCheck
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.parallel import (
    Batch,
    Reported,
    Spread,
    StructureWork,
    go_over,
    journal_for_now,
    journal_of,
)
from hint_plugin.potentials.extrapolation import KEY as OUTSIDE
from hint_plugin.potentials.extrapolation import in_one_sentence, told_by_the_run
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.potentials.on_demand import origin as origin_of
from hint_plugin.science.molecules.molecule_inputs import far_parts, files_of, named_frames, no_molecule

FOLDERS = ("vibrations", "thermo", "compare-thermo")
"""Verbs whose output is a folder."""
SURFACES = ("optimize", "hessian", "vibrations", "thermo")
"""Verbs that treat structures of which atoms are held."""


@contextmanager
def each_molecule(
    verb: str,
    asked: dict[str, Any],
    inputs: Sequence[Path | Atoms],
    setup: Callable[[], StructureWork],
    output: Path | None,
    spread: Spread,
    batch: Batch,
    potential: OnDemand | None = None,
    model: Path | None = None,
    report: Any = None,
    frames: list[tuple[str, Atoms]] | None = None,
) -> Iterator[Reported]:
    """Do the work on each molecule and put the results into `batch`, for the block to write; it gets who is
    told how far the run is.

    A run that is stopped goes on with the same command (`parallel.go_over`): what was done is kept until the
    block ends without an error.

    Args:
        verb: the command.
        asked: all its options that results depend on (`asked_for`).
        inputs: of `molecule_inputs.given`.
        setup: called in each process; returns the work. It is picklable.
        output: a file; or a folder, of `FOLDERS`, which is made once all inputs are read. None: nothing is
            written, or kept.
        spread: where the work is done.
        batch: gets results, failures and the provenance.
        potential: whose engine the provenance tells.
        model: the file of a model, for the provenance.
        report: see `parallel.Reported`.
        frames: named structures that were made of the inputs, in their place.

    Raises:
        DataError: a file cannot be read or has no frames, or none of the frames is a molecule.
        OptionsError: a cluster without an output.
        And what `OnDemand.calculator` and `go_over` raise.
    """
    calculator = None if potential is None else potential.calculator()
    if output is None and spread.parsl is not None:
        raise OptionsError("parsl without output: workers on a cluster need the run's folder. Give an output")
    frames, display = list(named_frames(inputs)) if frames is None else frames, Reported(report)
    held = verb in SURFACES
    _look_at(frames, display.warn, held)
    setup = _OfMolecules(setup, held)
    batch.about["provenance"] = origin = run_provenance(files_of(inputs), model, calculator)
    if in_memory := [item for item in inputs if isinstance(item, Atoms)]:
        origin["data"].append(of_structures(in_memory))
    if calculator is not None:
        origin.setdefault("engine", origin_of(calculator))
    run = {"verb": verb, **asked, **identity(origin)}
    with ExitStack() as stack:
        if output is None:
            journal = stack.enter_context(journal_for_now())
        else:
            if verb in FOLDERS:
                output.mkdir(parents=True, exist_ok=True)
            journal = journal_of(output, verb if verb in FOLDERS else "")
        records = stack.enter_context(go_over(frames, setup, journal, run, spread, display))
        for (name, atoms), found in zip(frames, records, strict=True):
            batch.add(name, atoms, found)
        yield display


@dataclass(frozen=True)
class _OfMolecules:
    """The work on molecules; what is none fails, and the others are done."""

    setup: Callable[[], StructureWork]
    held: bool

    def __call__(self) -> StructureWork:
        work = self.setup()

        def checked(name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            if wrong := no_molecule(atoms, self.held):
                kind, reason = wrong
                raise EngineError(reason, kind)
            with told_by_the_run():
                return work(name, atoms, say)

        return checked


def say_at_the_end(batch: Batch, display: Reported, *others: str) -> None:
    """What has to be said once of all results, told and kept as `warnings` of the batch: how many structures
    are outside of what their model was trained on, and `others`, of which "" is none."""
    rows = batch.results
    outside = [(row["name"], row[OUTSIDE]) for row in rows if row.get(OUTSIDE)]
    said = [text for text in (in_one_sentence(outside, len(rows), "molecules"), *others) if text]
    for text in said:
        display.warn(text)
    batch.about["warnings"] = said


def _look_at(frames: list[tuple[str, Any]], warn: Callable[[str], None], held: bool) -> None:
    """Warn of positions that look like bohr. Raises DataError if none of the frames is a molecule."""
    wrong = [found for _, atoms in frames if (found := no_molecule(atoms, held))]
    if len(wrong) == len(frames):
        none = f" (none of the {len(frames)} structures can be done)" if len(frames) > 1 else ""
        raise DataError(f"{frames[0][0]}: {wrong[0][1]}{none}")
    lengths: LengthCheck[str] = LengthCheck()
    for name, atoms in frames:
        lengths.add(atoms, name)
    far = [(name, text) for name, atoms in frames if (text := far_parts(atoms))]
    if far:
        more = f" ({len(far)} structures are so)" if len(far) > 1 else ""
        warn(f"{far[0][0]} consists of {far[0][1]}{more}")
    for place, _, text in lengths.findings():
        warn(f"{text} (the first is {place})")


def save_structures(output: Path, verb: str, frames: list[Any], batch: Batch) -> None:
    """The structures, and beside them OUT.json with all results; nothing where there are no structures.

    Adds `output` to what goes with the results, None if nothing was written.
    """
    batch.about["output"] = str(output) if frames else None
    if frames:
        write_frames(output, frames)
        record(output, verb, batch.as_dict())
