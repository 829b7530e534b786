"""The Hessian term on MACE's models: H v, its gradient, split batches, probes, several processes."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import warm
from mace import data, modules, tools
from mace.tools import torch_geometric

from hint_plugin.core.batches import BatchLabels, merge_parts
from hint_plugin.core.losses import MODES
from hint_plugin.data import HessianLabel, read_label
from hint_plugin.errors import DataError
from hint_plugin.mace import validation
from hint_plugin.mace.labels import attach, sub_batch
from hint_plugin.mace.loss import Clock, HessianForward, HintLoss
from hint_plugin.mace.options import HintOptions

MOLECULES = Path(__file__).parents[1] / "data" / "molecules.xyz"
FORCES = {"training": True, "compute_force": True, "compute_virials": False, "compute_stress": False}
STRESS = {**FORCES, "compute_stress": True}


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)


def small_model(numbers, seed=0):
    torch.manual_seed(seed)
    return modules.ScaleShiftMACE(
        r_max=4.0,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        num_interactions=2,
        num_elements=len(numbers),
        hidden_irreps=modules.blocks.o3.Irreps("8x0e"),
        MLP_irreps=modules.blocks.o3.Irreps("8x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros(len(numbers)),
        avg_num_neighbors=4.0,
        atomic_numbers=list(numbers),
        correlation=2,
        radial_type="bessel",
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )


def make_batch(frames, numbers, labels=None):
    """MACE's batch; ``labels`` one a frame, from the frames themselves if not given."""
    table = tools.AtomicNumberTable(list(numbers))
    labels = [read_label(atoms) for atoms in frames] if labels is None else labels
    keys = data.KeySpecification.from_defaults()
    out = []
    for atoms, label in zip(frames, labels, strict=True):
        config = data.config_from_atoms(atoms, key_specification=keys)
        attach(config, label)
        out.append(data.AtomicData.from_config(config, z_table=table, cutoff=4.0, heads=["Default"]))
    return torch_geometric.Batch.from_data_list(out)


def hint_loss(base=None, **options):
    options = {"weight_start": 1.0, "weight_end": 1.0, "seed": 3, "clip": 0.0, **options}
    base = base or modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=10.0)
    return HintLoss(base, HintOptions(**options), Clock(total_steps=10))


def value_and_gradient(model, loss, batch, kwargs=FORCES):
    model.zero_grad()
    forward = HessianForward(model, loss) if isinstance(loss, HintLoss) else model
    value = loss(pred=forward(batch.to_dict(), **kwargs), ref=batch)
    value.backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
    return float(value.detach()), gradient


@pytest.fixture
def ch_model():
    return small_model([1, 6, 7, 8])


def test_hessian_term_is_the_mean_over_the_elements(ch_model, molecules):
    """Mode full equals an independent calculation from MACE's own Hessian."""
    frames = molecules[:3]
    batch = make_batch(frames, [1, 6, 7, 8])
    loss = hint_loss(mode="full")
    with_term, _ = value_and_gradient(ch_model, loss, batch)
    base, _ = value_and_gradient(ch_model, loss.base, batch)
    means = []
    for atoms in frames:
        single = make_batch([atoms], [1, 6, 7, 8]).to_dict()
        h = ch_model(single, compute_force=True, compute_hessian=True)["hessian"].detach()
        h = h.reshape(3 * len(atoms), -1)
        means.append(float((h - torch.tensor(atoms.info["REF_hessian"])).square().mean()))
    assert with_term - base == pytest.approx(np.mean(means), rel=1e-9)


def label_terms(model, frames, mode, probes):
    """Of each structure by whole Hessians: mean squared error of the projected vectors, of the elements."""
    found = []
    for atoms in frames:
        single = make_batch([atoms], [1, 6, 7, 8])
        label = BatchLabels(single.to_dict()).labels[0]
        v, _ = label.draw(mode, probes, seed=3, step=0)
        h = model(single.to_dict(), compute_force=True, compute_hessian=True)["hessian"].detach()
        dh = h.reshape(3 * len(atoms), -1) - torch.tensor(atoms.info["REF_hessian"])
        v = v.reshape(len(v), -1).to(dh)
        squares = (v @ dh).square().mean(1)
        found.append((float(squares.mean()), float((squares / v.square().sum(1)).mean())))
    return np.array(found)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_eq4_against_whole_hessians(ch_model, molecules, mode):
    """The paper's Eq. 4 in each mode; for Rademacher probes 3N times what `elements` has, else the same."""
    frames, probes = molecules[:3], 2
    wanted = label_terms(ch_model, frames, mode, probes)
    batch = make_batch(frames, [1, 6, 7, 8])
    for column, normalise in enumerate(("eq4", "elements")):
        loss = hint_loss(mode=mode.name, normalise=normalise, probes=probes)
        found = value_and_gradient(ch_model, loss, batch)[0]
        found -= value_and_gradient(ch_model, loss.base, batch)[0]
        assert found == pytest.approx(
            wanted[:, column].mean(), rel=1e-4 if mode.name == "difference" else 1e-9
        )
    sizes = [1 if mode.unit_probes else 3 * len(atoms) for atoms in frames]
    np.testing.assert_allclose(wanted[:, 0] / wanted[:, 1], sizes, rtol=1e-12)


