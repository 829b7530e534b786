"""Training, validation and test sets that share no formula, molecule, reaction, or whatever is asked for.

Frames form groups: two frames are in one group if they agree in one of the keys, and so on from frame to
frame (connected components). Whole groups go to the parts, the largest ones first; each to a part drawn with
a probability proportional to what that part still lacks, among those that it fits into, or else to the one
that lacks most. So a part's make-up is that of the set, and small groups fill up the fractions at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.sets.frames import iter_frames
from hint_plugin.data.stores.part_files import write_parts
from hint_plugin.data.structures.identity import KEYS, formula_key, molecule_key, structure_keys
from hint_plugin.errors import DataError

NAMES = ("train", "valid", "test")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COMPUTED: dict[str, Callable[[Atoms], Hashable]] = {"formula": formula_key, "molecule": molecule_key}


@dataclass(frozen=True)
class SplitReport:
    """What a split has made.

    Attributes:
        by: the keys that no two parts share.
        groups: their number.
        largest: frames of the largest group.
        frames: of each part.
        overlap: for each respect (formula, molecule, structure, reaction ...) and pair of parts, how many
            values
            both have.
        files: of each part.
        provenance: where a run has one.
    """

    by: tuple[str, ...]
    groups: int
    largest: int
    frames: Mapping[str, int]
    overlap: Mapping[str, Mapping[str, int]]
    files: Mapping[str, str]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "by": list(self.by),
            "groups": self.groups,
            "largest_group": self.largest,
            "frames": dict(self.frames),
            "overlap": {respect: dict(pairs) for respect, pairs in self.overlap.items()},
            "files": dict(self.files),
            "provenance": dict(self.provenance),
        }


def group_value(atoms: Atoms, by: str, number: int, source: str | Path) -> Hashable:
    """The value of a key for a frame: 'formula', 'molecule', 'structure', 'frame' or a key of info.

    Raises:
        DataError: the frame's info has no such key.
    """
    if by == "frame":
        return number
    if by in _COMPUTED:
        return _COMPUTED[by](atoms)
    if by not in atoms.info:
        raise DataError(
            f"{source}, frame {number} ({atoms.get_chemical_formula()}): no info key '{by}'; it has "
            f"{', '.join(sorted(map(str, atoms.info))) or 'none'}. "
            "Split by formula, molecule, structure or frame"
        )
    return _normal(atoms.info[by])


def _normal(value: Any) -> Hashable:
    """One value for what is the same in every format: ASE reads `7`, "7" and "007" of a text as numpy's 7."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else value
    if isinstance(value, float):
        return repr(value) if np.isnan(value) else value
    if isinstance(value, np.ndarray):
        return repr(value.tolist())
    return value if isinstance(value, int) else repr(value)


