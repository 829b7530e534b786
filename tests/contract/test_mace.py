"""MACE under the contract of models (`hint_plugin.testing`), by the edges that `hint export` uses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("mace", reason="needs MACE: pip install '.[mace]'")

import torch
from ase import Atoms
from small_mace import small_mace

from hint_plugin.core.devices import default_dtype
from hint_plugin.mace.edge_contract import plain_edges
from hint_plugin.testing import EdgeModel, EdgePotential, ModelContract, ModelUnderTest, randomised
from hint_plugin.testing.model_contract import NUMBERS, methanol, mixed_cell


@pytest.mark.long  # minutes: the same derivatives are tested in miniature by tests/mace
class TestMACE(ModelContract):
    @pytest.mark.parametrize("atoms", [methanol(), mixed_cell()], ids=["molecule", "cell"])
    def test_hvp_forward_over_reverse(self, potential: ModelUnderTest, atoms: Atoms) -> None:
        """MACE asks its positions for gradients within the model, which transforms of functions refuse."""
        with pytest.raises(RuntimeError, match="functorch"):
            super().test_hvp_forward_over_reverse(potential, atoms)

    @pytest.fixture
    def make(self) -> Callable[[int], ModelUnderTest]:
        def build(seed: int) -> ModelUnderTest:
            with default_dtype(torch.float64):
                edges = plain_edges(small_mace(NUMBERS, scale=2.0), "Default").requires_grad_(True)
            return EdgePotential(EdgeModel(randomised(edges, seed), NUMBERS, 4.0, 2))

        return build
