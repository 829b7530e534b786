"""Batches with Hessian labels, as the trainers join them: what MACE's and NequIP's sides both do.

MACE and NequIP make a batch by joining what each structure brings. So each structure brings, labelled or not,
six arrays that may be empty (`hint_plugin.data.labels.batch_labels` makes them):

| key | shape in a batch | content |
|---|---|---|
| hint_rows | [sum 3m 3N, 1] | rows H[A, :], flat |
| hint_atoms | [sum m, 1] | the atoms A, counted from 0 in each structure |
| hint_pairs | [sum 2K 3N, 1] | probes, then products, flat |
| hint_count | [G, 3] | m, K, and 1 if labelled |
| hint_weight | [G] | weight of the label |
| hint_key | [G] | names the structure in the random stream |

Only labelled structures have to be differentiated twice. Where the others of a batch have many edges, a pass
of their own is cheaper: the batch is split into two parts, and their outputs are merged.

What is counted here is counted where the tensors are. A trainer that computes on an accelerator gives the
tensors that are still on the host (the arrays above, `ptr`, the owners of the atoms and the edges): every
question to a tensor on the device would make the host wait for all work of the device before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hint_plugin.core.labels import StructureLabel

KEYS = ("hint_rows", "hint_atoms", "hint_pairs", "hint_count", "hint_weight", "hint_key")

#: Unlabelled edges from which a second, smaller forward pass is cheaper than differentiating the whole batch
#: twice (measured by benchmarks/training_step.py on CPU: a pass costs about 15 ms whatever its size).
SPLIT_MIN_EDGES = 64


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
    def full(self) -> list[int]:
        """Indices of the structures whose whole Hessian is known."""
        return [g for g, label in enumerate(self.labels) if label.full]

    @property
    def unlabelled(self) -> list[int]:
        """Indices of the others."""
        return [g for g, label in enumerate(self.labels) if not label.labelled]


def worth_splitting(labels: BatchLabels, split: str, owner: Tensor, edge_index: Tensor) -> bool:
    """Whether the labelled structures are better evaluated apart from the others.

    Args:
        labels: of the batch.
        split: ``auto`` (where it is cheaper), ``always`` or ``never``.
        owner: structure of each atom [n].
        edge_index: [2, E].
    """
    if split == "never" or not labels.unlabelled:
        return False
    if split == "always":
        return True
    unlabelled = torch.zeros(len(labels.labels), dtype=torch.bool, device=owner.device)
    unlabelled[labels.unlabelled] = True
    return int(unlabelled[owner[edge_index[0]]].sum()) >= SPLIT_MIN_EDGES


class Selection(NamedTuple):
    """Some structures of a batch: which rows of its tensors are theirs, and their own indices.

    Attributes:
        graphs, atoms, edges: rows of the batch.
        owner: structure of each of the atoms, counted anew.
        edge_index: [2, edges], atoms counted anew.
    """

    graphs: Tensor
    atoms: Tensor
    edges: Tensor
    owner: Tensor
    edge_index: Tensor

    def to(self, device: torch.device) -> Selection:
        """The same on another device."""
        return Selection(*(moved(part, device) for part in self))


def moved(values: Tensor, device: torch.device) -> Tensor:
    """``values`` on a device; the host does not wait for a copy to an accelerator.

    Only the copy to the device goes on by itself: the host must not read a copy that has not arrived.
    """
    return values.to(device, non_blocking=device.type != "cpu")


def selection(chosen: list[int], n_graphs: int, owner: Tensor, edge_index: Tensor) -> Selection:
    """The structures ``chosen`` (ascending, maybe none) of a batch of ``n_graphs``."""
    graphs = torch.tensor(chosen, dtype=torch.long, device=owner.device)
    taken = torch.zeros(n_graphs, dtype=torch.bool, device=owner.device)
    taken[graphs] = True
    atoms = taken[owner].nonzero().squeeze(1)
    edges = taken[owner[edge_index[0]]].nonzero().squeeze(1)
    place = torch.full_like(owner, -1)
    place[atoms] = torch.arange(len(atoms), device=owner.device)
    number = torch.full((n_graphs,), -1, dtype=torch.long, device=owner.device)
    number[graphs] = torch.arange(len(chosen), device=owner.device)
    return Selection(graphs, atoms, edges, number[owner[atoms]], place[edge_index[:, edges]])


def merge_parts(
    first: dict[str, Any], second: dict[str, Any], owner: Tensor, own: list[int], others: list[int]
) -> dict[str, Any]:
    """The outputs of two parts of a batch in the order of the whole batch; ``owner`` of its atoms.

    Only tensors that both parts have, one row a structure or one row an atom, are merged.
    """
    n_graphs, n_atoms = len(own) + len(others), len(owner)
    order = torch.tensor([*own, *others], device=owner.device)
    place_graph = order.argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(n_graphs, device=owner.device)
    place_atom = torch.sort(rank[owner], stable=True).indices.argsort()
    out: dict[str, Any] = {}
    for key, a in first.items():
        b = second.get(key)
        if not isinstance(a, Tensor) or not isinstance(b, Tensor) or 0 in (a.ndim, b.ndim):
            continue
        rows = a.shape[0] + b.shape[0]
        if rows in (n_graphs, n_atoms) and a.shape[1:] == b.shape[1:]:
            place = place_graph if rows == n_graphs else place_atom
            out[key] = torch.cat([a, b])[moved(place, a.device)]
    return out
