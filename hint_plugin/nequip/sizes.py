"""How large the references of a validation set are: an error says little without it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hint_plugin.core.batches import KEYS, BatchLabels
from hint_plugin.core.labels import StructureLabel
from hint_plugin.core.metrics import ErrorSum
from hint_plugin.nequip.batches import offsets

#: What is logged -> its unit.
UNITS = {
    "forces_mean_abs": "eV/A",
    "forces_rms": "eV/A",
    "hessian_mean_abs": "eV/A^2",
    "hessian_rms": "eV/A^2",
}


@dataclass
class ReferenceSizes:
    """Mean absolute value and root mean square of reference forces and Hessian elements, over batches.

    Of pairs (v, H v) the mean square of the elements is estimated, as E[abs(H v)^2 / abs(v)^2] = sum H^2 / 3N
    for random v; their mean absolute value is not known. In ``hessian_rms`` each labelled structure counts
    once, times the weight of its label, as in `HessianRMSE`.
    """

    forces: ErrorSum = field(default_factory=ErrorSum)
    hessian: ErrorSum = field(default_factory=ErrorSum)
    squares: ErrorSum = field(default_factory=ErrorSum)

    def add(self, batch: dict[str, Tensor]) -> None:
        """Take in a batch with its references."""
        if "forces" in batch:
            forces = batch["forces"].detach()
            self.forces.add(forces[~forces.isnan()])
        if KEYS[0] not in batch:
            return
        found = BatchLabels({**batch, "ptr": offsets(batch)})
        for label, weight in zip(found.labels, found.weights.tolist(), strict=True):
            if label.rows is not None:
                self.hessian.add(label.rows)
            if label.labelled:
                self.squares.add(weight * _mean_square(label))

    def merge(self, other: ReferenceSizes) -> ReferenceSizes:
        """Adds the batches of `other`; returns self."""
        self.forces.merge(other.forces)
        self.hessian.merge(other.hessian)
        self.squares.merge(other.squares)
        return self

    def result(self) -> dict[str, float]:
        """Those of `UNITS` that are known."""
        found: dict[str, float] = {}
        if self.forces.count:
            found |= {"forces_mean_abs": self.forces.mae, "forces_rms": self.forces.rmse}
        if self.hessian.count:
            found["hessian_mean_abs"] = self.hessian.mae
        if self.squares.count:
            found["hessian_rms"] = self.squares.mean**0.5
        return found


def _mean_square(label: StructureLabel) -> float:
    """Of the known elements of a Hessian."""
    if label.rows is not None:
        return float(label.rows.double().square().mean())
    assert label.probes is not None and label.hvp is not None
    lengths = label.probes.double().square().sum((1, 2))
    squares = label.hvp.double().square().sum((1, 2))
    return float((squares / lengths.clamp_min(torch.finfo(torch.float64).tiny)).mean()) / (3 * label.n_atoms)
