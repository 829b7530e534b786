"""What a labelling run is to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hint_plugin.errors import OptionsError
from hint_plugin.potentials.engine import HessianMode
from hint_plugin.potentials.registry import check_engine


@dataclass(frozen=True)
class LabelSettings:
    """What is to be computed; a change of any of them makes another run.

    Attributes:
        engine: a name in `ENGINES`.
        engine_options: its options, plain JSON values or strings; see `hint label --list-engines`.
        hessian: "full" [3N, 3N], "rows" of some atoms [3m, 3N], "projected" (pairs v, Hv), or "none" (energy
            and forces only).
        atoms: the atoms of "rows": 0-3,7 or tag=1, the name of a boolean array, or free, which are those that
            no constraint of a frame holds (`select_atoms`).
        n_probes: K of projected labels.
        seed: of the probes and of the random choice of frames; each frame has its own stream.
        charge: total charge, e, for frames that state none (`data.structures.electrons`).
        multiplicity: 2S + 1 for frames that state none; None is the lowest possible.
        hessian_every: a Hessian for frames 0, n, 2n ... only; energy and forces for all.
        hessian_fraction: a Hessian for this fraction of the frames, chosen at random. Not with
            `hessian_every`.
        overwrite: replace labels that frames already have.
        keep_labels: keep labels that frames already have, whoever made them, if they are complete.
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
    keep_labels: bool = False

    def check(self) -> None:
        """Raise OptionsError for what makes no sense."""
        if self.hessian not in ("full", "rows", "projected", "none"):
            raise OptionsError(f"hessian '{self.hessian}'; wanted full, rows, projected or none")
        if (self.hessian == "rows") != (self.atoms is not None):
            raise OptionsError(
                "--hessian rows and --atoms (0-3,7 or tag=1, a boolean array, or free: those that no "
                "constraint holds) go together"
            )
        if self.n_probes < 1 or self.hessian_every < 1:
            raise OptionsError("the number of probes and hessian-every have to be at least 1")
        if not 0 <= self.hessian_fraction <= 1:
            raise OptionsError(f"hessian-fraction {self.hessian_fraction}; wanted 0 to 1")
        if self.hessian_every != 1 and self.hessian_fraction != 1:
            raise OptionsError("give hessian-every or hessian-fraction, not both")
        if self.overwrite and self.keep_labels:
            raise OptionsError(
                "--overwrite replaces labels and --keep-labels keeps them; give one of the two"
            )
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
