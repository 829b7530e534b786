"""AlphaNet in MACE's place by the edge contract of `hint_plugin.artifact.contract`.

TorchScript reads annotations of attributes as types: they must not be strings here.
"""

from typing import Any

import torch
from e3nn.util.jit import compile_mode
from torch import Tensor


@compile_mode("script")
class AlphaNetEdges(torch.nn.Module):
    """Energies of the atoms by an AlphaNet and its E0s."""

    e0: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.potential = model.potential
        self.register_buffer("e0", model.atomic_energies_fn.atomic_energies.reshape(-1).double())

    def forward(self, vectors: Tensor, edge_index: Tensor, species: Tensor) -> Tensor:
        """r_ij [E, 3], (i, j) [2, E], species [N] -> [N], float64, eV."""
        energies = self.potential.node_energies(vectors, edge_index[0], edge_index[1], species)
        return energies.double() + self.e0.double().index_select(0, species)
