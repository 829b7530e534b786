"""The Hessian term among NequIP's metrics, and its weight over a training."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import numpy as np
import torch
from nequip.train import EnergyForceLoss
from nequip_runs import build, build_hessian, gradient, make_batch, mixed_labels

from hint_plugin.core import losses
from hint_plugin.data import HessianLabel, read_label
from hint_plugin.errors import OptionsError
from hint_plugin.nequip import HessianCurriculum, HessianErrors, HessianLoss, HessianRMSE
from hint_plugin.nequip.fields import PRODUCTS

COEFFS = {"total_energy": 10.0, "forces": 100.0}
TERMS = ("per_atom_energy_mse", "forces_mse", "hessian")


def manager(coeff: float = 80.0, metric: HessianLoss | None = None):
    extra = [{"name": "hessian", "coeff": coeff, "metric": metric or HessianLoss()}]
    return EnergyForceLoss(coeffs=COEFFS, extra_metrics=extra)


@pytest.fixture
def model():
    return build_hessian("NequIP").train()


def by_hand(out, **options) -> torch.Tensor:
    """Each structure's loss from its own definition, weighted, over the number of labelled ones."""
    found = out[PRODUCTS]
    sizes = torch.bincount(found.owner)
    total = 0.0
    for g, (size, weight) in enumerate(zip(sizes, found.weights, strict=True)):
        own = found.owner == g
        residuals = []
        for k in range(len(found.probes)):
            norm = found.probes[k, own].norm()
            if norm > 0:
                residuals.append((found.predicted - found.reference)[k, own] / norm)
        if residuals:
            total = total + weight * torch.stack(residuals).square().sum() / (len(residuals) * 3 * size)
    return total / (found.weights > 0).sum()


# the metric -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hutchinson", "column", "full", "difference"])
def test_it_is_the_mean_over_labelled_structures(mode, molecules):
    frames = molecules[:6]
    labels = mixed_labels(frames)
    labels[4] = HessianLabel.full(labels[4].hessian, weight=0.25)
    batch = make_batch(frames, labels, step=0)
    out = build_hessian("NequIP", {"mode": mode, "probes": 3})(batch)
    metric = HessianLoss()
    assert float(metric(out, batch)) == pytest.approx(float(by_hand(out)), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "core"),
    [
        ({"penalty": "huber", "huber_delta": 0.3}, losses.HessianLoss("huber", 0.3)),
        ({"penalty": "l1"}, losses.HessianLoss("l1")),
        ({"clip": 1.0}, losses.HessianLoss(clip=1.0)),
        ({"clip": None}, losses.HessianLoss(clip=None)),
        ({"normalise": "eq4"}, losses.HessianLoss(normalise="eq4")),
    ],
)
def test_options_are_those_of_the_core(model, molecules, options, core):
    batch = make_batch(molecules[:4], mixed_labels(molecules[:4]))
    out = model(batch)
    found = out[PRODUCTS]
    total, count = core(found.predicted, found.reference, found.probes, found.owner, found.weights)
    assert float(HessianLoss(**options)(out, batch)) == pytest.approx(float(total / count), rel=1e-12)
    plain = float(HessianLoss()(out, batch))
    assert (float(total / count) == plain) == (options == {"clip": None})


@pytest.mark.parametrize("mode", ["hutchinson", "column", "full", "difference"])
def test_eq4_against_whole_hessians(mode, molecules):
    """|dH v|^2 / (3N), the paper's Eq. 4: 3N times `elements` for Rademacher probes, the same for columns."""
    frames = molecules[:3]
    batch = make_batch(frames, step=0)
    net = build_hessian("NequIP", {"mode": mode, "probes": 2})
    out = net(batch)
    found, wanted, elements = out[PRODUCTS], [], []
    hessians = build_hessian("NequIP").hessians(batch, [0, 1, 2])
    for g, (atoms, hessian) in enumerate(zip(frames, hessians, strict=True)):
        v = found.probes[:, found.owner == g].reshape(len(found.probes), -1)
        v = v[v.square().sum(1) > 0]
        squares = (v @ (hessian - torch.as_tensor(read_label(atoms).hessian))).square().mean(1)
        wanted.append(float(squares.mean()))
        elements.append(float((squares / v.square().sum(1)).mean()))
    tolerance = 1e-4 if mode == "difference" else 1e-9
    assert float(HessianLoss(normalise="eq4")(out, batch)) == pytest.approx(np.mean(wanted), rel=tolerance)
    assert float(HessianLoss()(out, batch)) == pytest.approx(np.mean(elements), rel=tolerance)
    sizes = [1 if mode in ("column", "full") else 3 * len(atoms) for atoms in frames]
    np.testing.assert_allclose(np.divide(wanted, elements), sizes, rtol=1e-9)
    assert float(HessianRMSE()(out, batch)) ** 2 == pytest.approx(np.mean(elements), rel=tolerance)


