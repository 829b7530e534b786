"""H v within NequIP's graph: what `HessianModel` adds to the module that makes the forces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hint_plugin.core.hvp import hvp_from_forces
from hint_plugin.nequip.fields import HVP, PROBES


class ForceOutputWithProducts:
    """Goes before NequIP's ``ForceStressOutput`` in a class: the same module, and H v where there are probes.

    H v is made here, inside of what `torch.compile` and NequIP's tracing see, since outside of them forces
    have no graph. Parameters and buffers are those of NequIP's module.
    """

    #: Central differences of forces instead of a derivative: probes are then displacements in A, and what
    #: comes out is F(x - h v) - F(x + h v).
    differences: bool = False
    training: bool

    def forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        name = PROBES[True] if PROBES[True] in data else PROBES[False]
        if name not in data:
            return super().forward(data)  # type: ignore[misc]
        probes = data[name].transpose(0, 1)
        if self.differences:
            before = data.copy()
            data = super().forward(data)  # type: ignore[misc]
            products = torch.stack([self._moved(before, -v) - self._moved(before, v) for v in probes])
        else:
            positions = data["pos"]
            given = positions.requires_grad
            positions.requires_grad_(True)
            data = self._with_graph(data)
            forces = data["forces"]
            if forces.requires_grad:
                products = hvp_from_forces(forces, positions, probes, create_graph=self.training)
            else:  # lone atoms
                products = torch.zeros_like(probes)
            if not given:  # as NequIP's module does: compiled code is kept by it
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

    def _moved(self, data: dict[str, Tensor], displacements: Tensor) -> Tensor:
        moved = {**data, "pos": data["pos"].detach() + displacements}
        forces: Tensor = super().forward(moved)["forces"]  # type: ignore[misc]
        return forces


def force_outputs(model: Any) -> list[torch.nn.Module]:
    """The modules of a model that make forces, also those of NequIP inside of a package."""
    return [
        module
        for module in model.modules()
        if any(kind.__name__ == "ForceStressOutput" for kind in type(module).__mro__)
    ]
