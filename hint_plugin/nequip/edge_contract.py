"""NequIP's models by the edge contract of `hint_plugin.artifact.contract`."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from hint_plugin.nequip.predictor import force_output


class NequipEdges(torch.nn.Module):
    """Energies of the atoms by the part of a NequIP model that makes them.

    NequIP sums over the edges (centre, neighbour) with r_neighbour - r_centre, as the contract does, and
    takes edge vectors in place of positions.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.energies = force_output(model).func

    def forward(self, vectors: Tensor, edge_index: Tensor, species: Tensor) -> Tensor:
        """r_ij [E, 3], (i, j) [2, E], species [N] -> [N], float64, eV."""
        data = {"edge_vectors": vectors.double(), "edge_index": edge_index, "atom_types": species}
        return self.energies(data)["atomic_energy"].squeeze(-1).double()


def plain_edges(model: Any) -> torch.nn.Module:
    """The model by its edges in plain Python, as tracers want it."""
    return NequipEdges(model).eval().requires_grad_(False)


def scripted_edges(model: Any) -> torch.jit.ScriptModule:
    """The model by its edges as TorchScript; parameters no longer ask for gradients."""
    from e3nn.util.jit import script

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: torch.jit.ScriptModule = script(plain_edges(model))
    return found