def test_a_batch_without_labels_counts_nothing(model, molecules):
    """Zero, not 0/0, for the loss and for what is accumulated; the other terms have their gradient."""
    unlabelled = make_batch(molecules[:3], [None] * 3)
    labelled = make_batch(molecules[:3])
    loss = manager()
    out = model(unlabelled)
    found = loss(out, unlabelled)
    assert float(found["hessian"]) == 0.0
    parts = gradient(model, found["weighted_sum"])
    assert torch.isfinite(parts).all() and parts.any()
    alone = float(loss(model(labelled), labelled)["hessian"].detach())
    assert float(loss.compute()["hessian"]) == pytest.approx(alone)
    rmse = HessianRMSE()  # nothing compared is no error of zero
    assert math.isnan(float(rmse(out, unlabelled))) and math.isnan(float(rmse.compute()))
    out = model(labelled)
    assert 0 < float(rmse(out, labelled)) == pytest.approx(float(rmse.compute()))


def test_it_accumulates_over_batches(model, molecules):
    """Over structures, not over batches."""
    model.eval()
    frames = molecules[:7]
    labels = [*mixed_labels(frames[:4]), *(read_label(atoms) for atoms in frames[4:])]
    loss, rmse = HessianLoss(), HessianRMSE()
    for part in (slice(0, 4), slice(4, 6), slice(6, 7)):
        batch = make_batch(frames[part], labels[part])
        out = model(batch)
        loss(out, batch)
        rmse(out, batch)
    whole = make_batch(frames, labels)
    out = model(whole)
    assert int(loss.count) == 6
    assert float(loss.compute()) == pytest.approx(float(HessianLoss()(out, whole)), rel=1e-12)
    assert float(rmse.compute()) == pytest.approx(float(by_hand(out)) ** 0.5, rel=1e-12)
    loss.reset()
    assert int(loss.count) == 0 and float(loss.sum) == 0.0


def test_no_graph_is_kept(model, molecules):
    loss = manager()
    batch = make_batch(molecules[:3])
    for _ in range(2):
        found = loss(model(batch), batch)
        assert found["weighted_sum"].requires_grad
        found["weighted_sum"].backward()
        metric = loss["hessian"]
        assert metric.sum.grad_fn is None and not metric.sum.requires_grad
    assert batch["pos"].grad is None


def test_rmse_is_that_of_the_elements(molecules):
    """Its square is right on average: of 200 probes within four standard errors of the exact one."""
    frames = molecules[:4]
    batch = make_batch(frames)
    model = build_hessian("NequIP", {"validation_probes": 200}).eval()
    errors = []
    for atoms, hessian in zip(frames, model.hessians(batch, [0, 1, 2, 3]), strict=True):
        errors.append(hessian - torch.as_tensor(read_label(atoms).hessian))
    exact = float(torch.stack([e.square().mean() for e in errors]).mean())
    found = float(HessianRMSE()(model(batch), batch)) ** 2
    # Var |dH v|^2 = 2 (tr M^2 - sum M_ii^2), M = dH^T dH, of Rademacher probes
    variance = 0.0
    for e in errors:
        m = e.T @ e
        variance += float(2 * (m.square().sum() - m.diagonal().square().sum())) / len(e) ** 4 / 200
    assert abs(found - exact) < 4 * variance**0.5 / len(frames) < 0.3 * exact
    full = build_hessian("NequIP", {"mode": "full"}).train()
    assert float(HessianLoss()(full(batch), batch)) == pytest.approx(exact, rel=1e-10)


