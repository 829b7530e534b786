"""`--hint_compile yes`: the compiled step is the model's, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.io import read
from mace import data, modules, tools
from mace.tools import torch_geometric
from small_mace import small_mace

from hint_plugin.core.devices import default_dtype
from hint_plugin.core.losses import MODES, EvaluatedBatch
from hint_plugin.data import read_label
from hint_plugin.errors import HintError, OptionsError
from hint_plugin.mace import compiled_step
from hint_plugin.mace.compiled_step import CompiledStep, compare
from hint_plugin.mace.labels import attach
from hint_plugin.mace.loss import Clock, HessianForward, HintLoss
from hint_plugin.mace.options import HintOptions
from mace_runs import CELLS, MOLECULES, train_hint

OUTPUTS = ("energy", "node_energy", "forces", "stress")
FORCES = {"training": True, "compute_force": True, "compute_virials": False, "compute_stress": False}
STRESS = {**FORCES, "compute_stress": True}
ALPHANET = {
    "model": "AlphaNet",
    "alphanet_channels": 16,
    "alphanet_frame_channels": 4,
    "alphanet_edge_channels": 16,
    **dict.fromkeys(("num_channels", "max_L", "num_interactions", "correlation")),
    "lr": 0.005,
}
NUMBERS = [1, 6, 7, 8, 29, 79]


@pytest.fixture(autouse=True, scope="module")
def _double_precision():
    with default_dtype(torch.float64):
        yield


@pytest.fixture(scope="module")
def model(_double_precision):
    from hint_plugin.mace.alphanet import AlphaNetForMACE
    from hint_plugin.models.alphanet import AlphaNet, AlphaNetConfig

    torch.manual_seed(1)
    config = AlphaNetConfig(channels=8, layers=1, cutoff=4.0, bessel=4, frame_channels=2, edge_channels=8)
    potential = AlphaNet(NUMBERS, config, average_neighbours=12.0)
    return AlphaNetForMACE(potential, np.linspace(-1, 1, len(NUMBERS))).double()


@pytest.fixture(scope="module")
def step(model):
    """A compiled step for those who only use it: to trace it takes longest."""
    return CompiledStep(model, MODES["hutchinson"], backend="aot_eager")


def frames_of(kind: str, count: int):
    frames = read(MOLECULES if kind == "molecules" else CELLS, ":")
    return [frames[k % len(frames)] for k in range(count)]


def make_batch(frames, unlabelled=()):
    items = []
    for number, atoms in enumerate(frames):
        config = data.config_from_atoms(atoms, key_specification=data.KeySpecification.from_defaults())
        attach(config, None if number in unlabelled else read_label(atoms))
        table = tools.AtomicNumberTable(NUMBERS)
        items.append(data.AtomicData.from_config(config, z_table=table, cutoff=4.0, heads=["Default"]))
    return torch_geometric.Batch.from_data_list(items)


def value_and_gradient(model, loss, batch):
    model.zero_grad()
    value = loss(pred=HessianForward(model, loss)(batch.to_dict(), **FORCES), ref=batch)
    value.backward()
    return float(value.detach()), torch.cat(
        [p.grad.reshape(-1) for p in model.parameters() if p.grad is not None]
    )


def both(model, step, batch, kwargs, probes):
    """Outputs and gradients of the model, and of what is compiled."""

    def eager():
        inputs = {**batch.to_dict(), "positions": batch.positions.detach().clone()}
        out = model(inputs, **kwargs)
        at = EvaluatedBatch(out["forces"], inputs["positions"], None)
        products = MODES["hutchinson"].products(at, probes, create_graph=True)
        return [
            *(out[key] for key in ("energy", "node_energy", "forces", "stress") if out[key] is not None),
            products,
        ]

    def fast():
        out, products = step(batch.to_dict(), probes, kwargs)
        return [
            *(out[key] for key in ("energy", "node_energy", "forces", "stress") if out[key] is not None),
            products,
        ]

    return eager, fast


@pytest.mark.parametrize(
    ("kind", "kwargs"), [("molecules", FORCES), pytest.param("cells", STRESS, marks=pytest.mark.long)]
)
def test_it_is_the_model_for_batches_of_all_sizes(model, step, kind, kwargs):
    """It is made of five structures, and used for others."""
    before = set(step._made)
    for count in (5, 3, 2, 7):
        batch = make_batch(frames_of(kind, count))
        probes = torch.randint(0, 2, (1, *batch.positions.shape)).double() * 2 - 1
        assert compare(model, *both(model, step, batch, kwargs, probes)) < 1e-10
    assert set(step._made) == before | {(1, kwargs["compute_stress"])}  # one for all of them
    lone = make_batch(frames_of(kind, 1))
    assert step(lone.to_dict(), None, kwargs) is None  # one structure: the model is evaluated as it is


@pytest.mark.parametrize("split", ["always", pytest.param("never", marks=pytest.mark.long)])
def test_the_loss_and_its_gradient(model, step, split, monkeypatch):
    """Structures with labels and without; the optimiser's own parameters get the gradient."""
    frames = frames_of("molecules", 9)
    batch = make_batch(frames, {1, 3, 6})
    base = modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=10.0)
    options = HintOptions(weight_start=1.0, weight_end=1.0, seed=3, clip=0.0, split=split)
    loss = HintLoss(base, options, Clock(total_steps=10))
    value, gradient = value_and_gradient(model, loss, batch)
    loss.compiled = step
    calls, as_mace = [], step._as_mace
    monkeypatch.setattr(step, "_as_mace", lambda *given: calls.append(given) or as_mace(*given))
    found, fast = value_and_gradient(model, loss, batch)
    assert calls and found == pytest.approx(value, rel=1e-11)
    assert float((fast - gradient).abs().max()) < 1e-9 * float(gradient.abs().max())


def test_what_is_not_the_model_is_refused(model, monkeypatch):
    step = CompiledStep(model, MODES["hutchinson"], backend="aot_eager")

    def wrong(function, inputs, backend):
        return lambda *given: (*function(*given)[:4], 1.001 * function(*given)[4])

    monkeypatch.setattr(compiled_step, "compiled", wrong)
    batch = make_batch(frames_of("molecules", 5))
    probes = torch.randint(0, 2, (1, *batch.positions.shape)).double() * 2 - 1
    with pytest.raises(HintError, match="the compiled step is not the model: .* Train without"):
        step(batch.to_dict(), probes, FORCES)


def test_what_cannot_be_compiled(model):
    with pytest.raises(OptionsError, match="works with --model AlphaNet, and this is a"):
        CompiledStep(small_mace(NUMBERS), MODES["hutchinson"])
    with pytest.raises(OptionsError, match="does not work with --loss hint_full"):
        CompiledStep(model, MODES["full"])


@pytest.mark.long
def test_the_same_training(tmp_path):
    """Half of the structures have labels, of all kinds; by TorchInductor."""
    found = []
    for name, more in (("plain", {}), ("compiled", {"hint_compile": "yes"})):
        (tmp_path / name).mkdir()
        run = train_hint(tmp_path / name, **ALPHANET, **more, max_num_epochs=2, batch_size=5)
        found.append(run)
    assert "HINT: compiled a training step with 1 products H v" in found[1].log
    np.testing.assert_allclose(found[1].steps, found[0].steps, rtol=1e-8)
