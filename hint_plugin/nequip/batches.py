"""Parts of NequIP's batches."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from nequip.data import get_field_type
from torch import Tensor

from hint_plugin.core.batches import selection


def offsets(data: dict[str, Tensor]) -> Tensor:
    """[G + 1], where the atoms of each structure begin."""
    counts = data["num_atoms"].reshape(-1)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def owners(data: dict[str, Tensor]) -> Tensor:
    """[N], structure of each atom."""
    return data["batch"].reshape(-1)


def select(data: dict[str, Tensor], chosen: list[int], names: Iterable[str]) -> dict[str, Tensor]:
    """Some structures of a batch, as a batch of its own.

    Args:
        data: the batch.
        chosen: indices of the structures, ascending.
        names: of the fields that are wanted; those of no known kind are left out.
    """
    part = selection(chosen, len(data["num_atoms"]), owners(data), data["edge_index"])
    out = {"edge_index": part.edge_index, "batch": part.owner}
    rows = {"graph": part.graphs, "node": part.atoms, "edge": part.edges}
    for name in names:
        kind = get_field_type(name, error_on_unregistered=False)
        if name in data and name not in out and kind in rows:
            out[name] = data[name].detach()[rows[kind]]
    return out
