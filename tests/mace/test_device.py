"""Trainings on a pretended device: the numbers of the CPU, and how often the host waits for the device."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm
from ase.io import read, write

from mace_runs import DATA, HINT, MOLECULES, SMALL, Run, arguments, train_hint

WORKER = Path(__file__).parents[1] / "helpers" / "mace_pretended_worker.py"
#: What MACE 0.3.16 asks the device in a step: the loss, and twice how many numbers it will repeat.
OF_MACE = 3


def pretended(folder: Path, *, planted: str = "", **options: Any) -> tuple[int, str]:
    """The smallest training of the tests by `mace_run_train` on the device: its status and its output."""
    folder.mkdir(parents=True, exist_ok=True)
    words = arguments({**SMALL, **HINT, "pin_memory": "False", **options})
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HINT_PLANTED": planted}
    done = warm.run([sys.executable, WORKER, *words], cwd=folder, env=environment)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def half_labelled(tmp_path_factory) -> Path:
    """Frames of which every second has a label, and another kind of label each: a batch is split."""
    frames = [*read(MOLECULES, ":6"), *read(DATA / "projected.xyz", ":2")]
    for atoms in frames[1:6:2]:
        atoms.info.pop("REF_hessian")
    path = tmp_path_factory.mktemp("half") / "half.xyz"
    write(path, frames)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "hint_hutchinson", "hint_split": "always"},
        pytest.param({"loss": "hint_column", "hint_split": "never"}, marks=pytest.mark.long),
        pytest.param({"loss": "hint_difference", "hint_split": "always"}, marks=pytest.mark.long),
        pytest.param(
            {"model": "AlphaNet", "alphanet_size": "small", "E0s": "average"}, marks=pytest.mark.long
        ),
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_the_numbers_of_the_cpu_and_no_stop(options, half_labelled, tmp_path):
    """The training, its validations and the table at its end; labels stay on the host."""
    options = {"train_file": half_labelled, "valid_file": half_labelled, "valid_fraction": None, **options}
    status, output = pretended(tmp_path / "device", **options)
    assert status == 0, output[-3000:]
    cpu = train_hint(tmp_path / "cpu", **options)
    run = Run(tmp_path / "device", cpu.name, cpu.seed)
    np.testing.assert_allclose(run.steps, cpu.steps, rtol=1e-11)
    for line, wanted in zip(run.validations, cpu.validations, strict=True):
        for name in ("loss", "rmse_hessian", "mae_hessian"):
            assert line[name] == pytest.approx(wanted[name], rel=1e-9)
    steps = json.loads((tmp_path / "device" / "stops.json").read_text())
    assert len(steps) == len(cpu.steps) >= 2
    for step in steps:
        waits = [stop for stop in step if stop["what"] != "to the device"]  # MACE brings its batch there
        assert not [stop for stop in step if stop["is_own"]]
        assert len(waits) == OF_MACE, "the count has seen too little or too much"


def test_a_tensor_left_on_the_cpu_ends_the_training(half_labelled, tmp_path):
    status, output = pretended(tmp_path, planted="1", train_file=half_labelled)
    assert status != 0 and "Expected all tensors to be on the same device" in output


def test_potentials_calculators_and_features():
    """Of a checkpoint; TorchScript's interpreter cannot hold pretended tensors."""
    model = DATA / "golden" / "mace.model"
    done = warm.run([sys.executable, WORKER.with_name("potential_pretended_worker.py"), model])
    assert done.returncode == 0, done.stderr[-3000:]
    for name, (difference, size) in json.loads(done.stdout.splitlines()[-1]).items():
        assert size > 0.01 and difference < 1e-5 * size, name
