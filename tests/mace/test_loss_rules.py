"""When MACE's side has a Hessian term, with which weight, over how many labels: on springs as a model."""

from __future__ import annotations

import pytest
import torch

from hint_plugin.core.losses import MODES
from hint_plugin.mace import loss as module
from hint_plugin.mace.labels import labelled_part
from hint_plugin.mace.loss import (
    FORCES_WITH_GRAPH,
    Clock,
    HessianForward,
    HintLoss,
    labelled_everywhere,
    own_model,
)
from hint_plugin.mace.options import HintOptions

K = 3.0


class Spring(torch.nn.Module):
    """E = K x^2 / 2 of every atom: H = K 1. It counts its calls, and says what it was asked for."""

    def __init__(self):
        super().__init__()
        self.k = torch.nn.Parameter(torch.tensor(K))
        self.calls = []

    def forward(self, batch, **kwargs):
        x = batch["positions"].requires_grad_()
        self.calls.append((len(x), kwargs))
        owner = batch["batch"]
        energy = torch.zeros(len(batch["ptr"]) - 1).index_add(0, owner, 0.5 * self.k * x.square().sum(1))
        return {"energy": energy, "forces": -torch.autograd.grad(energy.sum(), x, create_graph=True)[0]}


class Base(torch.nn.Module):
    """A loss of MACE that is 7, and tells its arguments."""

    def forward(self, pred, ref, **extra):
        self.seen = pred, ref, extra
        return pred["energy"].sum() * 0 + 7.0


def batch_of(*labelled: bool) -> dict[str, torch.Tensor]:
    """One atom a structure, with H = 0 as its label and 40 edges: two of them are worth a second pass."""
    n = len(labelled)
    each = torch.arange(n)
    counts = torch.tensor([[int(on), 0, int(on)] for on in labelled])
    return {
        "positions": torch.randn(n, 3, generator=torch.Generator().manual_seed(0)),
        "batch": each,
        "ptr": torch.arange(n + 1),
        "edge_index": each.repeat_interleave(40).repeat(2, 1),
        "hint_rows": torch.zeros(9 * sum(labelled), 1),
        "hint_atoms": torch.zeros(sum(labelled), 1, dtype=torch.long),
        "hint_pairs": torch.zeros(0, 1),
        "hint_count": counts,
        "hint_weight": torch.tensor([float(on) for on in labelled]),
        "hint_key": torch.arange(float(n)),
    }


def hint_loss(step: int = 0, total: int = 11, **options) -> HintLoss:
    options = {"mode": "full", "weight_start": 2.0, "weight_end": 4.0, "seed": 1, **options}
    return HintLoss(Base(), HintOptions(**options), Clock(step, 1, total))


def value(loss: HintLoss, batch, model=None) -> float:
    pred = HessianForward(model or Spring(), loss)(batch, training=True)
    return float(loss(pred=pred, ref=batch).detach())


#: The mean over the elements of (K 1)^2.
TERM = K**2 / 3


@pytest.mark.parametrize(("step", "weight"), [(0, 2.0), (5, 3.0), (10, 4.0)])
def test_the_term_has_the_weight_of_its_step(step, weight):
    loss = hint_loss(step)
    assert loss.weight == pytest.approx(weight) and loss.due
    assert value(loss, batch_of(True, True)) == pytest.approx(7 + weight * TERM)


def test_the_term_is_trained_on():
    """d/dK of 2 K^2 / 3."""
    model, loss = Spring(), hint_loss()
    batch = batch_of(True, True)
    loss(pred=HessianForward(model, loss)(batch, training=True), ref=batch).backward()
    assert float(model.k.grad) == pytest.approx(2 * 2 * K / 3)


def test_it_is_the_mean_over_the_labelled_structures():
    for labelled in ((True, False), (False, True, True), (True, False, True, False)):
        assert value(hint_loss(), batch_of(*labelled)) == pytest.approx(7 + 2 * TERM)


