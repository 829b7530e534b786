"""Hessian labels on their way through MACE's data pipeline, and parts of its batches.

MACE passes unknown properties of a `Configuration` on to the batch: the arrays of `hint_plugin.core.batches`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hint_plugin.core.batches import KEYS, BatchLabels, moved, selection
from hint_plugin.core.labels import StructureLabel
from hint_plugin.data.labels.batch_labels import label_arrays
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.errors import DataError


def attach(config: Any, label: HessianLabel | None) -> None:
    """Put a label into a `Configuration` of MACE, as properties with weights (MACE logs their sum)."""
    config.properties.update(label_arrays(label, config.atomic_numbers, config.positions))
    config.property_weights.update(dict.fromkeys(KEYS, 1.0 if config.properties["hint_weight"] > 0 else 0.0))


def is_labelled(config: Any) -> bool:
    """Whether a `Configuration` brings a Hessian label."""
    return "hint_count" in config.properties and bool(config.properties["hint_count"][0, 2])


def batch_labels(batch: Mapping[str, Any]) -> BatchLabels:
    """The labels of a batch in a training with Hessians: every structure brings `KEYS`, labelled or not.

    Raises:
        DataError: the batch lacks some of them: without this error it would count as unlabelled.
    """
    missing = [key for key in KEYS if batch.get(key) is None]
    if missing:
        raise DataError(
            f"a batch has no {', '.join(missing)}: its structures were read by a process that knows nothing "
            "of Hessian labels. Read them in this process, with --num_workers 0, and report the data set"
        )
    return BatchLabels(batch)


#: What of a batch is counted in a step, besides its labels.
COUNTED = ("ptr", "batch", "edge_index")


def on_host(batch: Any) -> tuple[Any, dict[str, Tensor]]:
    """A batch of MACE's data loader without its Hessian labels, and what is to be counted of it on the host.

    The labels stay on the host: what a step needs of them are probes and products, [K, n, 3], and a whole
    Hessian has 3n / K times as many numbers.

    Returns:
        a shallow copy of the batch, and `KEYS`, ``ptr``, ``batch`` and ``edge_index``.
    """
    kept = {key: batch[key] for key in (*KEYS, *COUNTED) if key in batch.keys}  # noqa: SIM118
    rest = copy.copy(batch)
    for key in KEYS:
        rest[key] = None
    return rest, kept


class LabelledPart(NamedTuple):
    """A batch to be evaluated for the Hessian term, with a label (which may be empty) for each structure."""

    batch: dict[str, Any]
    labels: list[StructureLabel]
    weights: Tensor


def labelled_part(
    batch: dict[str, Any],
    labels: BatchLabels,
    *,
    split: bool = True,
    host: Mapping[str, Tensor] | None = None,
) -> LabelledPart:
    """The labelled structures of a batch on their own; ``host`` as in `sub_batch`.

    The batch itself, with all its structures, if none is unlabelled, without ``split``, and where `sub_batch`
    cannot take them out.
    """
    own, device = labels.labelled, batch["ptr"].device
    part = sub_batch(batch, own, host) if split and labels.unlabelled else None
    if part is None:
        return LabelledPart(batch, labels.labels, moved(labels.weights, device))
    return LabelledPart(part, [labels.labels[g] for g in own], moved(labels.weights[own], device))


#: Keys of the batch that are neither one row a structure nor one row an atom.
_EDGE_KEYS = ("shifts", "unit_shifts")
_CELL_KEYS = ("cell", "rcell")
#: References, which a model never reads: not copied into a sub-batch.
_REFERENCES = ("energy", "forces", "stress", "virials", "dipole", "charges", "polarizability")


def sub_batch(
    batch: Mapping[str, Any], chosen: list[int], host: Mapping[str, Tensor] | None = None
) -> dict[str, Any] | None:
    """What a model reads of some structures of a batch, as a batch of its own.

    Args:
        batch: MACE's batch as a dict.
        chosen: indices of the structures, ascending.
        host: ``batch`` and ``edge_index`` of the same batch on the host, where it is on a device.

    Returns:
        the smaller batch, or None if it holds something whose rows belong to nobody known (then do not
        split).
    """
    ptr, owner = batch["ptr"], batch["batch"]
    n_graphs, n_atoms = len(ptr) - 1, len(owner)
    counted = batch if host is None else host
    part = selection(chosen, n_graphs, counted["batch"], counted["edge_index"]).to(owner.device)
    sizes = (ptr[1:] - ptr[:-1])[part.graphs]
    out: dict[str, Any] = {
        "ptr": torch.cat([ptr.new_zeros(1), sizes.cumsum(0)]),
        "batch": part.owner,
        "edge_index": part.edge_index,
    }
    for key, value in batch.items():
        if key in out or key in KEYS or key in _REFERENCES or key.endswith("_weight") or key == "weight":
            continue
        if not isinstance(value, Tensor):
            out[key] = value
        elif key in _EDGE_KEYS:
            out[key] = value[part.edges]
        elif key in _CELL_KEYS:
            out[key] = value.reshape(n_graphs, 3, 3)[part.graphs].reshape(-1, 3)
        elif value.ndim and value.shape[0] == n_atoms:
            out[key] = value.detach()[part.atoms]
        elif value.ndim and value.shape[0] == n_graphs:
            out[key] = value[part.graphs]
        else:
            return None
    return out
