"""Averages of a training set in which some structures have a Hessian and no energy or no forces.

MACE takes a missing energy for NaN in ``--E0s average``, and for 0 in the mean energy of an atom. A supercell
Hessian of DFPT comes without either: here each average is over the structures that have what is averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


def average_e0s(original: Callable[..., Any], configurations: Any, *args: Any, **kwargs: Any) -> Any:
    """``compute_average_E0s`` of the structures that have an energy, as plain numbers.

    ``mace_prepare_data --compute_statistics`` writes them into a file by their repr, which for numbers of
    numpy 2 ("np.float64(-13.6)") is nothing that MACE can read.
    """
    having = [one for one in configurations if one.properties.get("energy") is not None]
    found = original(having or configurations, *args, **kwargs)
    return {int(number): float(energy) for number, energy in found.items()}


def mean_and_std(original: Callable[..., Any], loader: Any, *args: Any, **kwargs: Any) -> Any:
    """``compute_mean_std_atomic_inter_energy`` of the structures that have an energy."""
    return original(_Having(loader, "energy_weight"), *args, **kwargs)


def mean_and_rms(original: Callable[..., Any], loader: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """``compute_mean_rms_energy_forces``: the mean of those with an energy, the rms of those with forces.

    The data are read once where nothing is missing, else twice.
    """
    energies, forces = (_Having(loader, weight) for weight in ("energy_weight", "forces_weight"))
    mean, rms = original(energies, *args, **kwargs)
    if energies.missing:
        rms = original(forces, *args, **kwargs)[1]
    return mean, rms


class _Having:
    """The batches of a loader, each without the graphs whose `weight` is 0; all of them if none has any.

    `missing` says, once it was gone through, whether a graph lacked energy or forces.
    """

    def __init__(self, loader: Iterable[Any], weight: str) -> None:
        self._loader, self._weight = loader, weight
        self.missing = False

    def __iter__(self) -> Iterator[Any]:
        found = False
        for batch in self._loader:
            keep = (getattr(batch, self._weight) > 0).reshape(-1)
            self.missing |= any((weight <= 0).any() for weight in (batch.energy_weight, batch.forces_weight))
            if keep.any():
                found = True
                yield batch if keep.all() else _part(batch, keep)
        if not found:
            yield from self._loader


_OF_GRAPHS = ("head", "energy", "energy_weight", "forces_weight")


def _part(batch: Any, keep: Tensor) -> SimpleNamespace:
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