def test_no_label_and_no_weight_leave_the_base_loss():
    assert value(hint_loss(), batch_of(False, False)) == 7
    loss = hint_loss(weight_start=0.0)
    assert not loss.due and value(loss, batch_of(True)) == 7
    loss.clock.step = 1
    assert loss.due and value(loss, batch_of(True)) > 7


def test_every_third_step_has_three_times_the_term():
    loss = hint_loss(every=3, schedule="constant")
    found = []
    for step in range(5):
        loss.clock.step = step
        assert loss.due == (step % 3 == 0)
        found.append(value(loss, batch_of(True)))
    assert found == pytest.approx([7 + 12 * TERM, 7, 7, 7 + 12 * TERM, 7])


def test_where_a_training_starts_and_goes_on():
    clock = Clock()
    assert (clock.step, clock.steps_per_epoch, clock.total_steps) == (0, 1, 1)
    clock = Clock(steps_per_epoch=10, total_steps=100)
    clock.start_epoch(3)
    assert clock.step == 29  # the first step of the epoch makes it 30


def test_a_new_loss_has_seen_nothing():
    loss = hint_loss()
    assert (loss.final_table, loss.evaluations, loss.trained_since, loss.evaluated) == (False, 0, False, [])
    assert loss.mode is MODES["full"] and loss.options.mode == "full"
    assert loss.hessian_loss.clip == 100.0 and hint_loss(clip=0.0).hessian_loss.clip is None
    assert (
        loss.extra_repr()
        == "mode=full, probes=1, lambda_H=2.0 -> 4.0 (linear), penalty=mse, normalise=elements"
    )
    assert "lambda_H=4.0, " in hint_loss(schedule="constant").extra_repr()


def test_the_base_loss_gets_what_mace_gives():
    loss = hint_loss()
    pred = {"energy": torch.zeros(1)}
    assert float(loss(pred=pred, ref="ref")) == 7 and loss.base.seen == (pred, "ref", {})
    assert float(loss(pred=pred, ref="ref", ddp=True)) == 7 and loss.base.seen == (pred, "ref", {"ddp": True})
    loss(pred=pred, ref="ref", ddp=False)
    assert loss.base.seen[2] == {"ddp": False}


def test_forces_with_their_graph_and_nothing_else_are_asked_for():
    assert FORCES_WITH_GRAPH["training"] and FORCES_WITH_GRAPH["compute_force"]
    assert not FORCES_WITH_GRAPH["compute_virials"] and not FORCES_WITH_GRAPH["compute_stress"]


@pytest.mark.parametrize(
    ("split", "labelled", "calls"),
    [
        ("auto", (True, False), [2]),  # 40 edges without a label
        ("auto", (True, False, False), [1, 2]),  # 80
        ("always", (True, False), [1, 1]),
        ("never", (True, False, False), [3]),
        ("always", (True, True), [2]),
        ("always", (False, False), [2]),
    ],
)
def test_passes_of_the_model(split, labelled, calls):
    model = Spring()
    pred = HessianForward(model, hint_loss(split=split))(batch_of(*labelled), training=True, other=1)
    assert [n for n, _ in model.calls] == calls
    assert all(kwargs == {"training": True, "other": 1} for _, kwargs in model.calls)
    assert pred["energy"].shape == (len(labelled),) and pred["forces"].shape == (len(labelled), 3)
    x = batch_of(*labelled)["positions"]
    torch.testing.assert_close(pred["forces"].detach(), -K * x)
    assert ("hint" in pred) == any(labelled)


def test_steps_without_a_term_are_one_pass_of_the_model():
    model, loss = Spring(), hint_loss(every=2)
    loss.clock.step = 1
    assert "hint" not in HessianForward(model, loss)(batch_of(True, False, False))
    assert [n for n, _ in model.calls] == [3]
    assert [*HessianForward(model, loss).parameters()] == [model.k]


