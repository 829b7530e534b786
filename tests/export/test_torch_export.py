"""torch.export writes what the artifact computes: the day TorchScript goes, this form is there."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from artifacts import E0S, NUMBERS
from torch import Tensor

from hint_plugin.artifact.compiled import exported
from hint_plugin.artifact.contract import EdgeContract
from hint_plugin.artifact.metadata import Metadata
from hint_plugin.models.alphanet import AlphaNet, AlphaNetConfig


class Edges(torch.nn.Module):
    """An AlphaNet by its edges, without MACE around it."""

    def __init__(self, model: AlphaNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, vectors: Tensor, edges: Tensor, species: Tensor) -> Tensor:
        energies = self.model.node_energies(vectors, edges[0], edges[1], species)
        return energies + self.model.atomic_energies.index_select(0, species)


def some_structure(atoms: int, pairs: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Edge vectors of 1 to 3 A, a ring of edges, elements, and a mask that leaves one atom out."""
    draws = torch.Generator().manual_seed(atoms)
    vectors = torch.nn.functional.normalize(
        torch.randn(pairs, 3, generator=draws, dtype=torch.float64), dim=-1
    )
    lengths = 1 + 2 * torch.rand(pairs, 1, generator=draws, dtype=torch.float64)
    ring = torch.stack([torch.arange(pairs) % atoms, (torch.arange(pairs) + 1) % atoms])
    mask = torch.ones(atoms, dtype=torch.float64)
    mask[0] = 0
    return lengths * vectors, ring, torch.arange(atoms) % len(NUMBERS), mask


@pytest.mark.long  # 11 s of one core, nearly all of them in torch.export
def test_a_saved_program_computes_energies_and_gradients_of_other_sizes() -> None:
    torch.manual_seed(0)
    config = AlphaNetConfig(
        channels=4, node_width=1, layers=1, frame_channels=2, edge_channels=4, cutoff=4.0, bessel=3
    )
    model = AlphaNet(NUMBERS, config, average_neighbours=8.0, atomic_energies=E0S).double()
    edges = Edges(model).eval().requires_grad_(False)
    metadata = Metadata("AlphaNet", ("H", "C", "O", "Si", "Cu"), 4.0, model.hops, "float64", 0)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own writer, about tensors that share memory
        torch.export.save(exported(edges, metadata), file)
        program = torch.export.load(io.BytesIO(file.getvalue())).module()
    contract = EdgeContract(edges, {})
    for atoms, pairs in ((7, 20), (2, 2), (40, 33)):
        inputs = some_structure(atoms, pairs)
        for found, wanted in zip(program(*inputs), contract(*inputs), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
