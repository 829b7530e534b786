"""lambda_H over the training, against its closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hint_plugin.core.schedule import WeightSchedule

weights = st.floats(0, 1e3)
fractions = st.floats(0, 1)


@given(start=weights, end=weights, t=fractions)
def test_linear(start, end, t):
    assert WeightSchedule(start, end)(t) == pytest.approx(start + (end - start) * t)


@given(end=weights, t=fractions)
def test_constant(end, t):
    assert WeightSchedule(3.0, end, "constant")(t) == end


def test_step():
    schedule = WeightSchedule.parse_steps("0.2:0.5,0.6:3", start=0.1)
    assert [schedule(t) for t in (0, 0.19, 0.2, 0.59, 0.6, 1)] == [0.1, 0.1, 0.5, 0.5, 3, 3]
    assert schedule.final == 3


def test_progress_is_clamped():
    schedule = WeightSchedule(1, 2)
    assert (schedule(-1), schedule(2)) == (1, 2)


@given(total=st.integers(2, 1000))
def test_first_and_last_step_have_start_and_end(total):
    schedule = WeightSchedule(0.5, 4)
    assert schedule.at_step(0, total) == 0.5
    assert schedule.at_step(total - 1, total) == 4
    assert schedule.at_step(total + 5, total) == 4


def test_a_training_of_one_step():
    assert WeightSchedule(0.5, 4).at_step(0, 1) == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": -1.0}, "a weight is negative"),
        ({"kind": "step", "steps": ((0.5, -1.0),), "end": -1.0}, "a weight is negative"),
        ({"kind": "cosine"}, "wanted 'linear', 'constant' or 'step'"),
        ({"kind": "step"}, "needs steps"),
        ({"steps": ((0.5, 1.0),)}, "the other kinds take none"),
        ({"kind": "step", "steps": ((0.6, 1.0), (0.5, 1.0))}, "must ascend within 0..1"),
        ({"kind": "step", "steps": ((1.5, 1.0),)}, "must ascend within 0..1"),
        ({"kind": "step", "steps": ((0.5, 2.0),)}, "must be the end weight"),
    ],
)
def test_what_is_no_schedule(arguments, message):
    with pytest.raises(ValueError, match=message):
        WeightSchedule(**arguments)


@pytest.mark.parametrize("text", ["", "0.5", "a:b", "0.2:1,", "0.2:1:2"])
def test_steps_that_cannot_be_read(text):
    with pytest.raises(ValueError, match=r"wanted 'fraction:weight,fraction:weight'"):
        WeightSchedule.parse_steps(text)


def test_defaults_are_a_straight_line_from_0_to_1():
    schedule = WeightSchedule()
    assert [schedule(t) for t in (0, 0.25, 1)] == [0.0, 0.25, 1.0] and schedule.final == 1.0
    assert WeightSchedule.parse_steps("0.5:2")(0.49) == 0.0


def test_weights_of_zero_and_steps_at_both_ends_are_legal():
    assert WeightSchedule(0.0, 0.0)(0.5) == 0.0
    schedule = WeightSchedule(start=5.0, end=0.0, kind="step", steps=((0.0, 3.0), (1.0, 0.0)))
    assert [schedule(t) for t in (-1, 0, 0.99, 1, 2)] == [3.0, 3.0, 3.0, 0.0, 0.0]
    assert WeightSchedule.parse_steps("1:2", start=1.0)(1.0) == 2.0


@pytest.mark.parametrize(
    "arguments",
    [
        {"end": -0.5},
        {"start": -0.5, "kind": "step", "steps": ((0.5, 1.0),)},
        {"kind": "step", "steps": ((0.2, -0.5), (0.5, 1.0))},
        {"kind": "step", "steps": ((-0.1, 1.0),)},
        {"kind": "step", "steps": ((0.5, 0.5), (0.5, 1.0))},
        {"kind": "constant", "steps": ((0.5, 1.0),)},
    ],
)
def test_more_that_is_no_schedule(arguments):
    with pytest.raises(ValueError, match="schedule: "):
        WeightSchedule(**arguments)


@pytest.mark.parametrize(
    ("step", "total", "wanted"),
    [(0, 1, 2.0), (1, 1, 6.0), (1, 2, 6.0), (1, 3, 4.0), (3, 5, 5.0), (1, 0, 6.0)],
)
def test_steps_are_counted_from_zero_to_the_last(step, total, wanted):
    assert WeightSchedule(2.0, 6.0).at_step(step, total) == wanted
