"""A model of a framework as the suite wants it: by the edges that `hint export` uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hint_plugin.testing.model_contract import Batch, ModelUnderTest


class EdgeModel(nn.Module):
    """Batch -> energies of the structures.

    Args:
        edges: (r_ij [E, 3], (i, j) [2, E], species [N]) -> energies of the atoms [N], see
            `hint_plugin.artifact.contract`.
        numbers: atomic numbers of the species, in their order.
        cutoff: A.
        hops: how many neighbours away an atom can be and still change another's energy.
    """

    def __init__(self, edges: nn.Module, numbers: Sequence[int], cutoff: float, hops: int) -> None:
        super().__init__()
        self.edges, self.cutoff, self.hops = edges, cutoff, hops
        index = torch.full((119,), -1)
        index[list(numbers)] = torch.arange(len(numbers))
        self.register_buffer("index", index)

    def node_energies(self, batch: Batch) -> Tensor:
        """[N], eV.

        Raises:
            ValueError: an element that the model was not made for.
        """
        edges, positions = batch["edge_index"], batch["positions"]
        vectors = positions.index_select(0, edges[1]) - positions.index_select(0, edges[0]) + batch["shifts"]
        species = self.get_buffer("index")[batch["atomic_numbers"]]
        if bool((species < 0).any()):
            raise ValueError("an element that the model was not made for")
        found: Tensor = self.edges(vectors, edges, species)
        return found

    def forward(self, batch: Batch) -> Tensor:
        """[G], eV."""
        energies = self.node_energies(batch)
        total = torch.zeros(batch["ptr"].numel() - 1, dtype=energies.dtype, device=energies.device)
        return total.index_add(0, batch["batch"], energies)


class EdgePotential(ModelUnderTest):
    """The suite's view of an `EdgeModel`."""

    def node_energies(self, batch: Batch) -> Tensor:
        """[N], eV."""
        model = self.module
        assert isinstance(model, EdgeModel)
        return model.node_energies(batch)
