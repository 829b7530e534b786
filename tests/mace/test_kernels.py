"""HINT's form of the symmetric contraction is MACE's, to all derivatives that training takes."""

from __future__ import annotations

from typing import Any

import mace  # noqa: F401  (before e3nn, which it teaches how to load its constants)
import numpy as np
import pytest
import torch
from ase.build import molecule
from e3nn import o3
from mace import data, tools
from mace.tools import torch_geometric
from small_mace import small_mace

from hint_plugin.mace import kernels
from hint_plugin.mace.kernels import products

NUMBERS = [1, 6, 7, 8]


def make_model(max_l: int, correlation: int = 3) -> Any:
    irreps = "+".join(f"4x{degree}{'eo'[degree % 2]}" for degree in range(max_l + 1))
    return small_mace(NUMBERS, irreps, correlation=correlation)


def make_batch() -> Any:
    """Elements mixed within and between molecules; nitrogen is in one of them only."""
    rng = np.random.default_rng(0)
    items = []
    for name in ("CH3OH", "NH3", "CH4"):
        atoms = molecule(name)
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        config = data.config_from_atoms(atoms, key_specification=data.KeySpecification.from_defaults())
        table = tools.AtomicNumberTable(NUMBERS)
        items.append(data.AtomicData.from_config(config, z_table=table, cutoff=4.0))
    return next(iter(torch_geometric.dataloader.DataLoader(items, batch_size=3)))


def everything(model: Any, batch: Any) -> dict[str, torch.Tensor]:
    """Energy, forces, H v, and the gradients to the parameters of a loss with all three."""
    model.zero_grad(set_to_none=True)
    inputs = {**batch.to_dict(), "positions": batch.positions.detach().clone()}
    out = model(inputs, training=True)
    v = torch.linspace(-1, 1, out["forces"].numel()).view_as(out["forces"])
    (product,) = torch.autograd.grad(out["forces"], inputs["positions"], -v, create_graph=True)
    (out["energy"].sum() + out["forces"].square().sum() + product.square().sum()).backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found = {"energy": out["energy"], "forces": out["forces"], "product": product}
    return {name: value.detach().clone() for name, value in (found | grads).items()}


def assert_same(stock: dict[str, torch.Tensor], fast: dict[str, torch.Tensor]) -> None:
    assert stock.keys() == fast.keys()
    for name, value in stock.items():
        scale = float(value.abs().max())
        assert float((fast[name] - value).abs().max()) <= 1e-12 * max(scale, 1e-6), name


@pytest.mark.parametrize("max_l", [0, 1, 2])
def test_same_numbers_as_mace(max_l: int) -> None:
    torch.set_default_dtype(torch.float64)
    model, batch = make_model(max_l), make_batch()
    stock = everything(model, batch)
    with kernels.use(model, "fast") as replaced:
        used = [type(f) for f in (vars(m).get("forward") for m in model.modules()) if callable(f)]
        used = [kind.__name__ for kind in used if kind.__module__.startswith("hint_plugin")]
        fast = everything(model, batch)
    assert set(used) == {"PairContraction", "ChannelProduct", "ChannelMixing", "Harmonics"}
    assert replaced == len(used) >= 14
    assert_same(stock, fast)


@pytest.mark.parametrize(
    "block",
    [
        "RealAgnosticInteractionBlock",
        "RealAgnosticDensityInteractionBlock",
        "RealAgnosticDensityResidualInteractionBlock",
        "RealAgnosticResidualNonLinearInteractionBlock",
    ],
)
def test_same_numbers_in_other_blocks(block: str) -> None:
    """Compared with stock code but for layer normalisations, whose third derivative is wrong in PyTorch."""
    torch.set_default_dtype(torch.float64)
    model, batch = small_mace(NUMBERS, correlation=3, interaction=block), make_batch()
    with kernels.use(model, "mace"):
        stock = everything(model, batch)
    with kernels.use(model, "fast") as replaced:
        fast = everything(model, batch)
    assert replaced > 5
    assert_same(stock, fast)


def test_atoms_without_neighbours() -> None:
    torch.set_default_dtype(torch.float64)
    model = make_model(1)
    atoms = molecule("CH3OH")
    atoms.positions *= 100
    config = data.config_from_atoms(atoms, key_specification=data.KeySpecification.from_defaults())
    item = data.AtomicData.from_config(config, z_table=tools.AtomicNumberTable(NUMBERS), cutoff=4.0)
    batch = next(iter(torch_geometric.dataloader.DataLoader([item], batch_size=1))).to_dict()
    assert batch["edge_index"].shape == (2, 0)
    wanted = model(dict(batch), compute_force=False)["energy"]
    with kernels.use(model, "fast"):
        torch.testing.assert_close(model(dict(batch), compute_force=False)["energy"], wanted)


