"""`run_labelling`: label files of structures in parallel, and survive what happens to long runs.

    inputs ──scan──> plan ──tasks──> workers ──results──> OUT.partial.jsonl ──merge, in input order──> OUT
                                                                            └──────────> OUT.failed.xyz

A kill at any moment loses the frames in flight; the same command goes on from the journal. OUT appears whole,
at the end. Frames that fail are kept apart with the reason in `info["hint_error"]`, and the run goes on.
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.artifact.domain import TrainingDomainWarning
from hint_plugin.data import HessianLabel, clear_labels, write_frames, write_label
from hint_plugin.data.labels.levels import without_hessian
from hint_plugin.data.sets.frames import file_kind
from hint_plugin.data.structures.electrons import state_electrons
from hint_plugin.errors import EngineError, InterruptedRunError, LabelWarning, OptionsError
from hint_plugin.labelling.label_settings import LabelSettings
from hint_plugin.labelling.plan import (
    KEYS,
    REASON_KEY,
    Inputs,
    Plan,
    all_frames,
    identity,
    make_plan,
)
from hint_plugin.parallel.failures import FrameFailure, count_kinds, failure_kind
from hint_plugin.parallel.journal import Journal
from hint_plugin.parallel.pool import Failure, Work, run_tasks, terminate_as_interrupt
from hint_plugin.potentials.engine import Labels, make_labels, refuse_unphysical
from hint_plugin.potentials.engines.cell_check import CellCheck
from hint_plugin.potentials.extrapolation import KEY as OUTSIDE
from hint_plugin.potentials.extrapolation import in_one_sentence, outside_training, told_by_the_run
from hint_plugin.potentials.registry import closing_note, make_engine
from hint_plugin.potentials.structure_checks import select_atoms


@dataclass(frozen=True)
class LabelSummary:
    """What a run did; `as_dict` is what `--json` prints."""

    output: str
    frames: int
    labelled: int
    hessians: int
    kept: int
    dropped: int
    failed: int
    resumed: int
    seconds: float
    noise: float | None
    failed_output: str | None
    failures: list[dict[str, Any]]
    failure_kinds: dict[str, int] = field(default_factory=dict)
    note: str | None = None
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    outside_training: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types. `noise` is the median of the Hessian labels, eV/A^2; `dropped` are Hessians of
        kept frames that were not asked for; `failure_kinds` counts by `failures.FAILURE_KINDS`;
        `outside_training` are new labels of structures outside of what the model was trained on."""
        return asdict(self)

    to_dict = as_dict
    """Its name in version 0.1."""


