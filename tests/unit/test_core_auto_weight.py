"""The automatic weight: ratio of the gradients' norms, averaged, and its state."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hint_plugin.core.auto_weight import DECAY, EVERY, AutoWeight, flat_gradient
from hint_plugin.core.schedule import WeightSchedule

norms = st.floats(1e-3, 1e3)


def constant(ratio=1.0):
    return AutoWeight(WeightSchedule(ratio, ratio, "constant"))


@given(others=norms, hessian=norms, ratio=st.floats(0.1, 3))
def test_the_first_measurement_counts_in_full(others, hessian, ratio):
    """Then the two pulls have the ratio that is asked for."""
    auto = constant(ratio)
    assert auto.update(0, others, hessian)
    weight = auto.at_step(0, 10)
    assert weight * hessian / others == pytest.approx(ratio, rel=1e-9)


@given(st.lists(st.tuples(norms, norms), min_size=1, max_size=30))
def test_averages_are_those_of_the_formula(pairs):
    auto = constant()
    for step, pair in enumerate(pairs):
        auto.update(step, *pair)
    weights = [DECAY ** (len(pairs) - 1 - i) for i in range(len(pairs))]
    for found, index in ((auto.others, 0), (auto.hessian, 1)):
        wanted = sum(w * pair[index] for w, pair in zip(weights, pairs, strict=True)) / sum(weights)
        assert found == pytest.approx(wanted, rel=1e-9)


def test_the_ratio_is_ramped():
    auto = AutoWeight(WeightSchedule(0.2, 1.0))
    assert auto.at_step(3, 11) == 0.0  # nothing has been measured
    auto.update(0, 30.0, 0.5)
    assert [auto.at_step(step, 11) for step in (0, 5, 10)] == pytest.approx([12.0, 36.0, 60.0])


def test_it_is_measured_every_few_steps():
    auto, measured = constant(), []
    for step in range(3, 40):  # the first steps had no label
        if auto.due(step):
            measured.append(step)
            auto.update(step, 1.0, 1.0)
    assert measured == [3, 3 + EVERY, 3 + 2 * EVERY, 3 + 3 * EVERY]
    assert auto.due(0)  # of a training that begins anew


@pytest.mark.parametrize("bad", [0.0, math.inf, math.nan])
def test_what_cannot_be_used_changes_nothing(bad):
    auto = constant()
    assert not auto.update(0, 1.0, bad) and not auto.update(0, bad, 1.0)
    assert math.isnan(auto.others) and auto.due(1)
    auto.update(1, 2.0, 1.0)
    before = auto.state_dict()
    auto.update(11, bad, 1.0)
    assert auto.state_dict() == before and auto.due(12)


def test_its_state_goes_on(tmp_path):
    one, other = constant(), constant()
    for step in range(0, 50, 10):
        one.update(step, 1.0 + step, 2.0)
    torch.save({"state": one.state_dict()}, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)["state"]
    other.load_state_dict(json.loads(json.dumps(loaded)))
    for auto in (one, other):
        auto.update(50, 3.0, 4.0)
    assert other.state_dict() == one.state_dict() and other.at_step(5, 10) == one.at_step(5, 10)
    with pytest.raises(ValueError, match="hessian, mass is missing"):
        other.load_state_dict({"measured": 1, "last": 2, "others": 1.0})


def test_flat_gradient_has_zeros_where_there_is_none():
    parameters = [torch.ones(2, 2), torch.ones(3)]
    found = flat_gradient([None, torch.arange(3.0)], parameters)
    assert found.tolist() == [0, 0, 0, 0, 0, 1, 2]