def test_projected_labels_alone_measure_the_error(projected):
    batch = make_batch(projected)
    model = build_hessian("NequIP").eval()
    out = model(batch)
    assert float(HessianRMSE()(out, batch)) == pytest.approx(float(by_hand(out)) ** 0.5, rel=1e-12)


# its weight -------------------------------------------------------------------------------------------------


def coefficients(curriculum: HessianCurriculum, steps: int, epochs: int = 1):
    """Of each step of a training, with NequIP's own manager, as ratios to that of the energy."""
    loss = manager()
    module = SimpleNamespace(loss=loss)
    trainer = SimpleNamespace(global_step=0, estimated_stepping_batches=steps, callbacks=[curriculum])
    curriculum.on_fit_start(trainer, module)
    found = []
    for step in range(steps):
        trainer.global_step = step
        curriculum.on_train_batch_start(trainer, module, None, step)
        coeffs = {name: loss.entries[name].coeff for name in TERMS}
        assert sum(coeffs.values()) == pytest.approx(1.0)
        found.append([coeffs[name] / coeffs["per_atom_energy_mse"] for name in TERMS])
    return np.array(found)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"start": 10.0}, np.linspace(10, 80, 8)),
        ({}, np.linspace(0, 80, 8)),
        ({"schedule": "constant"}, [80.0] * 8),
        ({"schedule": "step", "start": 2.0, "steps": [[0.5, 80.0]]}, [2.0] * 4 + [80.0] * 4),
    ],
)
def test_curriculum_sets_the_ratios_of_the_terms(options, wanted):
    """Whatever NequIP divides them by."""
    coeffs = {"per_atom_energy_mse": 1.0, "forces_mse": 100.0, "hessian": 80.0}
    found = coefficients(HessianCurriculum(coeffs, **options), 8)
    np.testing.assert_allclose(found[:, 1], 100.0)
    np.testing.assert_allclose(found[:, 2], wanted, atol=1e-9)


def test_stage_two_has_other_coefficients():
    """From step 6 of 8; the Hessian term goes on."""
    coeffs = {"per_atom_energy_mse": 10.0, "forces_mse": 100.0, "hessian": 80.0}
    second = {"start": 0.75, "coeffs": {"per_atom_energy_mse": 1000.0}}
    found = coefficients(HessianCurriculum(coeffs, start=10.0, stage_two=second), 8)
    np.testing.assert_allclose(found[:, 1], [10.0] * 6 + [0.1] * 2)
    ramp = np.linspace(10, 80, 8)
    np.testing.assert_allclose(found[:, 2], [*ramp[:6] / 10, *ramp[6:] / 1000])


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"start": 0.5}, r"stage_two has start; wanted stage_two: \{start: 0.75"),
        (
            {"start": 0.5, "coeffs": {"hessian": 1.0}},
            "coeffs of stage_two has hessian; wanted some of forces_mse",
        ),
        ({"start": 0.5, "coeffs": {}}, "coeffs of stage_two has nothing"),
        ({"start": 90, "coeffs": {"forces_mse": 1.0}}, "start 90.0 .* wanted a fraction of the training"),
    ],
)
def test_what_is_no_stage_two(second, words):
    with pytest.raises(OptionsError, match=words):
        HessianCurriculum(dict.fromkeys(TERMS, 1.0), stage_two=second)


def test_curriculum_knows_the_length_that_it_is_told():
    coeffs = {"per_atom_energy_mse": 1.0, "forces_mse": 1.0, "hessian": 3.0}
    found = coefficients(HessianCurriculum(coeffs, total_steps=4), 6)
    np.testing.assert_allclose(found[:, 2], [0, 1, 2, 3, 3, 3])


def test_a_term_without_a_coefficient_is_no_term():
    """An extra metric that is only looked at."""
    loss = EnergyForceLoss(
        coeffs=COEFFS,
        extra_metrics=[
            {"name": "hessian", "coeff": 1.0, "metric": HessianLoss()},
            {"name": "watched", "metric": HessianRMSE()},
        ],
    )
    curriculum = HessianCurriculum(dict.fromkeys(TERMS, 1.0))
    trainer = SimpleNamespace(global_step=1, estimated_stepping_batches=2, callbacks=[curriculum])
    curriculum.on_fit_start(trainer, SimpleNamespace(loss=loss))
    curriculum.on_train_batch_start(trainer, SimpleNamespace(loss=loss), None, 0)
    assert loss.entries["watched"].coeff is None