@pytest.mark.parametrize("mode", ["hutchinson", "column"])
def test_validation_of_eq4(ch_model, molecules, mode):
    """Rademacher probes always: the term expects what the training's does; errors stay those of elements."""
    batch = make_batch(molecules[:2], [1, 6, 7, 8])
    errors = {}
    for normalise in ("elements", "eq4"):
        loss = hint_loss(mode=mode, normalise=normalise, validation_probes=3)
        errors[normalise] = validation.validate(
            ch_model, loss, [batch], torch.device("cpu"), nullcontext, exact=1
        )
    own = errors["eq4"].pop("hessian_loss"), errors["elements"].pop("hessian_loss")
    assert errors["eq4"] == errors["elements"]
    if mode == "column":
        assert own[0] == own[1]
    else:
        assert own[0] / own[1] == pytest.approx(3 * len(molecules[0]), rel=0.5)  # two sizes, one mean
        assert own[0] / own[1] > 10


# the automatic weight ---------------------------------------------------------------------------------------

AUTO = {"weight": "auto", "ratio_start": 0.5, "ratio_end": 2.0}


def test_automatic_weight_is_the_ratio_of_the_gradients(ch_model, molecules):
    """|lambda_H g_H| = rho |g_EF|, with gradients that were taken apart from each other."""
    batch = make_batch(molecules[:3], [1, 6, 7, 8])
    _, others = value_and_gradient(ch_model, hint_loss().base, batch)
    base, _ = value_and_gradient(ch_model, hint_loss().base, batch)
    value, both = value_and_gradient(ch_model, hint_loss(), batch)
    loss = hint_loss(**AUTO)
    found, gradient = value_and_gradient(ch_model, loss, batch)
    quotient = float(others.norm() / (both - others).norm())
    assert loss.weight == pytest.approx(0.5 * quotient, rel=1e-9)
    assert loss.auto.others == pytest.approx(float(others.norm()), rel=1e-9)
    # The step that measures has the value and the gradient of the sum ...
    assert found == pytest.approx(base + loss.weight * (value - base), rel=1e-9)
    torch.testing.assert_close(gradient, others + loss.weight * (both - others), rtol=1e-8, atol=1e-10)
    # ... as has one that does not, with what was measured before.
    loss.clock.step = 9
    _, later = value_and_gradient(ch_model, loss, batch)
    assert loss.auto.measured == 1 and loss.weight == pytest.approx(2.0 * quotient, rel=1e-9)
    probes = hint_loss()
    probes.clock.step = 9
    _, both = value_and_gradient(ch_model, probes, batch)
    torch.testing.assert_close(later, others + loss.weight * (both - others), rtol=1e-8, atol=1e-10)


def test_automatic_weight_of_a_term_that_is_there_every_nth_step(ch_model, molecules):
    """n times as strong, and the weight is that of the term at every step."""
    batch = make_batch(molecules[:2], [1, 6, 7, 8])
    _, others = value_and_gradient(ch_model, hint_loss().base, batch)
    loss = hint_loss(**AUTO, every=3)
    _, gradient = value_and_gradient(ch_model, loss, batch)
    assert float((gradient - others).norm() / others.norm()) == pytest.approx(3 * 0.5, rel=1e-9)


def test_a_batch_without_labels_measures_nothing(ch_model, molecules):
    unlabelled = make_batch(molecules[:2], [1, 6, 7, 8], [None, None])
    labelled = make_batch(molecules[:2], [1, 6, 7, 8])
    loss = hint_loss(**AUTO)
    base, wanted = value_and_gradient(ch_model, loss.base, unlabelled)
    found, gradient = value_and_gradient(ch_model, loss, unlabelled)
    assert (found, loss.auto.measured, loss.weight) == (base, 0, 0.0) and torch.equal(gradient, wanted)
    loss.clock.step = 4
    value_and_gradient(ch_model, loss, labelled)
    state = loss.auto.state_dict()
    assert state["last"] == 4
    loss.clock.step = 14  # due, but without a label
    value_and_gradient(ch_model, loss, unlabelled)
    assert loss.auto.state_dict() == state


