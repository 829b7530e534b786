"""AlphaNet under the contract of potentials (`hint_plugin.testing.model_contract`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hint_plugin.models.alphanet import AlphaNet, AlphaNetConfig
from hint_plugin.testing.model_contract import (
    NUMBERS,
    Batch,
    ModelContract,
    ModelUnderTest,
    randomised,
)

CONFIGS = {
    "repulsive": AlphaNetConfig(
        channels=16, layers=2, cutoff=4.0, bessel=5, frame_channels=4, edge_channels=16, repulsion=True
    ),
    "tiny": AlphaNetConfig(
        channels=6,
        node_width=2,
        layers=1,
        cutoff=3.3,
        bessel=3,
        frame_channels=2,
        edge_channels=8,
        repulsion=False,
    ),
}


class AlphaNetPotential(ModelUnderTest):
    """The node energies by the edge contract."""

    def node_energies(self, batch: Batch) -> Tensor:
        i, j = batch["edge_index"]
        vectors = batch["positions"][j] - batch["positions"][i] + batch["shifts"]
        return self.module.node_energies(vectors, i, j, self.module.species(batch["atomic_numbers"]))


class TestAlphaNet(ModelContract):
    @pytest.fixture(params=CONFIGS)
    def make(self, request: pytest.FixtureRequest) -> Callable[[int], ModelUnderTest]:
        config = CONFIGS[request.param]

        def build(seed: int) -> ModelUnderTest:
            torch.manual_seed(seed)
            module = AlphaNet(NUMBERS, config, average_neighbours=12.0, scale=3.0)
            repels_at = 0.4 if config.repulsion else None  # the repulsion begins at 0.6
            return AlphaNetPotential(randomised(module, seed), repels_at=repels_at)

        return build
