"""What a labelling run is to do: its settings, which frames get what, and how to recognise the same run
again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data import LabelKeys, SamplingPlan, iter_frames
from hint_plugin.data.files import file_sha256
from hint_plugin.errors import OptionsError
from hint_plugin.labelling.engine import HessianMode
from hint_plugin.labelling.registry import check_engine

KEYS = LabelKeys()
REASON_KEY = "hint_sampling_reason"
"""Info key of a frame that a sampling plan chose: why."""


@dataclass(frozen=True)
class LabelSettings:
    """What is to be computed; a change of any of them makes another run.

    Attributes:
        engine: a name in `ENGINES`.
        engine_options: its options, plain JSON values or strings; see `hint label --list-engines`.
        hessian: "full" [3N, 3N], "rows" of some atoms [3m, 3N], "projected" (pairs v, Hv), or "none" (energy
            and forces only).
        atoms: the atoms of "rows": 0-3,7 or tag=1 or the name of a boolean array (`select_atoms`).
        n_probes: K of projected labels.
        seed: of the probes and of the random choice of frames; each frame has its own stream.
        charge: total charge, e, for frames without `info["charge"]`.
        multiplicity: 2S + 1 for frames without `info["spin"]`; None is the lowest possible.
        hessian_every: a Hessian for frames 0, n, 2n ... only; energy and forces for all.
        hessian_fraction: a Hessian for this fraction of the frames, chosen at random. Not with
            `hessian_every`.
        overwrite: replace labels that frames already have.
    """

    engine: str = "gfn2-xtb"
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    hessian: HessianMode = "full"
    atoms: str | None = None
    n_probes: int = 1
    seed: int = 0
    charge: int = 0
    multiplicity: int | None = None
    hessian_every: int = 1
    hessian_fraction: float = 1.0
    overwrite: bool = False

    def check(self) -> None:
        """Raise OptionsError for what makes no sense."""
        if self.hessian not in ("full", "rows", "projected", "none"):
            raise OptionsError(f"hessian '{self.hessian}'; wanted full, rows, projected or none")
        if (self.hessian == "rows") != (self.atoms is not None):
            raise OptionsError("--hessian rows and --atoms (0-3,7 or tag=1 or a boolean array) go together")
        if self.n_probes < 1 or self.hessian_every < 1:
            raise OptionsError("the number of probes and hessian-every have to be at least 1")
        if not 0 <= self.hessian_fraction <= 1:
            raise OptionsError(f"hessian-fraction {self.hessian_fraction}; wanted 0 to 1")
        if self.hessian_every != 1 and self.hessian_fraction != 1:
            raise OptionsError("give hessian-every or hessian-fraction, not both")
        if self.multiplicity is not None and self.multiplicity < 1:
            raise OptionsError(f"spin {self.multiplicity}; wanted the multiplicity 2S + 1, at least 1")
        check_engine(self.engine, self.all_engine_options())

    def all_engine_options(self) -> dict[str, Any]:
        """`engine_options` with charge and multiplicity, which not every engine has, where they are given."""
        found = dict(self.engine_options)
        if self.charge != 0:
            found["charge"] = self.charge
        if self.multiplicity is not None:
            found["multiplicity"] = self.multiplicity
        return found


@dataclass
class Plan:
    """Which frames are to be labelled, and how."""

    keep: np.ndarray  # [frames] bool: labelled already
    hessian: np.ndarray  # [frames] bool: gets a Hessian

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
    """Read the inputs once and decide.

    Raises:
        DataError: an input cannot be read.
        OptionsError: no frames, or frames with some of the labels and no `overwrite`.
    """
    have_point, have_hessian, names = [], [], []
    for source, number, atoms in all_frames(inputs):
        have_point.append((KEYS.energy in atoms.info) + (KEYS.forces in atoms.arrays))
        stored = [*atoms.info, *atoms.arrays]
        have_hessian.append(any(key in stored for key in (KEYS.hessian, KEYS.rows, KEYS.hvp)))
        names.append(f"{source}, frame {number} ({atoms.get_chemical_formula()})")
    n = len(names)
    if n == 0:
        files = [path for path in (inputs.plan_path, *inputs.paths) if path is not None]
        raise OptionsError(f"{', '.join(map(str, files))}: no frames")
    wanted = _wanted_hessians(n, inputs.sampling, settings)
    point, has = np.array(have_point), np.array(have_hessian)
    if settings.overwrite:
        return Plan(np.zeros(n, dtype=bool), wanted)
    keep = (point == 2) & (has | ~wanted)
    partly = ~keep & ((point > 0) | has)
    if partly.any():
        first = int(np.flatnonzero(partly)[0])
        raise OptionsError(
            f"{int(partly.sum())} frames have some of the labels, the first is {names[first]}. Labels of two "
            "origins do not mix: give --overwrite to replace what is there, or remove it"
        )
    return Plan(keep, wanted)


def _wanted_hessians(n: int, sampling: SamplingPlan | None, settings: LabelSettings) -> np.ndarray:
    wanted = np.zeros(n, dtype=bool)
    if settings.hessian == "none":
        return wanted
    if sampling is not None:
        if settings.hessian_every != 1 or settings.hessian_fraction != 1:
            raise OptionsError("a plan says which frames get Hessians: no hessian-every, no hessian-fraction")
        return np.array([choice.wanted == "hessian" for choice in sampling.choices])
    wanted[:: settings.hessian_every] = True
    if settings.hessian_fraction < 1:
        count = round(settings.hessian_fraction * n)
        wanted[:] = False
        wanted[np.random.default_rng(settings.seed).choice(n, count, replace=False)] = True
    return wanted


def identity(inputs: Inputs, settings: LabelSettings) -> dict[str, Any]:
    """What makes two runs the same, in words that an error can show."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))  # as a journal has it
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