def test_validation_does_not_see_the_automatic_weight(ch_model, molecules):
    batch = make_batch(molecules[:2], [1, 6, 7, 8])
    fixed = hint_loss(weight_end=7.0)
    wanted = validation.validate(ch_model, fixed, [batch], torch.device("cpu"), nullcontext, exact=0)
    for normalise in ("elements", "eq4"):
        loss = hint_loss(**AUTO, weight_end=7.0, normalise=normalise)
        for _ in range(2):
            found = validation.validate(ch_model, loss, [batch], torch.device("cpu"), nullcontext, exact=0)
            assert found == wanted
            value_and_gradient(ch_model, loss, batch)


def test_products_are_differences_of_forces(ch_model, molecules):
    batch = make_batch(molecules[:4], [1, 6, 7, 8]).to_dict()
    analytic, numeric = hint_loss(), hint_loss(mode="difference")
    pred = HessianForward(ch_model, analytic)(batch, **FORCES)
    v, product, reference = analytic.products(pred["hint"], analytic.mode, 2, 0, create_graph=True)
    w, difference, again = numeric.products(pred["hint"], numeric.mode, 2, 0, create_graph=True)
    assert torch.equal(v, w) and torch.equal(reference, again)
    assert float((product - difference).detach().norm() / product.detach().norm()) < 1e-5


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_gradient_to_parameters_is_that_of_finite_differences(ch_model, molecules, mode):
    batch = make_batch(molecules[:2], [1, 6, 7, 8])
    loss = hint_loss(mode=mode.name)
    forward = HessianForward(ch_model, loss)

    def term():
        total, count = loss.hessian_term(forward(batch.to_dict(), **FORCES)["hint"], mode, 1, 0)
        return total / count

    ch_model.zero_grad()
    term().backward()
    checked = 0
    for parameter in ch_model.parameters():
        if parameter.grad is None or float(parameter.grad.abs().max()) < 1e-6:
            continue
        index = int(parameter.grad.abs().argmax())
        flat = parameter.data.view(-1)
        before, step, values = float(flat[index]), 3e-5, []
        for sign in (1, -1):
            flat[index] = before + sign * step
            values.append(float(term().detach()))
        flat[index] = before
        wanted = (values[0] - values[1]) / (2 * step)
        assert float(parameter.grad.view(-1)[index]) == pytest.approx(wanted, rel=1e-6)
        checked += 1
    assert checked >= 8


@pytest.mark.parametrize("kind", ["full", "rows", "projected"])
def test_every_kind_of_label_is_used(ch_model, molecules, kind):
    """A label that is twice as large gives another loss, and a model that is right gives none."""
    atoms = molecules[4]
    single = make_batch([atoms], [1, 6, 7, 8]).to_dict()
    own = ch_model(single, compute_force=True, compute_hessian=True)["hessian"].detach()
    own = own.reshape(3 * len(atoms), -1).numpy()

    def label(scale):
        whole = HessianLabel.full(scale * own)
        if kind == "rows":
            return HessianLabel.rows(scale * own[3:9], [1, 2], len(atoms))
        return whole if kind == "full" else whole.to_projected(2, np.random.default_rng(0))

    loss = hint_loss()
    values = []
    for scale in (1.0, 2.0):
        batch = make_batch([atoms], [1, 6, 7, 8], [label(scale)])
        base, _ = value_and_gradient(ch_model, loss.base, batch)
        values.append(value_and_gradient(ch_model, loss, batch)[0] - base)
    assert abs(values[0]) < 1e-15 * max(1.0, base)
    assert values[1] > 1e-6


def half_labelled(frames, unlabelled):
    return [None if i in unlabelled else read_label(atoms) for i, atoms in enumerate(frames)]


