"""NequIP's models, and AlphaNet as NequIP builds it, under the contract of potentials."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

from ase import Atoms
from e3nn.util.jit import script
from nequip_runs import build
from torch import nn

from hint_plugin.nequip.edge_contract import NequipEdges
from hint_plugin.testing import EdgeModel, EdgePotential
from hint_plugin.testing.model_contract import (
    NUMBERS,
    SYMBOLS,
    TOLERANCE,
    ModelContract,
    ModelUnderTest,
    collate,
    copper,
    drawn,
    energies_and_forces,
    methanol,
    mixed_cell,
    products,
    randomised,
    relative,
)

CUTOFF = 4.0
OPTIONS = {"type_names": SYMBOLS, "r_max": CUTOFF, "per_type_energy_shifts": 0.0}


def edge_model(model: nn.Module, hops: int) -> EdgeModel:
    return EdgeModel(NequipEdges(model), NUMBERS, CUTOFF, hops)


class EdgeContract(ModelContract):
    """What is special to NequIP's models: they are scripted by e3nn, and of one dtype for good."""

    @pytest.fixture
    def potential(self, make: Callable[[int], ModelUnderTest]) -> ModelUnderTest:
        """One model for all tests, which leave it as it was: what TorchScript specialises is kept."""
        kept = vars(type(self)).get("kept")
        if kept is None:
            kept = type(self).kept = make(0)
        return kept

    def test_float32(self, model: Callable[..., nn.Module]) -> None:
        """A model of float32 with the same parameters; NequIP sums energies in float64."""
        single, double = model(0, model_dtype="float32"), model(0)
        double.load_state_dict({k: v.to(double.state_dict()[k]) for k, v in single.state_dict().items()})
        batch = collate([methanol(), mixed_cell()], CUTOFF)
        probes = drawn(1, len(batch["positions"]), 3)
        potentials = [EdgePotential(edge_model(found, 0)) for found in (single, double)]
        (e, f, _), (energies, forces, _) = (energies_and_forces(p, batch) for p in potentials)
        assert 1e-12 < relative(e, energies) < TOLERANCE["float32 energy"]
        assert relative(f, forces) < TOLERANCE["float32 forces"]
        found, wanted = (products(p, batch, probes) for p in potentials)
        assert relative(found, wanted) < TOLERANCE["float32 products"]

    def test_torchscript(self, make: Callable[[int], ModelUnderTest]) -> None:
        """The edges as `hint export` scripts them, also in the later calls, which run specialised code."""
        potential, scripted = make(0), make(0)
        edges = scripted.module.edges.eval().requires_grad_(False)
        scripted.module.edges = script(edges)
        for systems in ([methanol(), mixed_cell()], [mixed_cell()], [copper(), Atoms("H")], [methanol()]):
            batch = collate(systems, potential.cutoff)
            probes = drawn(1, len(batch["positions"]), 3)
            energies, forces, _ = energies_and_forces(potential, batch)
            product = products(potential, batch, probes)
            for _ in range(3):
                found = energies_and_forces(scripted, batch)
                assert relative(found[0], energies) < TOLERANCE["exchange"]
                scale = max(1.0, float(forces.abs().max()))
                assert float((found[1] - forces).abs().max()) < TOLERANCE["exchange"] * scale
                assert relative(products(scripted, batch, probes), product) < TOLERANCE["exchange"]


class TestAlphaNet(EdgeContract):
    @pytest.fixture
    def model(self) -> Callable[..., nn.Module]:
        return lambda seed, **options: build("AlphaNet", seed=seed, **{**OPTIONS, **options})

    @pytest.fixture
    def make(self, model) -> Callable[[int], ModelUnderTest]:
        return lambda seed: EdgePotential(edge_model(randomised(model(seed), seed), 3), repels_at=0.4)


class TestNequIP(EdgeContract):
    @pytest.fixture
    def model(self) -> Callable[..., nn.Module]:
        return lambda seed, **options: build("NequIP", seed=seed, **{**OPTIONS, **options})

    @pytest.fixture
    def make(self, model) -> Callable[[int], ModelUnderTest]:
        return lambda seed: EdgePotential(edge_model(randomised(model(seed), seed), 2))

    @pytest.mark.parametrize(
        "atoms",
        [
            methanol(),
            pytest.param(
                mixed_cell(),
                marks=pytest.mark.xfail(
                    strict=True,
                    reason="NequIP's cutoff is C^2, and a pair crosses it in a difference over 0.004 A",
                ),
            ),
        ],
        ids=["molecule", "cell"],
    )
    def test_hvp_is_the_difference_of_forces(self, potential: ModelUnderTest, atoms: Atoms) -> None:
        super().test_hvp_is_the_difference_of_forces(potential, atoms)
