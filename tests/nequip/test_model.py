"""`HessianModel` on NequIP's, Allegro's and HINT's models: the plain model, and right products H v."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import numpy as np
import torch
from ase import Atoms
from nequip_runs import BUILDERS, build, build_hessian, gradient, make_batch, mixed_labels

from hint_plugin.core.losses import MODES, HessianLoss
from hint_plugin.data import HessianLabel, read_label
from hint_plugin.nequip.fields import PRODUCTS, Products

OUTPUTS = ("total_energy", "atomic_energy", "forces", "stress", "virial")
#: Sums in another order; relative to the largest element.
ROUNDING = {"float64": 1e-12, "float32": 1e-4}

everyone = pytest.mark.parametrize("kind", list(BUILDERS))


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-300)).detach())


def products(out: dict) -> Products:
    return out[PRODUCTS]


def hessian_loss(out: dict) -> torch.Tensor:
    """The mean over the labelled structures of the core's loss."""
    found = products(out)
    total, count = HessianLoss()(found.predicted, found.reference, found.probes, found.owner, found.weights)
    return total / count


def loss(out: dict, batch: dict) -> torch.Tensor:
    """Energies, forces and Hessians."""
    energies = (out["total_energy"] - batch["total_energy"]) / batch["num_atoms"].unsqueeze(-1)
    forces = out["forces"] - batch["forces"]
    return energies.square().mean() + 10 * forces.square().mean() + hessian_loss(out)


def by_differences(model: torch.nn.Module, batch: dict, probes: torch.Tensor, step: float) -> torch.Tensor:
    """H v from the forces of a plain model at four displacements, with an error of order step^4."""

    def forces(positions: torch.Tensor) -> torch.Tensor:
        return model({**batch, "pos": positions})["forces"].detach()

    def central(v: torch.Tensor, h: float) -> torch.Tensor:
        return (forces(batch["pos"] - h * v) - forces(batch["pos"] + h * v)) / (2 * h)

    return torch.stack([(4 * central(v, step / 2) - central(v, step)) / 3 for v in probes])


@pytest.fixture
def both(molecules, cells) -> list[Atoms]:
    """Molecules and crystals: with all kinds of labels by `mixed_labels`."""
    return [*molecules[:3], molecules[4], *cells[:4]]


# the plain model --------------------------------------------------------------------------------------------


@everyone
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_parameters_are_those_of_the_plain_model(kind, dtype):
    """By name, order and value: checkpoints of one are checkpoints of the other."""
    wanted = build(kind, model_dtype=dtype).state_dict()
    found = build_hessian(kind, model_dtype=dtype).state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@everyone
@pytest.mark.parametrize("systems", ["molecules", "cells", "both"])
def test_outputs_are_those_of_the_plain_model(kind, systems, molecules, cells, both):
    """With and without labels, in one piece and in two; of molecules in a batch with crystals no stress."""
    frames = {"molecules": molecules[:4], "cells": cells[:4], "both": both}[systems]
    plain = build(kind).train()
    for labels, split in (
        (mixed_labels(frames), "always"),
        (mixed_labels(frames), "never"),
        ([None] * len(frames), "auto"),
    ):
        batch = make_batch(frames, labels)
        names = set(batch)
        wanted = plain(make_batch(frames, fields=False))
        found = build_hessian(kind, {"split": split}).train()(batch)
        assert (PRODUCTS in found) == any(labels)
        assert not batch["pos"].requires_grad
        assert set(batch) == names  # what the loss is compared with
        for name in OUTPUTS:
            assert found[name].shape == wanted[name].shape, name
            torch.testing.assert_close(
                found[name], wanted[name], rtol=1e-12, atol=1e-12, equal_nan=True, msg=name
            )


@everyone
def test_float32(kind, both):
    """The same weights in both precisions: NequIP keeps positions, and so H v, in float64."""
    batch = make_batch(both, mixed_labels(both), step=0)
    single, double = (build_hessian(kind, {"probes": 2}, model_dtype=x) for x in ("float32", "float64"))
    double.load_state_dict(single.state_dict())
    found, wanted = single(batch), double(batch)
    assert products(found).predicted.dtype == torch.float64
    for name in ("total_energy", "forces"):
        assert relative(found[name], wanted[name]) < ROUNDING["float32"]
    assert relative(products(found).predicted, products(wanted).predicted) < 10 * ROUNDING["float32"]
    gradients = [gradient(m, loss(out, batch)).double() for m, out in ((single, found), (double, wanted))]
    assert relative(*gradients) < 100 * ROUNDING["float32"]