@pytest.mark.parametrize("unlabelled", [{0, 3}, {0, 1, 2, 4}])
@pytest.mark.parametrize("kind", ["molecules", "cells", "both"])
def test_split_changes_no_number(molecules, cells, unlabelled, kind):
    frames = {"molecules": molecules[:5], "cells": cells[:5], "both": [*molecules[:3], *cells[:2]]}[kind]
    numbers = [1, 6, 7, 8, 29, 79]
    model = small_model(numbers)
    batch = make_batch(frames, numbers, half_labelled(frames, unlabelled))
    kwargs = STRESS if kind == "cells" else FORCES
    base = modules.WeightedEnergyForcesStressLoss(1.0, 10.0, 1.0) if kind == "cells" else None
    whole = model(batch.to_dict(), **kwargs)
    loss = hint_loss(base, split="always")
    parted = HessianForward(model, loss)(batch.to_dict(), **kwargs)
    assert len(parted["hint"].labels) == 5 - len(unlabelled)  # it was split
    for key in ("energy", "forces", "stress"):
        if whole[key] is not None:
            assert parted[key].shape == whole[key].shape
            assert float((parted[key] - whole[key]).detach().abs().max()) < 1e-12
    found = [value_and_gradient(model, hint_loss(base, split=s), batch, kwargs) for s in ("always", "never")]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    assert float((found[0][1] - found[1][1]).abs().max()) < 1e-10 * float(found[1][1].abs().max())
    without, _ = value_and_gradient(model, loss.base, batch, kwargs)
    assert found[0][0] > without


def test_sub_batch_is_the_batch_of_the_chosen(molecules, cells):
    numbers = [1, 6, 7, 8, 29, 79]
    frames = [*molecules[:3], *cells[:2]]
    model = small_model(numbers)
    part = sub_batch(make_batch(frames, numbers).to_dict(), [1, 3, 4])
    alone = make_batch([frames[i] for i in (1, 3, 4)], numbers).to_dict()
    for key in ("energy", "forces"):
        torch.testing.assert_close(
            model(part, **FORCES)[key], model(alone, **FORCES)[key], rtol=0, atol=1e-12
        )


def test_sub_batch_refuses_what_it_does_not_know(molecules):
    batch = make_batch(molecules[:3], [1, 6, 7, 8]).to_dict()
    assert sub_batch({**batch, "unknown": torch.zeros(7)}, [1]) is None


def test_merge_keeps_the_order():
    owner = torch.tensor([0, 0, 1, 2, 2, 2])
    first = {"energy": torch.tensor([10.0]), "forces": torch.tensor([2.0]).reshape(1, 1)}
    second = {"energy": torch.tensor([0.0, 20.0]), "forces": torch.tensor([0, 1, 3, 4, 5.0]).reshape(5, 1)}
    out = merge_parts(first, second, owner, [1], [0, 2])
    assert out["energy"].tolist() == [0, 10, 20]
    assert out["forces"].reshape(-1).tolist() == [0, 1, 2, 3, 4, 5]


def test_an_unlabelled_batch_has_the_base_loss_alone(ch_model, molecules):
    batch = make_batch(molecules[:2], [1, 6, 7, 8], [None, None])
    loss = hint_loss()
    assert value_and_gradient(ch_model, loss, batch)[0] == value_and_gradient(ch_model, loss.base, batch)[0]


def test_weight_of_a_label(ch_model, molecules):
    atoms = molecules[:2]
    loss = hint_loss(mode="full")
    labels = [read_label(a) for a in atoms]
    values = []
    for weights in ((1.0, 0.5), (1.0, 0.0), (1.0, 1.0)):
        for a, w in zip(atoms, weights, strict=True):
            a.info["config_hessian_weight"] = w
        batch = make_batch(atoms, [1, 6, 7, 8])
        values.append(
            value_and_gradient(ch_model, loss, batch)[0] - value_and_gradient(ch_model, loss.base, batch)[0]
        )
    alone = make_batch(atoms, [1, 6, 7, 8], [labels[0], None])
    first = value_and_gradient(ch_model, loss, alone)[0] - value_and_gradient(ch_model, loss.base, alone)[0]
    assert values[1] == pytest.approx(first)  # weight 0: as if it were not labelled
    assert values[0] == pytest.approx((2 * values[2] + first) / 4)  # (a + b/2)/2 from (a + b)/2 and a


def test_probes_depend_on_seed_step_and_structure_alone(molecules):
    def probes(order, seed=1, step=5):
        labels = BatchLabels(make_batch([molecules[i] for i in order], [1, 6, 7, 8]).to_dict()).labels
        return {
            i: label.draw(MODES["hutchinson"], 2, seed, step)[0]
            for i, label in zip(order, labels, strict=True)
        }

    a, b = probes([0, 1, 2, 3]), probes([3, 1, 0])
    for i in b:
        assert torch.equal(a[i], b[i])
    assert not torch.equal(a[0], probes([0], seed=2)[0])
    assert not torch.equal(a[0], probes([0], step=6)[0])
    assert not torch.equal(a[0][:, :3], a[1][:, :3])


