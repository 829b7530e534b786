"""How many structures of a data set have a Hessian label, and which of them to check a model on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hint_plugin.core.batches import KEYS
from hint_plugin.data import LabelKeys
from hint_plugin.errors import DataError
from hint_plugin.mace.stores import StoreDataset
from hint_plugin.mace.workers import parts

#: Structures of files that are looked at, evenly spaced; those in memory are all looked at.
LOOKED_AT = 2000


@dataclass
class Survey:
    """What was seen of a data set.

    Attributes:
        size: structures of the set.
        seen: how many were looked at.
        labelled: how many of these have a Hessian label.
        best: the labelled one (any one, where no label was asked for) with most edges; None if there is none.
        edges: its number of edges.
    """

    size: int
    seen: int = 0
    labelled: int = 0
    best: int | None = None
    edges: int = -1

    @property
    def complete(self) -> bool:
        """Whether every structure was looked at."""
        return self.seen >= self.size

    def add(self, index: int, structure: Any, *, any_structure: bool = False) -> None:
        """Take in MACE's `AtomicData` of a structure. Raises DataError if its label's arrays are missing."""
        self.seen += 1
        labelled = not any_structure and has_label(structure, index)
        self.labelled += labelled
        edges = int(structure.edge_index.shape[1])
        if (labelled or any_structure) and edges > self.edges:
            self.best, self.edges = index, edges

    def __str__(self) -> str:
        if self.complete:
            return f"{self.labelled} of {self.size} structures have a Hessian label"
        return f"{self.labelled} of {self.seen} structures looked at (of {self.size}) have a Hessian label"


def survey(
    dataset: Any, keys: LabelKeys | None = None, *, limit: int = LOOKED_AT, any_structure: bool = False
) -> Survey:
    """Look at a data set of MACE's: at all structures in memory, and at ``limit`` of those in files.

    A label that is rare is not missed: where none of those has one, the others are looked at until one has.

    Args:
        dataset: of a loader.
        keys: where the labels are in files.
        limit: how many structures of files are read, evenly spaced.
        any_structure: labels are not asked for.

    Raises:
        DataError: a structure without the arrays of a label (an unlabelled one has them, empty).
    """
    found = Survey(len(dataset))
    spaced = []
    in_files = sum(len(part) for _, part in parts(dataset) if not isinstance(part, list))
    stride = max(1, in_files // limit)
    for start, part in parts(dataset):
        if isinstance(part, list):
            for index, structure in enumerate(part, start):
                found.add(index, structure, any_structure=any_structure)
        else:
            spaced += list(range(start, start + len(part), stride))
    for index in spaced:
        found.add(index, dataset[index], any_structure=any_structure)
    if not found.labelled and not found.complete and not any_structure:
        logging.info(
            f"HINT: none of {found.seen} structures has a Hessian label; looking at all {found.size}"
        )
        seen = set(spaced)
        for index in _others(dataset, keys or LabelKeys(), seen):
            found.add(index, dataset[index])
            if found.labelled:
                break
    return found


def _others(dataset: Any, keys: LabelKeys, seen: set[int]) -> Iterator[int]:
    """The structures of files that are not in ``seen``; of HINT's stores only those with a label."""
    for start, part in parts(dataset):
        if isinstance(part, StoreDataset):
            yield from (start + index for index in part.labelled(keys) if start + index not in seen)
        elif not isinstance(part, list):
            yield from (index for index in range(start, start + len(part)) if index not in seen)


def has_label(structure: Any, index: int) -> bool:
    """Whether a structure of a data set has a Hessian label. Raises DataError if its arrays are missing."""
    count = getattr(structure, "hint_count", None)
    if count is None:
        raise DataError(
            f"structure {index} of a data set has no {', '.join(KEYS)}: it was read without HINT, or could "
            "not be read. Read the data set in the training's own process, and report it"
        )
    return bool(count[0, 2])