# products ---------------------------------------------------------------------------------------------------


@everyone
def test_products_are_differences_of_the_plain_models_forces(kind, both):
    batch = make_batch(both, mixed_labels(both))
    for training in (True, False):
        out = build_hessian(kind, {"split": "never", "probes": 2}).train(training)(batch)
        found = products(out)
        wanted = by_differences(build(kind), make_batch(both, fields=False), found.probes, 4e-3)
        assert float(wanted.abs().max()) > 0.1
        assert relative(found.predicted, wanted) < 1e-6


@everyone
def test_products_are_columns_of_the_exact_hessians(kind, both):
    """`hessians` differentiates columns; the reference is the one of the label."""
    labels = [read_label(atoms) for atoms in both]
    model = build_hessian(kind, {"mode": "full"})
    batch = make_batch(both, labels)
    chosen = [1, 3, 5]
    exact = dict(zip(chosen, model.hessians(batch, chosen), strict=True))
    out = products(model(batch))
    ends = np.cumsum([0] + [len(a) for a in both])
    for g, hessian in exact.items():
        n = len(both[g])
        part = slice(int(ends[g]), int(ends[g + 1]))
        assert hessian.shape == (3 * n, 3 * n)
        assert relative(hessian, hessian.T) < 1e-10
        columns = out.predicted[: 3 * n, part].reshape(3 * n, 3 * n).T
        assert relative(columns, hessian) < 1e-10
        reference = out.reference[: 3 * n, part].reshape(3 * n, 3 * n).T
        assert relative(reference, torch.as_tensor(labels[g].hessian)) < 1e-12
        assert not out.probes[3 * n :, part].any()  # fewer columns than the largest structure


def test_exact_hessians_need_no_labels_and_leave_the_model_alone(molecules):
    model = build_hessian("NequIP").eval()
    batch = make_batch(molecules[:3], [None] * 3)
    with torch.no_grad():
        first, second = model.hessians(batch, [0, 2])
    assert first.shape == (9, 9) and second.shape == (15, 15)
    assert not first.requires_grad and not batch["pos"].requires_grad
    assert not any(module.training for module in model.modules())
    (difference,) = build_hessian("NequIP", {"mode": "difference"}).hessians(batch, [2])
    assert relative(difference, second) < 1e-4


@everyone
def test_difference_mode_is_near_the_derivative(kind, both):
    """The same probes; H v by displacements of 1e-3 A."""
    batch = make_batch(both, mixed_labels(both), step=3)
    for training in (True, False):
        analytic = products(build_hessian(kind).train(training)(batch))
        model = build_hessian(kind, {"mode": "difference"}).train(training)
        out = model(batch)
        found = products(out)
        assert torch.equal(found.probes, analytic.probes)
        assert relative(found.predicted, analytic.predicted) < 1e-4
        wanted = build(kind)(make_batch(both, fields=False))
        assert relative(out["forces"], wanted["forces"]) < 1e-12
        if training:
            again = products(build_hessian(kind, {"mode": "difference", "difference_step": 1e-2})(batch))
            assert 1e-9 < relative(again.predicted, found.predicted) < 1e-2


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_gradient_to_parameters_is_that_of_finite_differences(mode, both):
    frames = both[:5]
    batch = make_batch(frames, mixed_labels(frames), step=0)
    model = build_hessian("NequIP", {"mode": mode.name}, num_layers=1)
    found = gradient(model, hessian_loss(model(batch)))
    parameters = list(model.parameters())
    start, checked = 0, 0
    for parameter in parameters:
        size = parameter.numel()
        part, start = found[start : start + size], start + size
        if float(part.abs().max()) < 1e-6:
            continue
        index = int(part.abs().argmax())
        flat, values = parameter.data.view(-1), []
        before, step = float(flat[index]), 1e-4
        for sign in (1, -1):
            flat[index] = before + sign * step
            values.append(float(hessian_loss(model(batch)).detach()))
        flat[index] = before
        assert float(part[index]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)
        checked += 1
    assert checked >= 5