class TestProducts:
    """Each kernel and the module of e3nn that it stands in for."""

    @staticmethod
    def check(module: torch.nn.Module, kernel: Any, *inputs: torch.Tensor) -> None:
        """Values and first derivatives; higher ones are those of `everything`."""
        found = []
        for call in (module, kernel):
            leaves = [x.clone().requires_grad_(True) for x in inputs]
            value = call(*leaves)
            weights = torch.linspace(-1, 1, value.numel(), dtype=value.dtype).view_as(value)
            found.append([value, *torch.autograd.grad((value.sin() * weights).sum(), leaves)])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("top", [1, 2, 3, 4, 5])
    def test_harmonics(self, top: int) -> None:
        torch.set_default_dtype(torch.float64)
        module = o3.SphericalHarmonics(list(range(top + 1)), normalize=True, normalization="component")
        assert products.usable_harmonics(module)
        self.check(module, products.Harmonics(module), torch.randn(7, 3))
        single = products.Harmonics(module)(torch.randn(5, 3, dtype=torch.float32))
        assert single.dtype == torch.float32

    def test_what_is_left_to_e3nn(self) -> None:
        plain = o3.SphericalHarmonics([0, 1], normalize=False)
        some = o3.SphericalHarmonics([1, 3], normalize=True)
        assert not products.usable_harmonics(plain) and not products.usable_harmonics(some)
        assert not products.usable_mixing(torch.nn.Linear(3, 3))
        assert not products.usable_mixing(o3.Linear("4x0e", "4x0e", biases=True))
        crossed = o3.Linear("4x0e + 2x1o + 3x0e", "5x0e + 2x1o")
        assert not products.usable_mixing(crossed)
        full = o3.FullyConnectedTensorProduct("4x0e + 4x1o", "2x0e + 1x1o", "4x0e + 4x1o")
        assert not products.usable_mixing(full) and not products.usable_product(full)
        shared = o3.TensorProduct("4x0e", "1x0e", "4x0e", [(0, 0, 0, "uvu", True)], shared_weights=True)
        assert not products.usable_product(shared)

    def test_linear_layers(self) -> None:
        torch.set_default_dtype(torch.float64)
        module = o3.Linear("3x0e + 2x0e + 4x1o + 1x1o + 2x2e", "5x0e + 2x1o + 3x2e")
        assert products.usable_mixing(module)
        self.check(module, products.ChannelMixing(module), torch.randn(6, module.irreps_in.dim))
        module = o3.FullyConnectedTensorProduct("3x0e + 4x1o", "5x0e", "2x0e + 3x1o")
        assert products.usable_mixing(module)
        self.check(
            module, products.ChannelMixing(module), torch.randn(6, module.irreps_in1.dim), torch.randn(6, 5)
        )


def test_the_model_is_left_as_it_was() -> None:
    model = make_model(1)
    before = [set(vars(m)) for m in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ZeroDivisionError), kernels.use(model, "fast"):
        raise ZeroDivisionError
    assert [set(vars(m)) for m in model.modules()] == before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_other_orders_and_the_option_leave_mace_alone() -> None:
    model = make_model(0, correlation=2)
    contractions = [m for m in model.modules() if type(m).__name__ == "SymmetricContraction"]
    with kernels.use(model, "fast"):
        assert not any("forward" in vars(m) for m in contractions)
    with kernels.use(make_model(0), "mace") as replaced:
        assert replaced == 0


def test_parameters_before_a_layer_norm_get_their_gradient() -> None:
    """d(w . H v)/d theta against differences along theta, in MACE's block that normalises.

    The third derivative of PyTorch's own `layer_norm` is wrong. When this says so no longer, `PlainLayerNorm`
    can go.
    """
    torch.set_default_dtype(torch.float64)
    model = small_mace(NUMBERS, interaction="RealAgnosticResidualNonLinearInteractionBlock")
    assert any(isinstance(m, torch.nn.LayerNorm) for m in model.modules())
    batch = make_batch()
    theta = next(p for n, p in model.named_parameters() if n.endswith("conv_tp_weights.net.0.weight"))
    direction = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=theta.dtype)

    def value() -> torch.Tensor:
        inputs = {**batch.to_dict(), "positions": batch.positions.detach().clone()}
        forces = model(inputs, training=True)["forces"]
        v = torch.linspace(-1, 1, forces.numel()).view_as(forces)
        (product,) = torch.autograd.grad(forces, inputs["positions"], -v, create_graph=True)
        return (product * v.flip(0)).sum()

    def error() -> float:
        slope = float((torch.autograd.grad(value(), theta)[0] * direction).sum())
        kept, h, values = theta.detach().clone(), 2e-5, []
        for sign in (1, -1):
            with torch.no_grad():
                theta.copy_(kept + sign * h * direction)
            values.append(float(value().detach()))
        with torch.no_grad():
            theta.copy_(kept)
        wanted = (values[0] - values[1]) / (2 * h)
        return abs(slope - wanted) / abs(wanted)

    stock = error()
    with kernels.use(model, "mace"):
        written_out = error()
    assert stock > 1e-3
    assert written_out < 1e-6