def groups_of(keys: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Connected components: the group of each frame, from the values of its keys ([frames, keys])."""
    parent = np.arange(len(keys))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    first: dict[tuple[int, Hashable], int] = {}
    for number, values in enumerate(keys):
        for kind, value in enumerate(values):
            seen = first.setdefault((kind, value), number)
            if seen != number:
                a, b = root(seen), root(number)
                parent[max(a, b)] = min(a, b)
    roots = np.array([root(i) for i in range(len(keys))], dtype=np.int64)
    return np.unique(roots, return_inverse=True)[1]


def assign(groups: np.ndarray, fractions: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """The part of each frame, so that no group is in two parts and the parts' sizes are near the fractions.

    Args:
        groups: [frames], from `groups_of`.
        fractions: of the parts; they are made to add up to one.
        rng: draws the order of equal groups, and the parts.

    Raises:
        DataError: there are fewer groups than parts.
    """
    wanted = np.asarray(fractions, dtype=float)
    if wanted.size == 0 or not np.isfinite(wanted).all() or wanted.min() < 0 or wanted.sum() <= 0:
        raise DataError(f"fractions {list(fractions)}; wanted numbers >= 0 with a sum above 0")
    sizes = np.bincount(groups) if len(groups) else np.zeros(0, int)
    to_fill = wanted > 0
    if len(sizes) < to_fill.sum():
        raise DataError(
            f"{len(sizes)} groups cannot fill {to_fill.sum()} parts without sharing one. "
            "Split by something finer, or into fewer parts"
        )
    lacks = wanted / wanted.sum() * len(groups)
    empty = to_fill.copy()
    part_of = np.zeros(len(sizes), dtype=np.int64)
    order = np.lexsort((rng.random(len(sizes)), -sizes))
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        size = sizes[group]
        if left <= empty.sum():  # just enough groups to leave no part empty
            fits = empty
        else:
            fits = to_fill & (lacks >= size)
        room = np.where(fits, np.maximum(lacks, 1e-9), 0.0)
        if fits.any():
            part = int(rng.choice(len(lacks), p=room / room.sum()))
        else:
            part = int(np.argmax(np.where(to_fill, lacks, -np.inf)))
        part_of[group] = part
        lacks[part] -= size
        empty[part] = False
    return part_of[groups]


def split(
    source: str | Path,
    folder: str | Path,
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    by: Sequence[str] = ("formula",),
    seed: int = 0,
    suffix: str = ".h5",
    report: Callable[[str, int], Any] = lambda what, done: None,
    **store_options: Any,
) -> SplitReport:
    """Split a file of frames into train, valid and test (for more than three fractions: part0, part1, ...).

    The file is read twice, in constant memory but for the keys of its frames. All files appear together, at
    the end.

    Args:
        source: anything that `iter_frames` reads.
        folder: is made if it is not there.
        fractions: of the parts.
        by: 'formula', 'molecule', 'structure', 'frame', or keys of info such as 'reaction'. Of several,
            none is shared.
        seed: of all random choices.
        suffix: of the parts' files: .h5, .xyz, ...
        report: called with what is being done and the number of frames done.
        **store_options: of `FrameStore.create`.

    Raises:
        DataError: a frame lacks a key, there are too few groups, or a part exists already.
    """
    wanted = tuple(dict.fromkeys(by)) or ("frame",)
    names = part_names(len(fractions))
    keys: list[tuple[Hashable, ...]] = []
    for number, atoms in enumerate(iter_frames(source)):
        keys.append(tuple(_values(atoms, wanted, number, source)))
        report("grouping", number + 1)
    if not keys:
        raise DataError(f"{source}: no frames to split")
    groups = groups_of(keys)
    parts = assign(groups, fractions, np.random.default_rng(seed))
    del keys
    overlap = Overlap(names, wanted)

    def tagged() -> Iterator[tuple[str, Atoms]]:
        for number, atoms in enumerate(iter_frames(source)):
            overlap.add(names[parts[number]], atoms, number, source)
            report("writing", number + 1)
            yield names[parts[number]], atoms

    used = [name for name, fraction in zip(names, fractions, strict=True) if fraction > 0]
    files = write_parts(Path(folder), used, suffix, tagged(), **store_options)
    return SplitReport(
        wanted,
        int(groups.max()) + 1,
        int(np.bincount(groups).max()),
        {name: int((parts == number).sum()) for number, name in enumerate(names)},
        overlap.counts(),
        {name: str(path) for name, path in files.items()},
    )


def part_names(count: int) -> tuple[str, ...]:
    """train, valid, test; train, test for two; part0, part1, ... for more."""
    if count == 2:
        return ("train", "test")
    return NAMES[:count] if count <= 3 else tuple(f"part{i}" for i in range(count))


def _values(atoms: Atoms, by: Iterable[str], number: int, source: str | Path) -> Iterator[Hashable]:
    for key in by:
        if key == "structure":
            yield from structure_keys(atoms)
        else:
            yield group_value(atoms, key, number, source)


class Overlap:
    """Counts what parts have in common: formulas, molecules, structures, reactions, and keys of info."""

    def __init__(self, parts: Sequence[str], by: Sequence[str] = ()) -> None:
        self.parts = tuple(parts)
        self.respects = tuple(
            dict.fromkeys(("formula", "molecule", "structure", *(k for k in by if k != "frame")))
        )
        self._seen: dict[str, dict[str, set[int]]] = {}  # hash * KEYS + number of the key

    def add(self, part: str, atoms: Atoms, number: int = 0, source: str | Path = "") -> None:
        """Take note of a frame of a part."""
        respects = self.respects + (
            ("reaction",) if "reaction" in atoms.info and "reaction" not in self.respects else ()
        )
        for respect in respects:
            seen = self._seen.setdefault(respect, {name: set() for name in self.parts})
            values = list(_values(atoms, (respect,), number, source))
            seen[part].update(KEYS * hash(value) + kind for kind, value in enumerate(values))

    def counts(self) -> dict[str, dict[str, int]]:
        """respect -> 'first & second' -> values that both have."""
        return {
            respect: {f"{a} & {b}": _shared(seen[a], seen[b]) for a, b in combinations(self.parts, 2)}
            for respect, seen in self._seen.items()
        }


def _shared(one: set[int], other: set[int]) -> int:
    both = one & other
    return max(sum(value % KEYS == kind for value in both) for kind in range(KEYS))