@everyone
def test_split_changes_no_number(kind, both):
    """Nor does `auto`, which splits this batch: its unlabelled crystals have many edges."""
    labels = mixed_labels(both)
    labels[4] = HessianLabel.full(labels[4].hessian, weight=0.25)
    batch = make_batch(both, labels, step=7)
    found = {}
    for split in ("never", "always", "auto"):
        model = build_hessian(kind, {"split": split, "probes": 2}).train()
        out = model(batch)
        assert len(products(out).weights) == (8 if split == "never" else 6)
        found[split] = float(loss(out, batch).detach()), gradient(model, loss(out, batch))
    for split in ("always", "auto"):
        assert found[split][0] == pytest.approx(found["never"][0], rel=1e-12)
        assert relative(found[split][1], found["never"][1]) < 1e-10
    small = [labels[0], None, labels[2], labels[4]]
    frames = [both[0], both[0], both[2], both[4]]
    out = build_hessian(kind).train()(make_batch(frames, small))
    assert len(products(out).weights) == 4  # not worth a pass of its own


@pytest.mark.parametrize("kind", ["NequIP", "AlphaNet"])
def test_lone_atoms(kind, molecules):
    """One in a batch, labelled or not; its Hessian is zero."""
    lone = Atoms("O", [[0.1, 0.2, 0.3]])
    zero = HessianLabel.full(np.zeros((3, 3)))
    frames = [molecules[0], lone, molecules[3]]
    for label in (None, zero):
        labels = [read_label(molecules[0]), label, read_label(molecules[3])]
        for split in ("always", "never"):
            model = build_hessian(kind, {"split": split}).train()
            batch = make_batch(frames, labels)
            out = model(batch)
            assert torch.isfinite(out["forces"]).all() and not out["forces"][3].any()
            assert torch.isfinite(gradient(model, loss(out, batch))).all()
            if len(products(out).weights) == 3:
                assert not products(out).predicted[:, 3].any()
    only = make_batch([lone, lone], [zero, None])
    model = build_hessian(kind, {"split": "always"}).train()
    assert not products(model(only)).predicted.any()
    (hessian,) = model.hessians(only, [0])
    assert not hessian.any()


# probes -----------------------------------------------------------------------------------------------------


def test_training_probes_are_those_of_the_step(molecules):
    """Those of the data module's step if there is one, else of the number of calls."""
    frames = molecules[:3]
    model = build_hessian("NequIP", {"seed": 5}).train()

    def probes(step: int | None, seed: int = 5) -> torch.Tensor:
        other = model if seed == 5 else build_hessian("NequIP", {"seed": seed})
        return products(other(make_batch(frames, step=step))).probes

    first = probes(4)
    assert torch.equal(first.abs(), torch.ones_like(first))  # Rademacher
    assert torch.equal(probes(4), first)
    assert not torch.equal(probes(5), first)
    assert not torch.equal(probes(4, seed=6), first)
    model.hint_step = 3
    assert torch.equal(probes(None), first)  # the next of its own count
    assert not torch.equal(probes(None), first)
    alone = products(model(make_batch([frames[2]], step=4))).probes
    assert torch.equal(alone, first[:, -len(frames[2]) :])  # whatever else is in the batch


def test_validation_probes_are_fixed_and_their_own(molecules):
    frames = molecules[:3]
    model = build_hessian("NequIP", {"probes": 2, "validation_probes": 3, "mode": "column"})
    batch = make_batch(frames, step=0)
    trained = products(model.train()(batch))
    first = products(model.eval()(batch))
    model.train()(make_batch(frames, step=8))
    again = products(model.eval()(make_batch(frames, step=9)))
    assert trained.probes.shape[0] == 2 and first.probes.shape[0] == 3
    assert torch.equal(first.probes, again.probes) and torch.equal(first.predicted, again.predicted)
    assert torch.equal(first.probes.abs(), torch.ones_like(first.probes))
    columns = trained.probes.reshape(2, -1)
    assert columns.sum() == 6 and ((columns == 0) | (columns == 1)).all()  # one column a structure
    assert model.hint_step == 8  # of the training, which validation leaves alone
    assert not first.predicted.requires_grad


