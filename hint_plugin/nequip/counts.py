"""How many frames of a data set have a Hessian label, and which of them says most about a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nequip.data.dataset import AtomicDataset
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset

from hint_plugin.data.labels.contents import SetContents
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.nequip.labels import HessianLabels

#: Labelled frames among which the one with most edges is looked for: those with most atoms.
CANDIDATES = 32


@dataclass(frozen=True)
class LabelCount:
    """Of a data set.

    Attributes:
        frames: how many it has.
        fields: whether its frames have the fields of Hessian labels at all.
        labelled: the labelled ones: number in the data set -> atoms.
    """

    frames: int
    fields: bool
    labelled: dict[int, int]

    def __str__(self) -> str:
        return f"{len(self.labelled)} of {self.frames}"


def count_labels(dataset: Any) -> LabelCount:
    """Look at every frame: labels may be rare, and so they are not looked for in a sample.

    Neighbour lists are not made for it. Raises LabelError for a malformed label.
    """
    size, fields = len(dataset), True
    labelled: dict[int, int] = {}
    for number in range(size):
        data = _bare(dataset, number)
        counts = data.get("hint_count")
        fields = fields and counts is not None
        if counts is not None and int(counts[0, 2]):
            labelled[number] = len(data["pos"])
    return LabelCount(size, fields, labelled)


def contents_of(dataset: Any) -> SetContents:
    """Levels and charges of the frames that HINT has read from the files of a data set."""
    found, parts, seen = SetContents(), [dataset], set()
    while parts:
        part = parts.pop()
        if isinstance(part, Subset):
            parts.append(part.dataset)
        elif isinstance(part, ConcatDataset):
            parts.extend(part.datasets)
        elif isinstance(contents := getattr(part, "contents", None), SetContents) and id(part) not in seen:
            seen.add(id(part))
            found.add_all(contents)
    return found


def most_edges(dataset: Any, counted: LabelCount) -> dict[str, Tensor] | None:
    """The labelled frame that has most edges, of the `CANDIDATES` largest; None if none has an edge."""
    largest = sorted(counted.labelled, key=lambda number: -counted.labelled[number])[:CANDIDATES]
    best: dict[str, Tensor] | None = None
    for number in largest:
        data = dataset[number]
        if _edges(data) > (0 if best is None else _edges(best)):
            best = data
    return best


def looked_for(dataset: Any) -> str:
    """Where the labels of a data set would be, in words; empty where nobody looks for them."""
    if isinstance(dataset, Subset):
        return looked_for(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        return looked_for(dataset.datasets[0])
    owners = [dataset, *getattr(dataset, "transforms", [])]
    keys = next((x.keys for x in owners if isinstance(getattr(x, "keys", None), LabelKeys)), None)
    if keys is None:
        return ""
    return f"{keys.hessian}, {keys.rows} with {keys.mask}, {keys.probes} with {keys.hvp}"


def _edges(data: dict[str, Tensor]) -> int:
    return int(data["edge_index"].shape[1]) if "edge_index" in data else 0


def _bare(dataset: Any, number: int) -> dict[str, Tensor]:
    """A frame with its label and without a neighbour list."""
    if isinstance(dataset, Subset):
        return _bare(dataset.dataset, int(dataset.indices[number]))
    if isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            if number < len(part):  # type: ignore[arg-type]
                return _bare(part, number)
            number -= len(part)  # type: ignore[arg-type]
    if not isinstance(dataset, AtomicDataset):
        found: dict[str, Tensor] = dataset[number]
        return found
    (data,) = dataset._get_data_list([number])
    for transform in dataset.transforms:
        if isinstance(transform, HessianLabels):
            data = transform(dict(data))
    return data
