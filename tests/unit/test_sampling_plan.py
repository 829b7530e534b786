"""A sampling plan on its way through a file, and the frames that it chooses."""

from __future__ import annotations

import json

import pytest
from ase import Atoms

from hint_plugin.data import Choice, SamplingPlan, Source, write_frames
from hint_plugin.errors import DataError, UnknownVersionError


def frames(n: int) -> list[Atoms]:
    return [Atoms("H", info={"number": i}) for i in range(n)]


@pytest.fixture
def plan(tmp_path) -> SamplingPlan:
    sources = []
    for name, n in (("a.xyz", 5), ("b.h5", 3)):
        write_frames(tmp_path / name, frames(n))
        sources.append(Source.of(tmp_path / name, n))
    choices = (
        Choice(0, 1, "hessian", "rank 1", 0.5),
        Choice(0, 4, "energy_forces", "rank 2"),
        Choice(1, 2, "hessian", "rank 3", 0.1),
    )
    return SamplingPlan("random", {"seed": 0}, tuple(sources), choices)


def test_a_plan_survives_its_file(plan, tmp_path):
    plan.write(tmp_path / "plan.json")
    assert SamplingPlan.read(tmp_path / "plan.json") == plan
    assert plan.n_hessians == 2
    chosen = list(plan.frames())
    assert [(c.source, a.info["number"], c.wanted) for c, a in chosen] == [
        (0, 1, "hessian"),
        (0, 4, "energy_forces"),
        (1, 2, "hessian"),
    ]


def test_a_file_that_is_not_the_one_of_the_plan(plan, tmp_path):
    write_frames(tmp_path / "a.xyz", frames(6))
    with pytest.raises(DataError, match="a.xyz: it has changed since the plan was made"):
        list(plan.frames())
    (tmp_path / "a.xyz").unlink()
    with pytest.raises(DataError, match="it is not there"):
        list(plan.frames())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2; this HINT reads 1"),
        ({"format": "other"}, "no sampling plan"),
        ({"choices": [{"source": 0}]}, "missing or unknown parts"),
        (
            {"choices": [{"source": 0, "frame": 9, "wanted": "hessian", "reason": ""}]},
            "frame 9 of .* has 5",
        ),
        (
            {"choices": [{"source": 7, "frame": 0, "wanted": "hessian", "reason": ""}]},
            "source 7; there",
        ),
        ({"choices": [{"source": 0, "frame": 1, "wanted": "hessian", "reason": ""}] * 2}, "each once"),
    ],
)
def test_files_that_are_no_plan(plan, tmp_path, change, message):
    path = tmp_path / "plan.json"
    plan.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises((DataError, UnknownVersionError), match=message):
        SamplingPlan.read(path)
    path.write_text("[")
    with pytest.raises(DataError, match="cannot be read"):
        SamplingPlan.read(path)


@pytest.mark.parametrize(
    ("place", "name", "value", "message"),
    [
        (
            "choices",
            "wanted",
            "Hessian",
            r"choices\[0\].wanted is 'Hessian'; wanted energy_forces or hessian",
        ),
        ("choices", "wanted", None, "wanted is None"),
        ("choices", "frame", "1", r"choices\[0\].frame is '1'; wanted a whole number"),
        ("choices", "source", False, "source is False; wanted a whole number"),
        ("choices", "score", "0.5", "score is '0.5'; wanted a number or null"),
        ("choices", "reason", 3, "reason is 3; wanted text"),
        ("sources", "frames", 5.0, r"sources\[0\].frames is 5.0; wanted a whole number"),
        ("sources", "path", 1, "path is 1; wanted text"),
        ("settings", None, [], "settings is .*; wanted names and values"),
        ("method", None, None, "method is None; wanted text"),
        ("hessians", None, 5, "the unknown part 'hessians'; it has choices, format"),
    ],
)
def test_every_part_of_a_plan_is_of_its_kind(plan, tmp_path, place, name, value, message):
    """`Hessian` for `hessian` counted as no Hessian at all."""
    path = tmp_path / "plan.json"
    plan.write(path)
    document = json.loads(path.read_text())
    if name is None:
        document[place] = value
    else:
        document[place][0][name] = value
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=f"plan.json: .*{message}"):
        SamplingPlan.read(path)
