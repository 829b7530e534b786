"""Of which level labels are, and whether two are of the same: the one place that answers it.

A *level* is the method and the settings that labels were computed with, as `hint label` and the readers of
other programs' files leave them in `hint_*` keys of `atoms.info`. What of it counts depends on the question:

| key (`hint_` before it) | is a label the one that is asked for? | do two frames go into one set? |
|---|---|---|
| `engine`, `method`, `accuracy`, `grid_level`, `model_sha256`, ... all that has no line here | yes | yes |
| `charge`, `multiplicity`, `kpoints`, `pseudopotentials` | yes | no: they belong to the structure |
| `step`, `derivatives` | of a Hessian by differences | no: they change its noise |
| `code`, a hash of the user's own source | yes | no: most edits change no number |
| `engine_version` | the program, not its version | the same |
| `hessian`, `asymmetry`, `noise_from`, `label_noise`, `seed`, all of `BOOKKEEPING` | no | no |
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.labels.extxyz import write_label
from hint_plugin.data.labels.frame_labels import has_ase_labels
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.errors import DataError

DEFAULT_KEYS = LabelKeys()
BOOKKEEPING = frozenset(
    [
        "hessian",
        "asymmetry",
        "noise_from",
        "label_noise",
        "seed",
        "sampling_reason",
        "source_format",
        "dynamical_matrices",
        "error",
        "source",
        "frame",
        "outside_training",
    ]
)
OF_THE_HESSIAN = frozenset({"step", "derivatives"})
OF_THE_STRUCTURE = frozenset({"charge", "multiplicity", "kpoints", "pseudopotentials"})
OF_THE_CODE = frozenset({"code"})
UNKNOWN = "an unknown method"
_ABOUT_THE_HESSIAN = ("asymmetry", "noise_from", "seed", "derivatives")


def recorded(info: Mapping[str, Any], keys: LabelKeys = DEFAULT_KEYS) -> dict[str, Any]:
    """What is known of how a frame's labels were made: its `hint_*` keys without the prefix."""
    start = len(keys.prefix)
    return {
        name[start:]: value.item() if isinstance(value, np.generic) else value
        for name, value in info.items()
        if isinstance(name, str) and name.startswith(keys.prefix)
    }


def level_differences(found: Mapping[str, Any], asked: Mapping[str, Any], *, hessian: bool) -> list[str]:
    """How labels differ from those that are asked for: "accuracy: 1.0 there, 0.001 asked for".

    Of another method that alone is told: the settings of one program say nothing about another.

    Args:
        found: of `recorded`.
        asked: the same keys, of the engine; None is what it cannot know before it has run.
        hessian: a Hessian of the label counts as well.
    """
    said = []
    if not _equal(found.get("method"), asked.get("method")):
        return [f"method: {_word(found.get('method'))} there, {_word(asked.get('method'))} asked for"]
    for name in dict.fromkeys([*asked, *found]):
        unknown = name in asked and asked[name] is None
        if name in BOOKKEEPING or unknown or (name in OF_THE_HESSIAN and not hessian):
            continue
        if name == "step" and found.get("derivatives") == "analytic":
            continue
        there, wanted = found.get(name), asked.get(name)
        if name == "engine_version":
            name, there, wanted = "program", _program(there), _program(wanted)
        if not _equal(there, wanted):
            said.append(f"{name}: {_word(there)} there, {_word(wanted)} asked for")
    return said


def is_of_the_level(name: str) -> bool:
    """Whether a setting tells one level from another, for frames that go into one set."""
    return name not in BOOKKEEPING | OF_THE_HESSIAN | OF_THE_STRUCTURE | OF_THE_CODE


def is_labelled(atoms: Atoms, keys: LabelKeys = DEFAULT_KEYS) -> bool:
    """Whether a frame has any label."""
    return has_label((*atoms.info, *atoms.arrays), keys)


def has_hessian(atoms: Atoms, keys: LabelKeys = DEFAULT_KEYS) -> bool:
    """Whether a frame has a Hessian label, whole or not."""
    stored = (*atoms.info, *atoms.arrays)
    return any(key in stored for key in (keys.hessian, keys.rows, keys.mask, keys.probes, keys.hvp))


def without_hessian(atoms: Atoms, keys: LabelKeys = DEFAULT_KEYS) -> None:
    """Remove the Hessian label and what is told about it; energy, forces and their origin stay."""
    write_label(atoms, None, keys)
    for name in _ABOUT_THE_HESSIAN:
        atoms.info.pop(keys.prefix + name, None)
    if keys.prefix + "hessian" in atoms.info:
        atoms.info[keys.prefix + "hessian"] = "none"