def test_projected_labels_bring_their_own_probes(molecules):
    frames = molecules[:2]
    labels = [
        read_label(a).to_projected(k, np.random.default_rng(0)) for a, k in zip(frames, (2, 5), strict=True)
    ]
    out = products(build_hessian("NequIP", {"probes": 3}).train()(make_batch(frames, labels)))
    n = len(frames[0])
    assert torch.equal(out.probes[:2, :n], torch.as_tensor(labels[0].probes))
    assert torch.equal(out.reference[:2, :n], torch.as_tensor(labels[0].hvp))
    assert not out.probes[2, :n].any()  # it has two only
    stored = [v.tobytes() for v in labels[1].probes]
    assert all(v.numpy().tobytes() in stored for v in out.probes[:, n:])


def test_modifiers_of_nequip(molecules):
    """`builder: nequip.model.modify`, as a fine-tuning has it."""
    from nequip_runs import COMMON

    from hint_plugin.nequip import HessianModel

    target, own = BUILDERS["NequIP"]
    inner = {"_target_": target, **COMMON, **own}
    shifts = {"modifier": "modify_PerTypeScaleShift", "shifts": {"H": -13.0}}
    model = HessianModel(builder="nequip.model.modify", model=inner, modifiers=[shifts])
    batch = make_batch(molecules[:2])
    found, before = model(batch)["total_energy"], build_hessian("NequIP")(batch)["total_energy"]
    hydrogens = torch.tensor([[2.0], [3.0]])
    torch.testing.assert_close((found - before).detach(), 37.0 * hydrogens.double())
    assert PRODUCTS in model(batch)


# compiled code ----------------------------------------------------------------------------------------------

minutes = (
    pytest.mark.skipif(not os.environ.get("HINT_COMPILE"), reason="minutes a model: set HINT_COMPILE=1"),
    pytest.mark.timeout(3600),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "backend"),
    [
        ("NequIP", {"num_layers": 1, "l_max": 0}, "traced"),
        pytest.param("NequIP", {"num_layers": 1}, "inductor", marks=minutes),
        pytest.param("Allegro", {"num_layers": 1}, "traced", marks=minutes),
        pytest.param("AlphaNet", {"layers": 1}, "traced", marks=minutes),
    ],
)
def test_compiled_models_equal_eager_ones(kind, options, backend, molecules, monkeypatch):
    """`compile_mode: compile`: H v is made within NequIP's graph, of any batch once it is there.

    Traced: that graph as it is, without TorchInductor, which takes most of the time.
    """
    if backend == "traced":
        monkeypatch.setattr(torch, "compile", lambda graph, **options: graph)
    if kind == "NequIP":
        options = {**options, "num_features": 2, "num_bessels": 2, "radial_mlp_width": 4}
    hessian = {"probes": 2, "validation_probes": 2, "split": "never"}
    eager = build_hessian(kind, hessian, **options)
    compiled = build_hessian(kind, hessian, **options, compile_mode="compile")
    graphs = compiled._compiled_cache[0]
    for training in (True, False):
        for count, labels in (
            (5, mixed_labels(molecules[:5])),
            (7, mixed_labels(molecules[:7])),
            (6, [read_label(atoms) for atoms in molecules[:6]]),
            (6, [None] * 5 + [read_label(molecules[5])]),
            (1, [read_label(molecules[0])]),  # too few for NequIP to compile
        ):
            batch = make_batch(molecules[:count], labels, step=count)
            wanted, found = (model.train(training)(batch) for model in (eager, compiled))
            assert len(graphs) == (1 if training else 2)
            assert relative(products(found).predicted, products(wanted).predicted) < 1e-10
            assert relative(found["forces"], wanted["forces"]) < 1e-10
            if training:
                pair = [gradient(m, loss(out, batch)) for m, out in ((compiled, found), (eager, wanted))]
                assert relative(*pair) < 1e-10
            else:
                assert float(hessian_loss(found)) == pytest.approx(float(hessian_loss(wanted)), rel=1e-10)
            assert not batch["pos"].requires_grad  # compiled code is kept by it
