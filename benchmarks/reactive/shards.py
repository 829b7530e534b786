"""One shard from its items to its files: geometries, labels, choice, and what each part gets.

A shard's folder under work/ holds what is done so far; it goes when the shard's summary is written, which is
the last thing that happens.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data import LabelKeys, SamplingPlan, iter_frames, read_frames, read_label, write_frames
from hint_plugin.data.file_io import write_json
from hint_plugin.errors import LabelError
from hint_plugin.labelling.run import label
from hint_plugin.sampling.run import sample
from hint_plugin.science.molecules.modes import largest_force
from reactive.amounts import LARGEST_CLOSE, LARGEST_FORCE, Amounts
from reactive.digest import digest_of
from reactive.displacements import along_modes
from reactive.geometry_journal import make_items
from reactive.items import STATIONARY
from reactive.splits import PARTS
from reactive.stationary import modes_of, verify
from reactive.times import cpu_seconds

KEYS = LabelKeys()
NAME = "shard-{:05d}"
_MODES = 10  # frames displaced along the modes of each stationary point
_RATIO = 2  # candidates for each chosen one, at least


class Shard:
    """One of a set.

    Args:
        folder: of the set.
        number: of the shard.
        amounts: of the set.
        jobs: processes.
    """

    def __init__(self, folder: Path, number: int, amounts: Amounts, jobs: int) -> None:
        self.folder, self.number, self.amounts, self.jobs = folder, number, amounts, jobs
        self.place = folder / "work" / NAME.format(number)
        self.summary_path = folder / "shards" / f"{NAME.format(number)}.json"
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}

    @property
    def done(self) -> bool:
        """Whether its files are there."""
        return self.summary_path.exists()

    def make(self, todo: Mapping[int, str]) -> dict[str, Any]:
        """All stages; returns the summary. ``todo``: item number -> SMILES."""
        self.place.mkdir(parents=True, exist_ok=True)
        items = make_items(self.place / "items.jsonl", todo, self.amounts, self.jobs)
        self.seconds["geometries"] = sum(item.seconds for item in items)
        for item in items:
            self.counts.update(item.counts)
        return self.finish([a for item in items for a in item.frames], len(items))

    def take(self, frames: Sequence[Atoms]) -> dict[str, Any]:
        """The stages after the geometries, for those of another set; returns the summary."""
        self.place.mkdir(parents=True, exist_ok=True)
        return self.finish(frames, len({a.info["item"] for a in frames}))

    def finish(self, frames: Sequence[Atoms], items: int) -> dict[str, Any]:
        """From geometries with `info` kind and part to the files and the summary."""
        points = self._label("points", [a for a in frames if a.info["kind"] in STATIONARY], "full")
        candidates = [a for a in frames if a.info["kind"] not in STATIONARY]
        candidates += self._displaced(points)
        full, pairs = self._chosen(candidates)
        labelled = [*points, *self._label("full", full, "full"), *self._label("pairs", pairs, "projected")]
        return self._written(self._within_limits(labelled), len(candidates), items)

    def _label(self, name: str, frames: Sequence[Atoms], hessian: Any) -> list[Atoms]:
        """By HINT's own run, which goes on where it was stopped; what fails is counted."""
        source, target = self.place / f"{name}.h5", self.place / f"{name}-labelled.h5"
        record = target.with_name(f"{target.name}.json")
        if not frames:
            return []
        if not record.exists():
            write_frames(source, frames)
            start = cpu_seconds()
            done = label(
                source,
                target,
                hessian=hessian,
                probes=self.amounts.probes,
                seed=1000 * self.amounts.seed + self.number,
                jobs=self.jobs,
                overwrite=True,
            )
            self._spent(target, start)
            write_json(record, done.as_dict())  # `label` leaves none where all frames have failed
        summary = json.loads(record.read_text())
        self.seconds[f"labels, {name}"] = self._time_of(target)
        self.counts.update({f"label failed: {k}": n for k, n in summary["failure_kinds"].items()})
        return read_frames(target) if summary["labelled"] else []

    def _displaced(self, points: Iterable[Atoms]) -> list[Atoms]:
        """Along the modes of the stationary points, which are verified on the way."""
        found = []
        for number, atoms in enumerate(points):
            rng = np.random.default_rng([self.amounts.seed, self.number, number])
            modes = modes_of(atoms)
            verify(atoms, modes, self.counts)
            about = {key: atoms.info[key] for key in ("part", "name", "item")}
            for _ in range(_MODES):
                new = along_modes(modes, rng)
                new.info.update(about, kind="displaced")
                found.append(new)
        return found

    def _chosen(self, candidates: Sequence[Atoms]) -> tuple[list[Atoms], list[Atoms]]:
        """By weighted local density in each part: those that get full Hessians, and pairs."""
        full, pairs = [], []
        by_part: dict[str, list[Atoms]] = defaultdict(list)
        for atoms in candidates:
            by_part[atoms.info["part"]].append(atoms)
        for part, some in by_part.items():
            plan = self._plan(part, some)
            for choice, atoms in plan.frames():
                (full if choice.wanted == "hessian" else pairs).append(atoms)
        return full, pairs

    def _plan(self, part: str, candidates: Sequence[Atoms]) -> SamplingPlan:
        target, source = self.place / f"plan-{part}.json", self.place / f"candidates-{part}.h5"
        if not target.exists():
            write_frames(source, candidates)
            held_out = part != "train"
            each = self.amounts.held_out if held_out else self.amounts.chosen
            wanted = each * len({a.info["item"] for a in candidates})
            start = cpu_seconds()
            about = {"n": max(1, min(wanted, len(candidates) // _RATIO)), "seed": self.amounts.seed}
            about["hessians"] = "all" if held_out else str(self.amounts.full)
            about["cache"] = self.place / f"features-{part}"
            sample("wld" if len(candidates) > 1 else "random", source, target, **about)
            self._spent(target, start)
        self.seconds[f"choice, {part}"] = self._time_of(target)
        return SamplingPlan.read(target)

    @staticmethod
    def _spent(target: Path, start: float) -> None:
        """Keep the CPU time of a stage beside its result."""
        write_json(target.with_name(f"{target.name}.seconds"), cpu_seconds() - start)

    @staticmethod
    def _time_of(target: Path) -> float:
        """s; 0 where the process was killed before it could say."""
        path = target.with_name(f"{target.name}.seconds")
        return float(json.loads(path.read_text())) if path.exists() else 0.0

    def _within_limits(self, frames: Iterable[Atoms]) -> list[Atoms]:
        """Without those that are counted as too much for a set."""
        kept = []
        for atoms in frames:
            reason = why_not(atoms)
            if reason:
                self.counts[f"{reason}: {atoms.info['kind']}"] += 1
            else:
                kept.append(atoms)
        return kept

    def _written(self, frames: Sequence[Atoms], candidates: int, items: int) -> dict[str, Any]:
        """A store for each part that has frames, then the summary."""
        about: dict[str, Any] = {"items": items, "candidates": candidates, "parts": {}}
        for part in PARTS:
            some = [a for a in frames if a.info["part"] == part]
            if some:
                target = self.folder / part / f"{NAME.format(self.number)}.h5"
                target.parent.mkdir(exist_ok=True)
                write_frames(target, some, hessian_dtype="float32")
                about["parts"][part] = _counted(some) | {"digest": digest_of(iter_frames(target))}
        about |= {"counts": dict(sorted(self.counts.items())), "seconds": self.seconds}
        self.summary_path.parent.mkdir(exist_ok=True)
        write_json(self.summary_path, about)
        shutil.rmtree(self.place)
        return about


def why_not(atoms: Atoms) -> str:
    """Why a labelled frame is left out; "" if it is not. Larger forces where atoms were pushed together.

    What `hint label` makes and a reader of labels refuses is left out: a training would end at it.
    """
    limit = LARGEST_CLOSE if atoms.info["kind"] == "close" else LARGEST_FORCE
    if largest_force(atoms.arrays[KEYS.forces]) >= limit:
        return "force above the limit"
    try:
        read_label(atoms)
    except LabelError:
        return "label refused by its reader"
    return ""


def _counted(frames: Sequence[Atoms]) -> dict[str, Any]:
    kinds = Counter(a.info["kind"] for a in frames)
    full = sum(KEYS.hessian in a.info for a in frames)
    return {"frames": len(frames), "kinds": dict(sorted(kinds.items())), "full_hessians": full}
