"""HINT's form of the symmetric contraction is MACE's, to all derivatives that training takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule
from mace import data, tools
from mace.tools import torch_geometric
from small_mace import small_mace

from hint_plugin.mace import kernels

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


@pytest.mark.parametrize("max_l", [0, 1])
def test_same_numbers_as_mace(max_l: int) -> None:
    torch.set_default_dtype(torch.float64)
    model, batch = make_model(max_l), make_batch()
    stock = everything(model, batch)
    with kernels.use(model, "fast") as replaced:
        fast = everything(model, batch)
    assert replaced == 2
    assert stock.keys() == fast.keys()
    for name, value in stock.items():
        scale = float(value.abs().max())
        assert float((fast[name] - value).abs().max()) <= 1e-12 * max(scale, 1e-6), name


def test_the_model_is_left_as_it_was() -> None:
    model = make_model(1)
    before = [set(vars(m)) for m in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ZeroDivisionError), kernels.use(model, "fast"):
        raise ZeroDivisionError
    assert [set(vars(m)) for m in model.modules()] == before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_other_orders_and_the_option_leave_mace_alone() -> None:
    with kernels.use(make_model(0, correlation=2), "fast") as replaced:
        assert replaced == 0
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
            values.append(float(value()))
        with torch.no_grad():
            theta.copy_(kept)
        wanted = (values[0] - values[1]) / (2 * h)
        return abs(slope - wanted) / abs(wanted)

    stock = error()
    with kernels.use(model, "mace"):
        written_out = error()
    assert stock > 1e-3
    assert written_out < 1e-6
