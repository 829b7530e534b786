"""H v within NequIP's graph: what `HessianModel` adds to the module that makes the forces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hint_plugin.core.losses import MODES, EvaluatedBatch, LossMode
from hint_plugin.nequip.fields import HVP, PROBES


class ForceOutputWithProducts:
    """Goes before NequIP's ``ForceStressOutput`` in a class: the same module, and H v where there are probes.

    H v is made here, inside of what `torch.compile` and NequIP's tracing see, since outside of them forces
    have no graph. Parameters and buffers are those of NequIP's module.
    """

    #: How H v is made. The probes are its `LossMode.directions`, and what comes out is not yet divided.
    mode: LossMode = MODES["hutchinson"]
    training: bool

    def forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        name = PROBES[True] if PROBES[True] in data else PROBES[False]
        if name not in data:
            return super().forward(data)  # type: ignore[misc]
        probes = data[name].transpose(0, 1)
        before, positions, analytic = data.copy(), data["pos"], self.mode.analytic
        given = positions.requires_grad
        if analytic:
            positions.requires_grad_(True)
            data = self._with_graph(data)
        else:
            data = super().forward(data)  # type: ignore[misc]
        evaluated = EvaluatedBatch(data["forces"], positions, lambda x: self._forces_at(before, x))
        if analytic and not evaluated.forces.requires_grad:  # lone atoms
            products = torch.zeros_like(probes)
        else:
            products = self.mode.products(evaluated, probes, create_graph=self.training)
        if analytic and not given:  # as NequIP's module does: compiled code is kept by it
            positions.requires_grad_(False)
        data[HVP] = products.transpose(0, 1)
        return data

    def _with_graph(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Forces that can be differentiated again, in evaluation too: NequIP goes by ``training``."""
        training = self.training
        self.training = True
        try:
            found: dict[str, Tensor] = super().forward(data)  # type: ignore[misc]
        finally:
            self.training = training
        return found

    def _forces_at(self, data: dict[str, Tensor], positions: Tensor) -> Tensor:
        forces: Tensor = super().forward({**data, "pos": positions})["forces"]  # type: ignore[misc]
        return forces


def force_outputs(model: Any) -> list[torch.nn.Module]:
    """The modules of a model that make forces, also those of NequIP inside of a package."""
    return [
        module
        for module in model.modules()
        if any(kind.__name__ == "ForceStressOutput" for kind in type(module).__mro__)
    ]