@dataclass
class LevelCount:
    """Labelled frames of a set by their level.

    Attributes:
        frames: of each level; a level is the sorted pairs of its settings, () where neither method nor engine
            is recorded.
        first: where each was seen first.
    """

    frames: dict[tuple[tuple[str, Any], ...], int] = field(default_factory=dict)
    first: dict[tuple[tuple[str, Any], ...], str] = field(default_factory=dict)
    keys: LabelKeys = DEFAULT_KEYS

    def add(self, atoms: Atoms, source: str) -> None:
        """Count a frame, if it has a label."""
        if is_labelled(atoms, self.keys) or has_ase_labels(atoms):
            self.add_info(atoms.info, source)

    def add_info(self, info: Mapping[str, Any], source: str, frames: int = 1) -> None:
        """Count labelled frames of this `info`; not isolated atoms, whose energies are beside the labels."""
        if info.get("config_type") == "IsolatedAtom":
            return
        level = _level(recorded(info, self.keys))
        if level not in self.frames:
            level = next((known for known in self.frames if _same(known, level)), level)
        self.frames[level] = self.frames.get(level, 0) + frames
        self.first.setdefault(level, source)

    def by_method(self) -> dict[str, int]:
        """Frames by the name of the method; `UNKNOWN` where none is recorded."""
        found: dict[str, int] = {}
        for level, count in self.frames.items():
            name = _name(dict(level))
            found[name] = found.get(name, 0) + count
        return found

    def mixture(self) -> str:
        """One sentence about the levels, if there are several; "" otherwise."""
        if len(self.frames) < 2:
            return ""
        levels = [dict(level) for level in self.frames]
        names = [_name(level) for level in levels]
        told = [
            f"{count} {'frame' if count == 1 else 'frames'} of {_told(name, level, levels, names)} "
            f"(first in {self.first[key]})"
            for (key, count), name, level in zip(self.frames.items(), names, levels, strict=True)
        ]
        return f"labels of {len(told)} levels: {', '.join(told)}"


def refuse_mixture(levels: LevelCount, way_out: str) -> None:
    """Raises DataError if there are labels of several levels; `way_out` says what to do about it."""
    if said := levels.mixture():
        raise DataError(f"{said}. Their energies, forces and Hessians are of different surfaces. {way_out}")


def has_label(stored: Iterable[str], keys: LabelKeys = DEFAULT_KEYS) -> bool:
    """Whether any of these keys of `info` and `arrays` is a label's."""
    named = (keys.energy, keys.forces, keys.stress, keys.hessian, keys.rows, keys.hvp)
    there = set(stored)
    return any(key in there for key in named)


def _level(found: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    if "method" not in found and "engine" not in found:
        return ()
    kept = {name: value for name, value in found.items() if is_of_the_level(name)}
    if "engine_version" in kept:
        kept["program"] = _program(kept.pop("engine_version"))
    return tuple(sorted((name, value if _is_plain(value) else str(value)) for name, value in kept.items()))


def _same(first: tuple[tuple[str, Any], ...], second: tuple[tuple[str, Any], ...]) -> bool:
    return len(first) == len(second) and all(
        a[0] == b[0] and _equal(a[1], b[1]) for a, b in zip(first, second, strict=True)
    )


def _name(level: Mapping[str, Any]) -> str:
    return str(level.get("method", level.get("engine", UNKNOWN)))


def _told(name: str, level: Mapping[str, Any], levels: list[dict[str, Any]], names: list[str]) -> str:
    """The method, and where another level has the same one, the settings that differ."""
    twins = [other for other, called in zip(levels, names, strict=True) if called == name]
    settings = dict.fromkeys(key for other in twins for key in other)
    own = [key for key in settings if any(not _equal(other.get(key), level.get(key)) for other in twins)]
    if not own:
        return name
    return f"{name} with " + ", ".join(f"{key} {_word(level.get(key))}" for key in own)


def _program(version: Any) -> str | None:
    """ "tblite" of "tblite 0.8.0"."""
    return None if version is None else str(version).rpartition(" ")[0] or str(version)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool | int | float)


def _equal(there: Any, wanted: Any) -> bool:
    numbers = [
        value for value in (there, wanted) if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if len(numbers) == 2:
        return math.isclose(there, wanted, rel_tol=1e-9)
    return str(there) == str(wanted)


def _word(value: Any) -> str:
    return "nothing" if value is None else str(value)
