"""Averages of a training set in which some structures have a Hessian and no energy or no forces.

MACE takes a missing energy for NaN in ``--E0s average``, and for 0 in the mean energy of an atom. A supercell
Hessian of DFPT comes without either: here each average is over the structures that have what is averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


def average_e0s(original: Callable[..., Any], configurations: Any, *args: Any, **kwargs: Any) -> Any:
    """``compute_average_E0s`` of the structures that have an energy."""
    having = [one for one in configurations if one.properties.get("energy") is not None]
    return original(having or configurations, *args, **kwargs)


def mean_and_std(original: Callable[..., Any], loader: Any, *args: Any, **kwargs: Any) -> Any:
    """``compute_mean_std_atomic_inter_energy`` of the structures that have an energy."""
    return original(_with_energy(list(_light(loader))), *args, **kwargs)


def mean_and_rms(original: Callable[..., Any], loader: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """``compute_mean_rms_energy_forces``: the mean of those with an energy, the rms of those with forces."""
    batches = list(_light(loader))
    if all((weight > 0).all() for one in batches for weight in (one.energy_weight, one.forces_weight)):
        return original(batches, *args, **kwargs)
    forces = _only(batches, lambda one: one.forces_weight > 0) or batches
    return original(_with_energy(batches), *args, **kwargs)[0], original(forces, *args, **kwargs)[1]


_OF_GRAPHS = ("head", "energy", "energy_weight", "forces_weight")
_KEPT = (*_OF_GRAPHS, "node_attrs", "forces", "batch", "ptr", "num_graphs")


def _with_energy(batches: list[SimpleNamespace]) -> list[SimpleNamespace]:
    return _only(batches, lambda one: one.energy_weight > 0) or batches


def _light(loader: Any) -> Iterator[SimpleNamespace]:
    for batch in loader:
        yield SimpleNamespace(**{name: getattr(batch, name) for name in _KEPT})


def _only(batches: list[SimpleNamespace], which: Callable[[Any], Tensor]) -> list[SimpleNamespace]:
    return [_part(one, keep) for one in batches if (keep := which(one).reshape(-1)).any()]


def _part(batch: SimpleNamespace, keep: Tensor) -> SimpleNamespace:
    """The graphs of a batch that are kept, [G] of bool."""
    nodes = keep[batch.batch]
    sizes = (batch.ptr[1:] - batch.ptr[:-1])[keep]
    number = torch.cumsum(keep, 0) - 1
    return SimpleNamespace(
        **{name: getattr(batch, name)[keep] for name in _OF_GRAPHS},
        node_attrs=batch.node_attrs[nodes],
        batch=number[batch.batch[nodes]],
        num_graphs=int(keep.sum()),
        ptr=torch.cat([batch.ptr[:1], torch.cumsum(sizes, 0)]),
        forces=batch.forces[nodes],
    )