# exact errors -----------------------------------------------------------------------------------------------


def test_hessian_errors_are_those_of_exact_hessians(molecules):
    """Of the first structures with a full label, in the validation sets they come from."""
    from hint_plugin.core.metrics import HessianMetrics

    model = build_hessian("NequIP").eval()
    logged: dict[str, float] = {}
    module = SimpleNamespace(model={"sole_model": model}, val_metrics=[None] * 2, log_dict=logged.update)
    trainer = SimpleNamespace(sanity_checking=False, current_epoch=0, world_size=1)
    labels = mixed_labels(molecules[:8])  # full: 0, 4
    batches = [make_batch(molecules[i : i + 4], labels[i : i + 4]) for i in (0, 4, 0)]
    callback = HessianErrors(structures=2, every=2)
    for epoch in (0, 1):
        trainer.current_epoch = epoch
        callback.on_validation_epoch_start(trainer, module)
        for index, batch in enumerate(batches):  # the third comes too late
            callback.on_validation_batch_end(trainer, module, None, batch, index, 0)
            callback.on_validation_batch_end(trainer, module, None, batches[1], index, 1)
        callback.on_validation_epoch_end(trainer, module)
        if epoch == 1:
            assert not logged
            break
        for dataset, frames in enumerate(([molecules[0], molecules[4]], [molecules[4], molecules[4]])):
            wanted, sizes = HessianMetrics(), []
            for atoms in frames:
                (hessian,) = model.hessians(make_batch([atoms]), [0])
                reference = torch.as_tensor(read_label(atoms).hessian)
                sizes.append(reference.abs().flatten())
                masses = torch.as_tensor(atoms.get_masses())
                wanted.update_hessian(hessian, reference, torch.as_tensor(atoms.positions), masses, False)
            for name in ("hessian_mae", "eigenvalues_mae", "frequencies_mae"):
                key = f"val{dataset}_epoch/{name}"
                assert logged.pop(key) == pytest.approx(wanted.result()[name], rel=1e-9), key
            relative = wanted.result()["hessian_mae"] / float(torch.cat(sizes).mean())
            assert logged.pop(f"val{dataset}_epoch/hessian_mae_relative") == pytest.approx(relative)
        assert not logged


def test_hessian_errors_that_compare_nothing_say_so(molecules, caplog):
    module = SimpleNamespace(model={"sole_model": build_hessian("NequIP").eval()}, val_metrics=[None])
    trainer = SimpleNamespace(sanity_checking=False, current_epoch=0, world_size=1)
    callback = HessianErrors()
    labels = [None, read_label(molecules[1]).to_projected(2, np.random.default_rng(0))]
    callback.on_validation_batch_end(trainer, module, None, make_batch(molecules[:2], labels), 0)
    callback.on_validation_epoch_end(trainer, module)
    assert "no validation structure has a full Hessian label" in caplog.text


def test_hessian_errors_want_the_model_that_makes_them(molecules):
    batch = make_batch(molecules[:1])
    module = SimpleNamespace(model={"sole_model": build("NequIP")})
    trainer = SimpleNamespace(sanity_checking=False, current_epoch=0, world_size=1)
    with pytest.raises(OptionsError, match="the model is not in hint_plugin.nequip.HessianModel"):
        HessianErrors().on_validation_batch_end(trainer, module, None, batch, 0)
    with pytest.raises(OptionsError, match="structures 0, every 10; wanted 1 or more"):
        HessianErrors(structures=0)
    trainer.sanity_checking = True
    HessianErrors().on_validation_batch_end(trainer, module, None, batch, 0)
    unread = make_batch(molecules[:1], fields=False)  # of a data module that reads no labels
    trainer.sanity_checking = False
    HessianErrors().on_validation_batch_end(trainer, module, None, unread, 0)
