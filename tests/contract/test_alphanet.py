"""AlphaNet under the contract of potentials (tests/helpers/potential_contract.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ase import Atoms
from potential_contract import (
    NUMBERS,
    Batch,
    Potential,
    PotentialContract,
    collate,
    methanol,
    mixed_cell,
    randomised,
)
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from hint_plugin.models.alphanet import AlphaNet, AlphaNetConfig

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


class AlphaNetPotential(Potential):
    """The node energies by the edge contract."""

    def node_energies(self, batch: Batch) -> Tensor:
        i, j = batch["edge_index"]
        vectors = batch["positions"][j] - batch["positions"][i] + batch["shifts"]
        return self.module.node_energies(vectors, i, j, self.module.species(batch["atomic_numbers"]))


class TestAlphaNet(PotentialContract):
    @pytest.fixture(params=CONFIGS)
    def make(self, request: pytest.FixtureRequest) -> Callable[[int], Potential]:
        config = CONFIGS[request.param]

        def build(seed: int) -> Potential:
            torch.manual_seed(seed)
            module = AlphaNet(NUMBERS, config, average_neighbours=12.0, scale=3.0)
            repels_at = 0.4 if config.repulsion else None  # the repulsion begins at 0.6
            return AlphaNetPotential(randomised(module, seed), repels_at=repels_at)

        return build


def test_energies_and_forces_compile_with_aotinductor(tmp_path: Path) -> None:
    """Traced on a crystal, compiled, and asked about a molecule and about atoms close enough to repel."""
    torch.manual_seed(0)
    config = replace(CONFIGS["tiny"], repulsion=True)
    module = randomised(AlphaNet(NUMBERS, config), 0).eval().requires_grad_(False)

    def energies_and_forces(x: Tensor, z: Tensor, edges: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
        i, j = edges.unbind(0)
        vectors = (x.index_select(0, j) - x.index_select(0, i) + shifts).detach().requires_grad_(True)
        energies = module.node_energies(vectors, i, j, module.element_index[z])
        (gradient,) = torch.autograd.grad(energies.sum(), vectors)
        forces = torch.zeros_like(x).index_add(0, i, gradient).index_add(0, j, -gradient)
        return energies.detach(), forces

    def arguments(atoms: Atoms) -> tuple[Tensor, ...]:
        batch = collate([atoms], module.cutoff)
        return tuple(batch[key] for key in ("positions", "atomic_numbers", "edge_index", "shifts"))

    example = arguments(mixed_cell())
    atoms, edges = torch.export.Dim("atoms", min=2), torch.export.Dim("edges", min=2)
    traced = make_fx(energies_and_forces, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
    program = torch.export.export(
        traced, example, dynamic_shapes=({0: atoms}, {0: atoms}, {1: edges}, {0: edges}), strict=False
    )
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
    compiled = torch._inductor.aoti_load_package(path)
    squeezed = methanol()
    squeezed.positions *= 0.4
    for system in (mixed_cell(), methanol(), squeezed):
        for found, wanted in zip(
            compiled(*arguments(system)), energies_and_forces(*arguments(system)), strict=True
        ):
            assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-12