def test_hint_every_is_unbiased(ch_model, molecules):
    batch = make_batch(molecules[:2], [1, 6, 7, 8])
    base, _ = value_and_gradient(ch_model, hint_loss().base, batch)
    one = hint_loss(mode="full")
    other = hint_loss(mode="full", every=3)
    terms = []
    for step in range(6):
        other.clock.step = step
        terms.append(value_and_gradient(ch_model, other, batch)[0] - base)
    single = value_and_gradient(ch_model, one, batch)[0] - base
    assert terms == pytest.approx([3 * single, 0, 0, 3 * single, 0, 0])


def test_a_batch_without_the_labels_arrays_is_an_error(ch_model, molecules):
    """As a process would read it that knows nothing of HINT: it is not unlabelled, it has lost its labels."""
    batch = make_batch(molecules[:2], [1, 6, 7, 8], [None, None]).to_dict()
    assert "hint" not in HessianForward(ch_model, hint_loss())(batch, **FORCES)
    del batch["hint_count"]
    with pytest.raises(DataError, match=r"a batch has no hint_count: .*read by a process that knows nothing"):
        HessianForward(ch_model, hint_loss())(batch, **FORCES)


class OnMps(torch.Tensor):
    """A tensor on a device that has no double precision: only `cpu` leads away from it."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        found = super().__torch_function__(function, types, args, kwargs or {})
        if not isinstance(found, OnMps):
            return found
        if function is torch.Tensor.cpu:
            return found.as_subclass(torch.Tensor)
        if found.dtype is torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return found


class MpsBatch:
    """MACE's batch that goes to such a device."""

    def __init__(self, batch):
        self.batch = batch

    def to(self, device):
        assert device.type == "mps"
        return self

    def to_dict(self):
        found = self.batch.to_dict()
        return {k: v.as_subclass(OnMps) if isinstance(v, torch.Tensor) else v for k, v in found.items()}


class Springs(torch.nn.Module):
    """Springs of 1 A between all neighbours, in place of a model."""

    def __init__(self):
        super().__init__()
        self.register_buffer("atomic_numbers", torch.tensor([1, 6, 7, 8]))

    def forward(self, batch, **kwargs):
        x = batch["positions"].requires_grad_()
        first, second = batch["edge_index"]
        energy = ((x[first] - x[second]).norm(dim=-1) - 1).square().sum()
        return {"energy": energy, "forces": -torch.autograd.grad(energy, x, create_graph=True)[0]}


def test_validation_on_a_device_without_double_precision(molecules):
    """What HINT adds to the model's evaluation (MACE's models make float64 numbers themselves)."""
    torch.set_default_dtype(torch.float32)
    model, batch = Springs(), make_batch(molecules[:2], [1, 6, 7, 8])
    with pytest.raises(TypeError, match="float64"):
        batch.positions.as_subclass(OnMps).double()
    errors = [
        validation.validate(model, hint_loss(), [one], torch.device(device), nullcontext, exact=2)
        for device, one in (("cpu", batch), ("mps", MpsBatch(batch)))
    ]
    assert errors[1] == pytest.approx(errors[0], rel=1e-5)
    assert errors[1]["hessian_exact"] == 2


def test_sums_of_processes_on_a_device_without_double_precision(ch_model, monkeypatch):
    seen = []

    def to(tensor, device, dtype):
        seen.append((device.type, dtype))
        raise InterruptedError

    monkeypatch.setattr(validation, "distributed", lambda: True)
    for kind in ("mps", "cuda"):
        with monkeypatch.context() as patch, pytest.raises(InterruptedError):
            patch.setattr(torch.Tensor, "to", to)
            validation.validate(ch_model, hint_loss(), [], torch.device(kind), nullcontext, exact=0)
    assert seen == [("mps", torch.float32), ("cuda", torch.float64)]