def test_several_processes_count_together(monkeypatch):
    """Each has the sum of all labels, and the number of processes."""
    summed, others = [], []

    def all_reduce(tensor):
        summed.append(float(tensor))
        tensor += others.pop()

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    count = torch.tensor(3)
    assert labelled_everywhere(count) == (3.0, 1) and not summed
    monkeypatch.setattr(module, "distributed", lambda: True)
    for own, of_others, wanted in ((3, 5, 8.0), (0, 2, 2.0), (0, 0, 0.0), (1, 0, 1.0)):
        others.append(of_others)
        assert labelled_everywhere(torch.tensor(own)) == (wanted, 4)
    assert summed == [3.0, 0.0, 0.0, 1.0] and int(count) == 3


def test_several_processes_do_not_split_and_wait_for_those_without_labels(monkeypatch):
    reduced = []
    monkeypatch.setattr(module, "distributed", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", reduced.append)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    model, loss = Spring(), hint_loss(split="always")
    forward = HessianForward(model, loss)
    pred = forward(batch_of(False, False))
    assert pred["hint"] is None
    assert float(loss(pred=pred, ref=None).detach()) == 7 and len(reduced) == 1
    forward(batch_of(True, False))
    assert [n for n, _ in model.calls] == [2, 2]


def test_differences_have_the_step_of_the_options():
    """Forces of -x^3: by a step s, a column has s^2 more than 3 x^2."""

    class Cubic(Spring):
        def forward(self, batch, **kwargs):
            x = batch["positions"].requires_grad_()
            return {"energy": x.new_zeros(1), "forces": -(x**3)}

    batch = batch_of(True)
    x = batch["positions"].double()
    batch = {**batch, "positions": x, "hint_rows": batch["hint_rows"].double()}
    for step, more in ((0.3, True), (None, False)):
        loss = hint_loss(mode="difference", difference_step=step)
        inputs = HessianForward(Cubic(), loss)(batch)["hint"]
        v, product, reference = loss.products(inputs, MODES["full"], 1, 0, create_graph=True)
        wanted = torch.diag(3 * x[0] ** 2 + (step**2 if more else 0.0))
        torch.testing.assert_close(product.reshape(3, 3), wanted.to(product), atol=1e-5, rtol=1e-5)
        assert not reference.any() and v.shape == (3, 1, 3)


def test_weights_of_labels_reach_the_sum():
    batch = batch_of(True, True)
    batch["hint_weight"] = torch.tensor([1.0, 0.5])
    loss = hint_loss()
    inputs = HessianForward(Spring(), loss)(batch)["hint"]
    assert inputs.weights.tolist() == [1.0, 0.5] and inputs.ptr.tolist() == [0, 1, 2]
    total, count = loss.hessian_term(inputs, loss.mode, 1, 0)
    assert float(total.detach()) == pytest.approx(1.5 * TERM) and int(count) == 2
    part = labelled_part(batch_of(True, False), module.batch_labels(batch_of(True, False)))
    assert part.weights.tolist() == [1.0] and len(part.labels) == 1


def test_a_process_calls_its_own_model():
    model = Spring()
    assert own_model(model) is model and module.distributed() is False
    wrapped = module.DistributedDataParallel.__new__(module.DistributedDataParallel)
    torch.nn.Module.__init__(wrapped)
    wrapped.module = model
    assert own_model(wrapped) is model


def test_probes_depend_on_the_seed_and_no_seed_is_zero():
    def drawn(seed):
        loss = hint_loss(mode="hutchinson", seed=seed, probes=3)
        inputs = HessianForward(Spring(), loss)(batch_of(True, True))["hint"]
        return loss.products(inputs, loss.mode, 3, 5, create_graph=False)[0]

    assert torch.equal(drawn(None), drawn(0)) and not torch.equal(drawn(0), drawn(1))
