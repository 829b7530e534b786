"""What becomes of the labels that frames bring with them: kept, cut to the budget, replaced, or refused.

A label is kept where it is the one that is asked for: of the same method and settings
(`levels.level_differences`), with a Hessian of the kind that is asked for. It has to pass what new labels
pass: shapes, finite numbers, and the laws of physics (`gate`). A Hessian that nobody asks for is left out of
the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data import LabelKeys
from hint_plugin.data.labels.extxyz import check_frames
from hint_plugin.data.labels.levels import has_hessian, level_differences, recorded, without_hessian
from hint_plugin.data.labels.thresholds import Thresholds
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.labelling.label_settings import LabelSettings
from hint_plugin.potentials.registry import of_structure, settings_of
from hint_plugin.potentials.structure_checks import select_atoms

KEYS = LabelKeys()
_SHOWN = 3


class Verdict(Enum):
    """What is to be done with a frame."""

    LABEL = "label"
    KEEP = "keep"
    KEEP_WITHOUT_HESSIAN = "keep, and leave its Hessian out"


@dataclass
class ExistingLabels:
    """Decides frame by frame, and remembers what has to be refused.

    Attributes:
        versions: programs whose labels are kept in other versions than the one that is here now.
    """

    settings: LabelSettings
    versions: set[str] = field(default_factory=set)
    _partly: list[str] = field(default_factory=list)
    _others: list[str] = field(default_factory=list)
    _wrong: list[str] = field(default_factory=list)

    def verdict(self, atoms: Atoms, wants_hessian: bool, name: str) -> Verdict:
        """Of one frame; `name` says which it is."""
        point = (KEYS.energy in atoms.info) + (KEYS.forces in atoms.arrays)
        has = has_hessian(atoms, KEYS)
        if self.settings.overwrite or not (point or has):
            return Verdict.LABEL
        if point < 2 or (wants_hessian and not has):
            self._partly.append(name)
            return Verdict.LABEL
        if not self.settings.keep_labels:
            differ = self._differences(atoms, wants_hessian)
            if differ:
                self._others.append(f"{name}: {'; '.join(differ)}")
                return Verdict.LABEL
        if problems := self._problems(atoms, wants_hessian):
            self._wrong.append(f"{name}: {problems[0]}")
            return Verdict.LABEL
        return Verdict.KEEP_WITHOUT_HESSIAN if has and not wants_hessian else Verdict.KEEP

    def refuse(self) -> None:
        """Raises OptionsError if a frame has some of the labels, labels of another origin, or wrong ones."""
        if self._partly:
            raise OptionsError(
                f"{_frames(self._partly)} some of the labels, the first is {self._partly[0]}. Labels "
                "of two origins do not mix: give --overwrite to replace what is there, or remove it"
            )
        if self._others:
            raise OptionsError(
                f"{_frames(self._others)} labels that are not those asked for:\n  {_first(self._others)}"
                "\nGive --overwrite to label them anew, or --keep-labels to keep them in OUT as they are"
            )
        if self._wrong:
            raise OptionsError(
                f"{_frames(self._wrong)} labels that cannot be right:\n  {_first(self._wrong)}"
                "\nGive --overwrite to label them anew, or correct or remove them"
            )

    def _problems(self, atoms: Atoms, wants_hessian: bool) -> list[str]:
        """What is wrong with labels that would be kept."""
        kept = atoms
        if not wants_hessian and has_hessian(atoms, KEYS):
            kept = atoms.copy()
            kept.calc = atoms.calc
            without_hessian(kept, KEYS)
        own = self.settings.engine == "model" and recorded(atoms.info, KEYS).get("engine") == "model"
        limits = Thresholds(rules_of_thumb=not own)  # how stiff a model's bonds are is its own affair
        return [problem.message for problem in check_frames([kept], KEYS, limits=limits).problems]

    def _differences(self, atoms: Atoms, wants_hessian: bool) -> list[str]:
        found = recorded(atoms.info, KEYS)
        if "method" not in found:
            return ["the frame does not say how they were made: no hint_method in its info"]
        try:
            asked = self._asked(wants_hessian) | self._of_structure(atoms)
            differ = self._other_kind(atoms) if wants_hessian else []
        except EngineError as error:
            return [str(error)]
        levels = level_differences(found, asked, hessian=wants_hessian)
        differ = levels if found["method"] != asked["method"] else levels + differ
        there, here = found.get("engine_version"), asked.get("engine_version")
        if not differ and here is not None and there != here:
            self.versions.add(f"{there}, not {here}")
        return differ

    def _other_kind(self, atoms: Atoms) -> list[str]:
        """Whether the Hessian is of another kind than the one that is asked for."""
        kind = self.settings.hessian
        if kind == "full":
            same, wanted = KEYS.hessian in atoms.info, "a full Hessian"
        elif kind == "rows":
            chosen = select_atoms(atoms, self.settings.atoms or "")
            mask = atoms.arrays.get(KEYS.mask)
            same = mask is not None and np.array_equal(np.flatnonzero(mask), chosen)
            wanted = f"rows of the atoms {self.settings.atoms}"
        else:
            products = atoms.arrays.get(KEYS.hvp)
            same = products is not None and products.shape[1:] == (3 * self.settings.n_probes,)
            wanted = f"{self.settings.n_probes} pairs (v, Hv)"
        return [] if same else [f"{wanted} asked for, and the frame has {_kind(atoms)}"]

    def _asked(self, hessian: bool) -> dict[str, Any]:
        return self._asked_with if hessian else self._asked_without

    @cached_property
    def _asked_with(self) -> dict[str, Any]:
        return settings_of(self.settings.engine, self.settings.all_engine_options(), self.settings.hessian)

    @cached_property
    def _asked_without(self) -> dict[str, Any]:
        return settings_of(self.settings.engine, self.settings.all_engine_options(), "none")

    @cached_property
    def _of_structure(self) -> Callable[[Atoms], dict[str, Any]]:
        return of_structure(self.settings.engine, self.settings.all_engine_options())


def _frames(names: Sequence[str]) -> str:
    return "1 frame has" if len(names) == 1 else f"{len(names)} frames have"


def _first(found: Sequence[str]) -> str:
    more = len(found) - _SHOWN
    return "\n  ".join(found[:_SHOWN]) + (f"\n  and {more} more" if more > 0 else "")


def _kind(atoms: Atoms) -> str:
    if KEYS.hessian in atoms.info:
        return "a full one"
    if KEYS.rows in atoms.info:
        return f"rows of {int(np.sum(atoms.arrays.get(KEYS.mask, 0)))} atoms"
    return f"{atoms.arrays[KEYS.hvp].shape[1] // 3 if KEYS.hvp in atoms.arrays else 0} pairs"
