"""Hessian labels on their way through MACE's data pipeline.

MACE passes unknown properties of a `Configuration` on to the batch, but can only join arrays along their
first axis. So each configuration carries, labelled or not, six arrays that may be empty:

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
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hint_plugin.core.labels import StructureLabel
from hint_plugin.data.label import HessianLabel

KEYS = ("hint_rows", "hint_atoms", "hint_pairs", "hint_count", "hint_weight", "hint_key")


def structure_key(numbers: np.ndarray, positions: np.ndarray) -> int:
    """A number that names a structure: a checksum of elements and positions (rounded to 1e-6 A)."""
    raw = np.asarray(numbers, dtype=np.int64).tobytes() + np.round(positions * 1e6).astype(np.int64).tobytes()
    return zlib.crc32(raw)


def label_properties(
    label: HessianLabel | None, numbers: np.ndarray, positions: np.ndarray
) -> dict[str, np.ndarray]:
    """The six arrays of one configuration (None: not labelled)."""
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


def attach(config: Any, label: HessianLabel | None) -> None:
    """Put a label into a `Configuration` of MACE, as properties with weights (MACE logs their sum)."""
    config.properties.update(label_properties(label, config.atomic_numbers, config.positions))
    config.property_weights.update(dict.fromkeys(KEYS, 1.0 if config.properties["hint_weight"] > 0 else 0.0))


def _symmetric(label: HessianLabel) -> np.ndarray:
    assert label.hessian is not None
    return 0.5 * (label.hessian + label.hessian.T) if label.kind == "full" else label.hessian


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


class LabelledPart(NamedTuple):
    """A batch to be evaluated for the Hessian term, with a label (which may be empty) for each structure."""

    batch: dict[str, Any]
    labels: list[StructureLabel]
    weights: Tensor


def labelled_part(batch: dict[str, Any], labels: BatchLabels, *, split: bool = True) -> LabelledPart:
    """The labelled structures of a batch on their own.

    The batch itself, with all its structures, if none is unlabelled, without ``split``, and where `sub_batch`
    cannot take them out.
    """
    own = labels.labelled
    part = sub_batch(batch, own) if split and labels.unlabelled else None
    if part is None:
        return LabelledPart(batch, labels.labels, labels.weights)
    return LabelledPart(part, [labels.labels[g] for g in own], labels.weights[own])


#: Keys of the batch that are neither one row a structure nor one row an atom.
_EDGE_KEYS = ("shifts", "unit_shifts")
_CELL_KEYS = ("cell", "rcell")
#: References, which a model never reads: not copied into a sub-batch.
_REFERENCES = ("energy", "forces", "stress", "virials", "dipole", "charges", "polarizability")


def sub_batch(batch: Mapping[str, Any], chosen: list[int]) -> dict[str, Any] | None:
    """What a model reads of some structures of a batch, as a batch of its own.

    Args:
        batch: MACE's batch as a dict.
        chosen: indices of the structures, ascending.

    Returns:
        the smaller batch, or None if it holds something whose rows belong to nobody known (then do not
        split).
    """
    ptr, owner, edges = batch["ptr"], batch["batch"], batch["edge_index"]
    device = ptr.device
    graphs = torch.tensor(chosen, device=device)
    n_graphs, n_atoms = len(ptr) - 1, len(owner)
    taken = torch.zeros(n_graphs, dtype=torch.bool, device=device)
    taken[graphs] = True
    atoms = taken[owner].nonzero().squeeze(1)
    edge = taken[owner[edges[0]]].nonzero().squeeze(1)
    new_atom = torch.full((n_atoms,), -1, dtype=torch.long, device=device)
    new_atom[atoms] = torch.arange(len(atoms), device=device)
    new_graph = torch.full((n_graphs,), -1, dtype=torch.long, device=device)
    new_graph[graphs] = torch.arange(len(chosen), device=device)
    sizes = (ptr[1:] - ptr[:-1])[graphs]
    out: dict[str, Any] = {
        "ptr": torch.cat([ptr.new_zeros(1), sizes.cumsum(0)]),
        "batch": new_graph[owner[atoms]],
        "edge_index": new_atom[edges[:, edge]],
    }
    for key, value in batch.items():
        if key in out or key in KEYS or key in _REFERENCES or key.endswith("_weight") or key == "weight":
            continue
        if not isinstance(value, Tensor):
            out[key] = value
        elif key in _EDGE_KEYS:
            out[key] = value[edge]
        elif key in _CELL_KEYS:
            out[key] = value.reshape(n_graphs, 3, 3)[graphs].reshape(-1, 3)
        elif value.ndim and value.shape[0] == n_atoms:
            out[key] = value.detach()[atoms]
        elif value.ndim and value.shape[0] == n_graphs:
            out[key] = value[graphs]
        else:
            return None
    return out
