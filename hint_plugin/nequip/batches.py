"""Parts of NequIP's batches."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from nequip.data import get_field_type
from torch import Tensor

from hint_plugin.core.batches import KEYS, selection
from hint_plugin.nequip.fields import HOST, STEP


def offsets(data: dict[str, Tensor]) -> Tensor:
    """[G + 1], where the atoms of each structure begin."""
    counts = data["num_atoms"].reshape(-1)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def owners(data: dict[str, Tensor]) -> Tensor:
    """[N], structure of each atom."""
    return data["batch"].reshape(-1)


def keep_on_host(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """What stays on the host of a batch that goes to an accelerator: labels, step, and what is counted."""
    kept = {name: batch[name] for name in (*KEYS, STEP) if name in batch}
    return {**kept, **{HOST[name]: batch[name] for name in HOST if kept and name in batch}}


def host_part(data: dict[str, Tensor]) -> dict[str, Tensor]:
    """``num_atoms``, ``batch`` and ``edge_index`` where the host reads them without waiting for the device.

    They are those of the batch itself, unless `keep_on_host` has kept them.
    """
    return {name: data.get(HOST[name], data[name]) for name in HOST}


def select(data: dict[str, Tensor], chosen: list[int], names: Iterable[str]) -> dict[str, Tensor]:
    """Some structures of a batch, as a batch of its own.

    Args:
        data: the batch.
        chosen: indices of the structures, ascending.
        names: of the fields that are wanted; those of no known kind are left out.
    """
    host = host_part(data)
    part = selection(chosen, len(data["num_atoms"]), owners(host), host["edge_index"])
    part = part.to(data["pos"].device)
    out = {"edge_index": part.edge_index, "batch": part.owner}
    rows = {"graph": part.graphs, "node": part.atoms, "edge": part.edges}
    for name in names:
        kind = get_field_type(name, error_on_unregistered=False)
        if name in data and name not in out and kind in rows:
            out[name] = data[name].detach()[rows[kind]]
    return out