def run_labelling(
    inputs: Sequence[str | Path],
    output: str | Path,
    settings: LabelSettings | None = None,
    *,
    plan: str | Path | None = None,
    jobs: int = 1,
    parsl: str | Path | None = None,
    restart: bool = False,
    report: Callable[[int, int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> LabelSummary:
    """Label all frames of the inputs into one output, in input order.

    Frames that already have all the labels that are asked for, by the same method and settings, are kept
    (`existing`); without the Hessians that are not asked for. Labels are energy (eV), forces (eV/A), stress
    (eV/A^3, periodic frames), and a Hessian label, under MACE's keys (`LabelKeys`).

    Args:
        inputs: .xyz, .extxyz, .h5 or .hdf5 files; none with a plan.
        output: one such file; written at the end.
        settings: what to compute.
        plan: a `SamplingPlan` file: its frames only, Hessians where it wants them.
        jobs: worker processes, one thread each.
        parsl: a file that says where workers run (`parsl_config`), in place of `jobs` processes here.
        restart: drop the results of an interrupted run.
        report: called with (done, failed, all) at the start and after each frame.
        warn: told at the start what looks wrong with the structures; without it that is a `LabelWarning`, and
            structures outside of what a model was trained on, which the summary counts, are a
            `TrainingDomainWarning`.

    Raises:
        OptionsError: contradicting options, an output that exists, frames with some of the labels or with
            labels that are not those asked for, or a journal of another run.
        DataError: an input cannot be read.
        MissingDependencyError: the engine is not installed.
        InterruptedRunError: Ctrl-C; results so far are kept.
    """
    settings, target, started = settings or LabelSettings(), Path(output), time.monotonic()
    settings.check()
    sources = Inputs.open(inputs, plan)
    _check_files(sources.paths, target)
    run = _local(jobs) if parsl is None else _on_parsl(parsl, target)
    todo = make_plan(sources, settings)
    for text in todo.warnings:
        (warn or _warn)(text)
    header = {"out_existed": target.exists(), "run": identity(sources, settings)}
    partial_path = target.with_name(target.name + ".partial.jsonl")
    if restart:
        partial_path.unlink(missing_ok=True)
    if target.exists() and not settings.overwrite and not partial_path.exists():
        raise OptionsError(f"{target} exists. Choose another output, or give --overwrite to replace it")
    journal = Journal(partial_path, header)
    try:
        if journal.header["out_existed"] and not settings.overwrite:
            journal.remove()
            raise OptionsError(f"{target} exists. Choose another output, or give --overwrite to replace it")
        resumed = len(journal)
        with terminate_as_interrupt():
            _compute(sources, settings, todo, journal, run, report)
        summary = _merge(sources, target, todo, journal)
        journal.remove()
        shutil.rmtree(_parsl_folder(target), ignore_errors=True)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped: {len(journal)} of {todo.n_todo} frames are done and kept in {partial_path}. "
            "Give the same command again to go on"
        ) from None
    finally:
        journal.close()
    for text in summary.warnings if warn is None else ():
        warnings.warn(text, TrainingDomainWarning, stacklevel=2)
    notes = (todo.note, closing_note(settings.engine, settings.all_engine_options()))
    return replace(
        summary,
        resumed=resumed,
        seconds=time.monotonic() - started,
        note="\n".join(note for note in notes if note) or None,
        warnings=[*todo.warnings, *summary.warnings],
    )


def _warn(text: str) -> None:
    warnings.warn(text, LabelWarning, stacklevel=3)


def _check_files(sources: Sequence[Path], target: Path) -> None:
    file_kind(target)
    if not target.resolve().parent.is_dir():
        raise OptionsError(f"the folder {target.parent} does not exist. Make it first")
    if any(source.exists() and target.exists() and source.samefile(target) for source in sources):
        raise OptionsError(f"{target} is input and output. Choose another output")
    failed = _failed_path(target)
    if any(source.exists() and failed.exists() and source.samefile(failed) for source in sources):
        raise OptionsError(
            f"{failed} is an input, and frames that fail go there for the output {target}. Choose another "
            "output"
        )


def _failed_path(target: Path) -> Path:
    return target.with_name(target.stem + ".failed.xyz")


# (tasks, setup, how many) -> (number, result or Failure) in any order
RunTasks = Callable[
    [Iterator[tuple[int, Any]], Callable[[], Work], int], Generator[tuple[int, Any], None, None]
]


def _local(jobs: int) -> RunTasks:
    return lambda tasks, setup, count: run_tasks(tasks, setup, max(1, min(jobs, count)))


def _on_parsl(file: str | Path, target: Path) -> RunTasks:
    from hint_plugin.parallel.parsl_config import read_parsl_file
    from hint_plugin.parallel.parsl_pool import run_tasks_on_parsl

    where = read_parsl_file(file, _parsl_folder(target))
    return lambda tasks, setup, count: run_tasks_on_parsl(tasks, setup, where, count)


def _parsl_folder(target: Path) -> Path:
    return target.with_name(target.name + ".parsl")


def _compute(
    sources: Inputs,
    settings: LabelSettings,
    plan: Plan,
    journal: Journal,
    run: RunTasks,
    report: Callable[[int, int, int], None] | None,
) -> None:
    total, failed = plan.n_todo, 0
    if report:
        report(len(journal), 0, total)
    if len(journal) == total:
        return
    tasks = (
        (number, (number, atoms, bool(plan.hessian[number])))
        for number, (_, _, atoms) in enumerate(all_frames(sources))
        if not plan.keep[number] and number not in journal
    )
    with closing(run(tasks, partial(_setup_worker, settings), total - len(journal))) as outcomes:
        for number, outcome in outcomes:
            if isinstance(outcome, Failure):
                record = {"error": outcome.message, "kind": failure_kind(outcome)}
            else:
                record = _to_record(outcome)
            journal.add(number, record)
            failed += isinstance(outcome, Failure)
            if report:
                report(len(journal), failed, total)


def _setup_worker(settings: LabelSettings) -> Work:
    engine = make_engine(settings.engine, **settings.all_engine_options())
    cells = (
        CellCheck(engine.method) if getattr(getattr(engine, "options", None), "cell_check", False) else None
    )

    def energy(atoms: Atoms) -> float:
        return engine.prepare(atoms.copy()).single_point().energy

    def work(payload: tuple[int, Atoms, bool]) -> Labels | FrameFailure:
        number, atoms, wants_hessian = payload
        rng = np.random.default_rng([settings.seed, number])
        mode = settings.hessian if wants_hessian else "none"
        try:
            rows = select_atoms(atoms, settings.atoms or "") if mode == "rows" else None
            if cells is not None:
                cells.before(atoms)
            with told_by_the_run():
                labels = make_labels(engine, atoms, mode, n_probes=settings.n_probes, rng=rng, row_atoms=rows)
            if cells is not None:
                cells.after(atoms, labels.point.energy, energy)
            refuse_unphysical(engine, atoms, labels)
        except EngineError as error:
            return FrameFailure(str(error), error.kind)
        if mode == "projected":
            labels.provenance["seed"] = settings.seed
        if outside := outside_training(engine, atoms, labels.point.forces):
            labels.provenance[OUTSIDE] = outside
        return labels

    return work


def _to_record(labels: Labels) -> dict[str, Any]:
    record: dict[str, Any] = {
        "energy": labels.point.energy,
        "forces": labels.point.forces,
        "stress": labels.point.stress,
        "provenance": labels.provenance,
    }
    label = labels.hessian
    if label is not None:
        record["noise"] = label.noise
        if label.atoms is not None:
            record |= {"rows": label.hessian, "row_atoms": label.atoms.tolist()}
        elif label.hessian is not None:
            record["lower"] = label.hessian[np.tril_indices(len(label.hessian))]
        else:
            record |= {"probes": label.probes, "hvp": label.hvp}
    return record


def _apply(record: dict[str, Any], atoms: Atoms) -> None:
    """Put a result into its frame, in place of all labels that it had."""
    reason = atoms.info.get(REASON_KEY)
    clear_labels(atoms, KEYS)
    atoms.info[KEYS.energy] = record["energy"]
    atoms.arrays[KEYS.forces] = record["forces"]
    if record["stress"] is not None:
        atoms.info[KEYS.stress] = record["stress"]
    about = {"provenance": record["provenance"], "noise": record.get("noise")}
    if "lower" in record:
        n = 3 * len(atoms)
        matrix = np.empty((n, n))
        rows, columns = np.tril_indices(n)
        matrix[rows, columns] = record["lower"]
        matrix[columns, rows] = record["lower"]
        write_label(atoms, HessianLabel.full(matrix, **about), KEYS)
    elif "rows" in record:
        write_label(atoms, HessianLabel.rows(record["rows"], record["row_atoms"], len(atoms), **about), KEYS)
    elif "probes" in record:
        write_label(atoms, HessianLabel.projected(record["probes"], record["hvp"], **about), KEYS)
    else:
        atoms.info.update({KEYS.prefix + name: value for name, value in record["provenance"].items()})
    state_electrons(atoms, record["provenance"])
    if reason is not None:
        atoms.info[REASON_KEY] = reason


def _merge(sources: Inputs, target: Path, plan: Plan, journal: Journal) -> LabelSummary:
    failed_path = _failed_path(target)
    failed: list[Atoms] = []
    failures: list[dict[str, Any]] = []
    noises: list[float] = []
    outside: list[tuple[str, str]] = []
    hessians = 0

    def finished() -> Iterator[Atoms]:
        nonlocal hessians
        for number, (source, index, atoms) in enumerate(all_frames(sources)):
            if not plan.keep[number]:
                record = journal[number]
                if "error" in record:
                    kind = record.get("kind", "other")
                    failures.append(
                        {"source": source, "frame": index, "kind": kind, "error": record["error"]}
                    )
                    failures[-1]["formula"] = atoms.get_chemical_formula()
                    atoms.info |= {"hint_error": record["error"], "hint_source": source, "hint_frame": index}
                    failed.append(atoms)
                    continue
                _apply(record, atoms)
                if reason := record["provenance"].get(OUTSIDE):
                    outside.append((f"{source}, frame {index} ({atoms.get_chemical_formula()})", reason))
                hessians += any(name in record for name in ("lower", "rows", "probes"))
                if record.get("noise") is not None:
                    noises.append(record["noise"])
            elif plan.drop[number]:
                without_hessian(atoms, KEYS)
            yield atoms

    first = next(good := finished(), None)
    written = 0 if first is None else write_frames(target, _chain(first, good))
    if failed:
        write_frames(failed_path, failed)
    else:
        failed_path.unlink(missing_ok=True)
    kept = int(plan.keep.sum())
    said = in_one_sentence(outside, written - kept, "new labels")
    return LabelSummary(
        output=str(target),
        frames=len(plan.keep),
        labelled=written - kept,
        hessians=hessians,
        kept=kept,
        dropped=int(plan.drop.sum()),
        failed=len(failed),
        resumed=0,
        seconds=0.0,
        noise=float(np.median(noises)) if noises else None,
        failed_output=str(failed_path) if failed else None,
        failures=failures,
        failure_kinds=count_kinds(failures),
        outside_training=len(outside),
        warnings=[said] if said else [],
    )


def _chain(first: Atoms, others: Iterator[Atoms]) -> Iterator[Atoms]:
    yield first
    yield from others
