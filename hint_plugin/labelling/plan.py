"""What a labelling run is to do: its settings, which frames get what, and how to recognise the same run
again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data import LabelKeys, iter_frames
from hint_plugin.data.files import file_sha256
from hint_plugin.errors import OptionsError
from hint_plugin.labelling.engine import ENGINES, HessianMode

KEYS = LabelKeys()


@dataclass(frozen=True)
class LabelSettings:
    """What is to be computed; a change of any of them makes another run.

    Attributes:
        engine: a name in `ENGINES`.
        hessian: "full" [3N, 3N], "projected" (pairs v, Hv), or "none" (energy and forces only).
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
    hessian: HessianMode = "full"
    n_probes: int = 1
    seed: int = 0
    charge: int = 0
    multiplicity: int | None = None
    hessian_every: int = 1
    hessian_fraction: float = 1.0
    overwrite: bool = False

    def check(self) -> None:
        """Raise OptionsError for what makes no sense."""
        if self.engine not in ENGINES:
            raise OptionsError(f"no engine '{self.engine}'; there is {', '.join(ENGINES)}")
        if self.hessian not in ("full", "projected", "none"):
            raise OptionsError(f"hessian '{self.hessian}'; wanted full, projected or none")
        if self.n_probes < 1 or self.hessian_every < 1:
            raise OptionsError("the number of probes and hessian-every have to be at least 1")
        if not 0 <= self.hessian_fraction <= 1:
            raise OptionsError(f"hessian-fraction {self.hessian_fraction}; wanted 0 to 1")
        if self.hessian_every != 1 and self.hessian_fraction != 1:
            raise OptionsError("give hessian-every or hessian-fraction, not both")
        if self.multiplicity is not None and self.multiplicity < 1:
            raise OptionsError(f"spin {self.multiplicity}; wanted the multiplicity 2S + 1, at least 1")


@dataclass
class Plan:
    """Which frames are to be labelled, and how."""

    keep: np.ndarray  # [frames] bool: labelled already
    hessian: np.ndarray  # [frames] bool: gets a Hessian

    @property
    def n_todo(self) -> int:
        """Frames that are not labelled already."""
        return int((~self.keep).sum())


def all_frames(sources: list[Path]) -> Iterator[tuple[str, int, Atoms]]:
    """(file, index in it, structure) of all inputs, one after the other, in constant memory."""
    for source in sources:
        for number, atoms in enumerate(iter_frames(source)):
            yield str(source), number, atoms


def make_plan(sources: list[Path], settings: LabelSettings) -> Plan:
    """Read the inputs once and decide.

    Raises:
        DataError: an input cannot be read.
        OptionsError: no frames, or frames with some of the labels and no `overwrite`.
    """
    have_point, have_hessian, names = [], [], []
    for source, number, atoms in all_frames(sources):
        have_point.append((KEYS.energy in atoms.info) + (KEYS.forces in atoms.arrays))
        stored = [*atoms.info, *atoms.arrays]
        have_hessian.append(any(key in stored for key in (KEYS.hessian, KEYS.rows, KEYS.hvp)))
        names.append(f"{source}, frame {number} ({atoms.get_chemical_formula()})")
    n = len(names)
    if n == 0:
        raise OptionsError(f"{', '.join(map(str, sources))}: no frames")
    wanted = np.zeros(n, dtype=bool)
    if settings.hessian != "none":
        wanted[:: settings.hessian_every] = True
        if settings.hessian_fraction < 1:
            count = round(settings.hessian_fraction * n)
            wanted[:] = False
            wanted[np.random.default_rng(settings.seed).choice(n, count, replace=False)] = True
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


def identity(sources: list[Path], settings: LabelSettings) -> dict[str, Any]:
    """What makes two runs the same, in words that an error can show."""
    found: dict[str, Any] = asdict(settings)
    for number, source in enumerate(sources):
        found[f"input {number}"] = f"{source.name} (sha256 {file_sha256(source)[:16]})"
    return found
