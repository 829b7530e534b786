"""Hessian labels as arrays that join along their first axis: through a trainer's data pipeline and back.

MACE and NequIP make a batch by joining what each structure brings. So each structure brings, labelled or not,
six arrays that may be empty:

| key | shape in a batch | content |
|---|---|---|
| hint_rows | [sum 3m 3N, 1] | rows H[A, :], flat |
| hint_atoms | [sum m, 1] | the atoms A, counted from 0 in each structure |
| hint_pairs | [sum 2K 3N, 1] | probes, then products, flat |
| hint_count | [G, 3] | m, K, and 1 if labelled |
| hint_weight | [G] | weight of the label |
| hint_key | [G] | names the structure in the random stream |
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from hint_plugin.core.labels import StructureLabel
from hint_plugin.data.labels.label import HessianLabel

KEYS = ("hint_rows", "hint_atoms", "hint_pairs", "hint_count", "hint_weight", "hint_key")


def structure_key(numbers: np.ndarray, positions: np.ndarray) -> int:
    """A number that names a structure: a checksum of elements and positions (rounded to 1e-6 A)."""
    raw = np.asarray(numbers, dtype=np.int64).tobytes() + np.round(positions * 1e6).astype(np.int64).tobytes()
    return zlib.crc32(raw)


def label_arrays(
    label: HessianLabel | None, numbers: np.ndarray, positions: np.ndarray
) -> dict[str, np.ndarray]:
    """The six arrays of one structure (None: not labelled)."""
    rows = np.zeros(0)
    atoms = np.zeros(0, dtype=np.int64)
    pairs = np.zeros(0)
    pair_count = 0
    weight = 0.0
    if label is not None and label.weight > 0:
        weight = label.weight
        if label.kind == "projected":
            assert label.probes is not None and label.hvp is not None
            pairs = np.concatenate([label.probes.ravel(), label.hvp.ravel()])
            pair_count = len(label.probes)
        else:
            assert label.hessian is not None
            rows = _symmetric(label).ravel()
            atoms = (
                np.arange(len(numbers)) if label.atoms is None else np.asarray(label.atoms, dtype=np.int64)
            )
    return {
        "hint_rows": rows,
        "hint_atoms": atoms,
        "hint_pairs": pairs,
        "hint_count": np.array([[len(atoms), pair_count, int(weight > 0)]], dtype=np.int64),
        "hint_weight": np.float64(weight),
        "hint_key": np.int64(structure_key(numbers, positions)),
    }


class BatchLabels:
    """The labels of a batch, taken apart again.

    Attributes:
        labels: one `StructureLabel` a structure (with nothing in it where there is no label).
        weights: [G], 0 where there is no label.
        counts: atoms of each structure.
    """

    def __init__(self, batch: Mapping[str, Tensor]) -> None:
        self.counts: list[int] = (batch["ptr"][1:] - batch["ptr"][:-1]).tolist()
        self.labels: list[StructureLabel] = []
        self.weights: Tensor = torch.zeros(len(self.counts), device=batch["ptr"].device)
        if any(key not in batch or batch[key] is None for key in KEYS):
            self.labels = [StructureLabel(n) for n in self.counts]
            return
        self.weights = batch["hint_weight"].reshape(-1)
        rows, atoms, pairs = (batch[key].reshape(-1) for key in ("hint_rows", "hint_atoms", "hint_pairs"))
        keys = batch["hint_key"].reshape(-1).tolist()
        at_row = at_atom = at_pair = 0
        for n, (m, k, labelled), key in zip(self.counts, batch["hint_count"].tolist(), keys, strict=True):
            label = StructureLabel(n)
            if labelled and k:
                block = pairs[at_pair : at_pair + 6 * k * n].reshape(2, k, n, 3)
                label = StructureLabel(n, probes=block[0], hvp=block[1], key=int(key))
            elif labelled:
                block = rows[at_row : at_row + 9 * m * n].reshape(3 * m, 3 * n)
                label = StructureLabel(n, rows=block, atoms=atoms[at_atom : at_atom + m].long(), key=int(key))
            self.labels.append(label)
            at_row, at_atom, at_pair = at_row + 9 * m * n, at_atom + m, at_pair + 6 * k * n

    @property
    def labelled(self) -> list[int]:
        """Indices of the labelled structures."""
        return [g for g, label in enumerate(self.labels) if label.labelled]

    @property
    def unlabelled(self) -> list[int]:
        """Indices of the others."""
        return [g for g, label in enumerate(self.labels) if not label.labelled]


def _symmetric(label: HessianLabel) -> np.ndarray:
    assert label.hessian is not None
    return 0.5 * (label.hessian + label.hessian.T) if label.kind == "full" else label.hessian
