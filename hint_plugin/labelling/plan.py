"""What a labelling run is to do: which frames get what, and how to recognise the same run again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data import LabelKeys, SamplingPlan, iter_frames
from hint_plugin.data.file_io import file_sha256
from hint_plugin.data.labels.label_keys import NearMisses
from hint_plugin.data.sets.patterns import each_once
from hint_plugin.data.structures.lengths import LengthCheck
from hint_plugin.errors import OptionsError
from hint_plugin.labelling.existing import ExistingLabels, Verdict
from hint_plugin.labelling.label_settings import LabelSettings
from hint_plugin.potentials.registry import check_engine, remark_of, settings_of

KEYS = LabelKeys()
REASON_KEY = "hint_sampling_reason"
"""Info key of a frame that a sampling plan chose: why."""


@dataclass
class Plan:
    """Which frames are to be labelled, and how.

    Attributes:
        keep: [frames] bool: labelled already, by the method that is asked for.
        hessian: [frames] bool: gets a Hessian, or keeps its own.
        drop: [frames] bool: kept without the Hessian that it has and that is not wanted.
        note: what is to be said about the labels that are kept; "" if nothing.
        warnings: what looks wrong with the structures, before anything is computed.
    """

    keep: np.ndarray
    hessian: np.ndarray
    drop: np.ndarray
    note: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def n_todo(self) -> int:
        """Frames that are not labelled already."""
        return int((~self.keep).sum())


@dataclass(frozen=True)
class Inputs:
    """Where structures come from: files, or the frames that a sampling plan chooses.

    Attributes:
        paths: the files.
        sampling: the plan, if there is one; only its frames are labelled then.
        plan_path: its file.
    """

    paths: Sequence[Path]
    sampling: SamplingPlan | None = None
    plan_path: Path | None = None

    @classmethod
    def open(cls, inputs: Sequence[str | Path], plan: str | Path | None = None) -> Inputs:
        """Raises OptionsError without either or with both, DataError if the plan cannot be read."""
        if plan is None:
            if not inputs:
                raise OptionsError("no input")
            each_once(inputs)
            return cls([Path(source) for source in inputs])
        if inputs:
            raise OptionsError("a plan names its own inputs: give --plan or IN, not both")
        sampling = SamplingPlan.read(plan)
        return cls([Path(source.path) for source in sampling.sources], sampling, Path(plan))


def all_frames(inputs: Inputs) -> Iterator[tuple[str, int, Atoms]]:
    """(file, index in it, structure) of all inputs, one after the other, in constant memory.

    Structures of a plan carry the reason of their choice in `info`.
    """
    if inputs.sampling is not None:
        for choice, atoms in inputs.sampling.frames():
            atoms.info[REASON_KEY] = choice.reason
            yield inputs.sampling.sources[choice.source].path, choice.frame, atoms
        return
    for source in inputs.paths:
        for number, atoms in enumerate(iter_frames(source)):
            yield str(source), number, atoms


def make_plan(inputs: Inputs, settings: LabelSettings) -> Plan:
    """Read the inputs and decide.

    Raises:
        DataError: an input cannot be read.
        OptionsError: no frames; without `overwrite`, frames with some of the labels, or with labels that are
            not those asked for.
    """
    wants, existing = _wants_hessian(inputs, settings), ExistingLabels(settings)
    lengths: LengthCheck[str] = LengthCheck()
    near = NearMisses(KEYS)
    remark = remark_of(settings.engine, settings.all_engine_options())
    said: dict[str, list[str]] = {}
    wanted, verdicts = [], []
    for count, (source, number, atoms) in enumerate(all_frames(inputs)):
        name = f"{source}, frame {number} ({atoms.get_chemical_formula()})"
        wanted.append(wants(count))
        verdicts.append(existing.verdict(atoms, wanted[-1], name))
        lengths.add(atoms, name)
        near.add(atoms, name)
        if verdicts[-1] is Verdict.LABEL and (text := remark(atoms)):
            said.setdefault(text, []).append(name)
    if not verdicts:
        files = [path for path in (inputs.plan_path, *inputs.paths) if path is not None]
        raise OptionsError(f"{', '.join(map(str, files))}: no frames")
    existing.refuse()
    keep = np.array([verdict is not Verdict.LABEL for verdict in verdicts])
    drop = np.array([verdict is Verdict.KEEP_WITHOUT_HESSIAN for verdict in verdicts])
    note = f"labels that are kept were made by {', '.join(sorted(existing.versions))}"
    warnings = [f"{text} (the first is {place})" for place, _, text in lengths.findings()]
    warnings += near.remarks()
    warnings += [f"{text} ({len(names)} frames, the first is {names[0]})" for text, names in said.items()]
    return Plan(keep, np.array(wanted), drop, note if existing.versions else "", warnings)


def _wants_hessian(inputs: Inputs, settings: LabelSettings) -> Callable[[int], bool]:
    """Frame number -> whether it gets a Hessian: the budget, whatever labels frames have."""
    if settings.hessian == "none":
        return lambda number: False
    if inputs.sampling is not None:
        if settings.hessian_every != 1 or settings.hessian_fraction != 1:
            raise OptionsError("a plan says which frames get Hessians: no hessian-every, no hessian-fraction")
        choices = inputs.sampling.choices
        return lambda number: choices[number].wanted == "hessian"
    if settings.hessian_fraction < 1:
        n = sum(1 for _ in all_frames(inputs))
        count = round(settings.hessian_fraction * n)
        chosen = set(np.random.default_rng(settings.seed).choice(n, count, replace=False).tolist())
        return lambda number: number in chosen
    return lambda number: number % settings.hessian_every == 0


def identity(inputs: Inputs, settings: LabelSettings) -> dict[str, Any]:
    """What makes two runs the same, in words that an error can show: all that the labels depend on."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))  # as a journal has it
    # defaults and versions may have changed since a run was interrupted
    made = settings_of(settings.engine, settings.all_engine_options(), settings.hessian)
    found["made by"] = ", ".join(f"{name} {value}" for name, value in made.items() if value is not None)
    if inputs.plan_path is not None:
        found["plan"] = _name_and_hash(inputs.plan_path)
    for number, source in enumerate(inputs.paths):
        found[f"input {number}"] = _name_and_hash(source)
    for name, value in vars(check_engine(settings.engine, settings.all_engine_options())).items():
        if isinstance(value, Path) and value.is_file():
            found[f"file of {name}"] = _name_and_hash(value)
    return found


def _name_and_hash(path: Path) -> str:
    return f"{path.name} (sha256 {file_sha256(path)[:16]})"