def test_what_the_processes_sum_in_validation_is_on_the_models_device(ch_model, monkeypatch):
    """NCCL sums nothing that is on the CPU."""
    seen = []

    def all_reduce(tensor):
        seen.append(tensor.device.type)
        raise InterruptedError

    monkeypatch.setattr(validation, "distributed", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    with pytest.raises(InterruptedError):
        validation.validate(ch_model, hint_loss(), [], torch.device("meta"), nullcontext, exact=0)
    assert seen == ["meta"]


PROCESS = """
import sys
import torch
sys.path.insert(0, {folder!r})
import test_loss as t
from ase.io import read
from torch.nn.parallel import DistributedDataParallel
torch.set_default_dtype(torch.float64)
rank, port = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{{port}}", rank=rank, world_size=2)
frames = read({molecules!r}, ":")[:5]
mine = [[0, 1, 2], [3, 4]][rank]
"""
WORKER_WEIGHTS = (
    PROCESS
    + """
found = []
for unlabelled in {cases!r}:
    labels = t.half_labelled(frames, unlabelled)
    batch = t.make_batch([frames[i] for i in mine], [1, 6, 7, 8], [labels[i] for i in mine])
    loss = t.hint_loss(**t.AUTO)
    model = DistributedDataParallel(t.small_model([1, 6, 7, 8]))
    for step in (0, 1):
        loss.clock.step = step
        _, gradient = t.value_and_gradient(model, loss, batch)
        found.append((loss.weight, loss.auto.state_dict(), gradient))
torch.save(found, f"{out}.{{rank}}")
torch.distributed.destroy_process_group()
"""
)


WORKER = (
    PROCESS
    + """
gradients = []
for unlabelled in {cases!r}:
    labels = t.half_labelled(frames, unlabelled)
    gradients.append(t.gradient_of_term([frames[i] for i in mine], [labels[i] for i in mine]))
    torch.distributed.all_reduce(gradients[-1])  # as DistributedDataParallel: the mean over the processes
if rank == 0:
    torch.save([g / 2 for g in gradients], {out!r})
torch.distributed.destroy_process_group()
"""
)


def gradient_of_term(frames, labels):
    """Of the Hessian term alone."""
    batch = make_batch(frames, [1, 6, 7, 8], labels)
    model, loss = small_model([1, 6, 7, 8]), hint_loss(mode="hutchinson")
    pred = HessianForward(model, loss)(batch.to_dict(), **FORCES)
    value = loss(pred=pred, ref=batch) - loss.base(pred=pred, ref=batch)
    (value + 0 * pred["forces"].sum()).backward()
    return torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])


def run_two(folder, worker, cases, out):
    """Two processes of a script, which gets the molecules, the unlabelled of each case and its output."""
    names = {
        "folder": str(Path(__file__).parent),
        "molecules": str(MOLECULES),
        "cases": cases,
        "out": str(out),
    }
    script = folder / "worker.py"
    script.write_text(worker.format(**names))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [warm.start([sys.executable, script, rank, port], env=environment) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]


def test_two_processes_have_one_automatic_weight(tmp_path, molecules):
    """From the norms of the averaged gradients; in the second case one process has no label."""
    out, cases, frames = tmp_path / "weights.pt", [{1}, {3, 4}], molecules[:5]
    run_two(tmp_path, WORKER_WEIGHTS, cases, out)
    ranks = [torch.load(f"{out}.{rank}") for rank in (0, 1)]
    whole = make_batch(frames, [1, 6, 7, 8])  # MACE's own loss is the mean over the processes' frames
    _, others = value_and_gradient(small_model([1, 6, 7, 8]), hint_loss().base, whole)
    for case, unlabelled in enumerate(cases):
        hessian = gradient_of_term(frames, half_labelled(frames, unlabelled))
        first, second = (found[2 * case : 2 * case + 2] for found in ranks)
        weight = 0.5 * float(others.norm() / hessian.norm())
        assert first[0][0] == pytest.approx(weight, rel=1e-9)
        for one, two in zip(first, second, strict=True):
            assert one[:2] == two[:2] and torch.equal(one[2], two[2])
        torch.testing.assert_close(first[0][2], others + weight * hessian, rtol=1e-7, atol=1e-9)
        assert first[1][1] == first[0][1]  # not measured again
        assert first[1][0] == pytest.approx(weight * (0.5 + 1.5 / 9) / 0.5, rel=1e-9)


def test_two_processes_have_the_gradient_of_the_mean_over_all_labels(tmp_path, molecules):
    """Also where one of them has no label at all."""
    out, cases = tmp_path / "gradient.pt", [{1}, {3, 4}]
    run_two(tmp_path, WORKER, cases, out)
    for found, unlabelled in zip(torch.load(out), cases, strict=True):
        wanted = gradient_of_term(molecules[:5], half_labelled(molecules[:5], unlabelled))
        assert float((found - wanted).norm() / wanted.norm()) < 1e-10
