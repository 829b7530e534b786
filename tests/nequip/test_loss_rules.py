"""The Hessian term among NequIP's metrics, on products made by hand: defaults, sums, counts, refusals."""

from __future__ import annotations

import inspect
import math
import warnings

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import torch

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.nequip import HessianLoss, HessianRMSE
from hint_plugin.nequip.fields import PRODUCTS, Products

TARGET = {"hint_count": torch.tensor([[0, 0, 0]])}


def batch(*errors: float, weights: tuple[float, ...] | None = None) -> dict[str, Products]:
    """One atom a structure, the unit vector along x as its probe, an error of H along x; NaN: no label."""
    n = len(errors)
    v = torch.zeros(1, n, 3)
    predicted = torch.zeros(1, n, 3)
    own = weights or tuple(0.0 if math.isnan(e) else 1.0 for e in errors)
    for i, error in enumerate(errors):
        if not math.isnan(error):
            v[0, i, 0], predicted[0, i, 0] = 1.0, error
    return {PRODUCTS: Products(v, predicted, torch.zeros_like(v), torch.arange(n), torch.tensor(own), [])}


NO = math.nan


def test_the_mean_over_labelled_structures_of_all_batches():
    """Squares over three components: of 3, 0 and 6 in two batches, and a structure without a label."""
    loss, rmse = HessianLoss(), HessianRMSE()
    for metric in (loss, rmse):
        first, second = metric(batch(3.0, NO, 0.0), TARGET), metric(batch(6.0), TARGET)
        wanted = [3.0 / 2, 12.0]
        if metric is rmse:
            wanted = [math.sqrt(x) for x in wanted]
        assert [float(first), float(second)] == pytest.approx(wanted)
    assert int(loss.count) == 3 and float(loss.sum) == pytest.approx(15.0)
    assert float(loss.compute()) == pytest.approx(5.0)
    assert float(rmse.compute()) == pytest.approx(math.sqrt(5.0))
    loss.reset()
    assert int(loss.count) == 0 and float(loss.sum) == 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics: nothing has been added yet
        assert float(loss.compute()) == 0.0
    assert (str(loss), str(rmse)) == ("hessian_loss", "hessian_rmse")


def test_an_epoch_without_labels_is_refused_from_the_start():
    """Also of a metric that no batch has gone forward through, as in a validation."""
    loss = HessianLoss(dist_sync_on_step=True)
    loss.update(batch(NO), TARGET)
    with pytest.raises(DataError, match="no structure of the whole epoch had a Hessian label"):
        loss.compute()


def test_weights_count_in_the_sum_and_not_in_the_number():
    loss = HessianLoss()
    loss.update(batch(3.0, 3.0, weights=(0.5, 1.0)), TARGET)
    assert float(loss.compute()) == pytest.approx((0.5 * 3 + 3) / 2) and int(loss.count) == 2


def test_one_label_is_divided_by_one():
    assert float(HessianLoss()(batch(3.0, NO, NO), TARGET)) == pytest.approx(3.0)
    assert float(HessianLoss()(batch(NO, NO), TARGET)) == 0.0


def test_defaults_are_squares_clipped_at_100():
    assert {
        name: p.default for name, p in inspect.signature(HessianLoss).parameters.items() if name != "kwargs"
    } == {"penalty": "mse", "huber_delta": 1.0, "clip": 100.0, "normalise": "elements"}
    rms = 200.0
    error = rms * math.sqrt(3)
    assert float(HessianLoss()(batch(error), TARGET)) == pytest.approx(100 * (2 * rms - 100))
    assert float(HessianLoss(clip=None)(batch(error), TARGET)) == pytest.approx(rms**2)
    assert float(HessianRMSE()(batch(error), TARGET)) == pytest.approx(rms)  # an error is not clipped
    assert float(HessianLoss("huber")(batch(3.0), TARGET)) == pytest.approx((2 * 3 - 1) / 3)
    assert float(HessianLoss("l1")(batch(3.0), TARGET)) == pytest.approx(1.0)
    with pytest.raises(OptionsError, match="got penalty 'l2'"):
        HessianLoss("l2")
    with pytest.raises(OptionsError, match="must be positive"):
        HessianLoss(clip=-1.0)


def test_which_metrics_are_trained_on():
    """NequIP synchronises those at each step; the loss has a gradient, the error has none."""
    assert HessianLoss(dist_sync_on_step=True).in_loss and not HessianLoss().in_loss
    assert HessianLoss.is_differentiable and not HessianRMSE.is_differentiable
    assert HessianLoss.higher_is_better is False and HessianRMSE.higher_is_better is False
    assert HessianLoss.expected is None


def test_an_epoch_without_any_label_is_an_error_of_the_loss_alone():
    """Not of one batch, not of a metric that is only watched, not where labels have been counted before."""
    loss = HessianLoss(dist_sync_on_step=True)
    assert float(loss(batch(NO), TARGET)) == 0.0
    with pytest.raises(DataError, match="no structure of the whole epoch had a Hessian label"):
        loss.compute()
    loss.expected = 0
    loss._computed = None
    with pytest.raises(DataError, match="Make labels with `hint label`"):
        loss.compute()
    loss.expected = 7
    assert float(loss.compute()) == 0.0
    watched = HessianLoss()
    watched(batch(NO), TARGET)
    assert float(watched.compute()) == 0.0
    labelled = HessianLoss(dist_sync_on_step=True)
    labelled(batch(NO), TARGET)
    labelled(batch(3.0), TARGET)
    assert float(labelled.compute()) == pytest.approx(3.0)


def test_a_failed_batch_does_not_hide_an_epoch_without_labels():
    loss = HessianLoss(dist_sync_on_step=True)
    with pytest.raises(OptionsError):
        loss({}, {})
    with pytest.raises(DataError, match="whole epoch"):
        loss.compute()


def test_batches_without_products():
    """Without a label they count as nothing; with labels the model lacks HINT, without fields the data do."""
    loss = HessianLoss()
    loss.update({}, {"hint_count": torch.tensor([[0, 0, 0], [2, 0, 0]])})
    assert int(loss.count) == 0
    for counts in ([[2, 0, 1]], [[0, 0, 0], [0, 1, 1]]):
        with pytest.raises(OptionsError, match="has Hessian labels, and the model makes no products H v"):
            loss.update({}, {"hint_count": torch.tensor(counts)})
    with pytest.raises(OptionsError, match="the batch has no fields for Hessian labels"):
        loss.update({}, {})


def test_who_has_read_the_products():
    found = batch(1.0)
    HessianLoss().update(found, TARGET)
    HessianRMSE().update(found, TARGET)
    assert found[PRODUCTS].readers == ["HessianLoss", "HessianRMSE"]
