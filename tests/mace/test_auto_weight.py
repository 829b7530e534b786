"""`--hint_weight auto` in trainings by MACE's own command: checkpoints, stage two, EMA, no weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.io import read

from hint_plugin.data import write_label
from hint_plugin.errors import OptionsError
from hint_plugin.mace.weight_state import KEY
from mace_runs import MOLECULES, Run, killed_in_epoch, train_hint, write_frames

#: In place of the weights of `HINT`.
AUTO = {"hint_weight": "auto", "hint_weight_start": None, "hint_weight_end": 5.0}
#: One step an epoch, so that nothing depends on the order of the frames, and a look at it each epoch.
STEPS = {"valid_fraction": 0.2, "batch_size": 12, "hint_validation_exact": 0, "hint_validation_probes": 1}


def state_in(folder):
    """Of the checkpoint of a run that kept one."""
    (path,) = (folder / "checkpoints").glob("*.pt")
    found = torch.load(path, weights_only=True)
    return found["optimizer"]["param_groups"][0][KEY], found["model"].keys()


def test_it_is_logged_and_goes_into_the_checkpoint(tmp_path):
    """The averaged weights (EMA) are those of a model that knows nothing of it; the training is the same."""
    plain = train_hint(tmp_path / "plain", **AUTO, **STEPS, max_num_epochs=3, lr=0.02)
    averaged = train_hint(tmp_path / "ema", **AUTO, **STEPS, max_num_epochs=3, lr=0.02, ema=True)
    assert averaged.steps == pytest.approx(plain.steps, rel=1e-9)
    shown = "lambda_H=auto, ratio of the gradients 0.2 -> 1.0 (linear), penalty=mse, normalise=elements"
    assert shown in plain.log
    first, *others = plain.validations
    assert "hint_weight" not in first  # nothing has been measured
    weights = [line["hint_weight"] for line in others]
    assert weights == pytest.approx(weights[0] * np.array([1.0, 3.0, 5.0]), rel=1e-9)  # one measurement
    assert others[0]["gradient_base"] / others[0]["gradient_hessian"] == pytest.approx(5 * weights[0])
    assert f"lambda_H={weights[2]:.4g} (gradients: energies and forces " in plain.log
    (state, names), (_, same) = state_in(tmp_path / "plain"), state_in(tmp_path / "ema")
    assert state["stage"] == 1 and state["end"]["measured"] == 1
    assert names == same == plain.weights().keys()


@pytest.mark.parametrize("stage_two", [False, True])
def test_restart_gives_the_numbers_of_the_uninterrupted_training(tmp_path, monkeypatch, stage_two):
    """Killed in the epoch after a measurement. MACE trains the saved epoch twice: parameters stand still."""
    options = {**AUTO, **STEPS, "lr": 0.0, "save_all_checkpoints": True, "max_num_epochs": 14}
    if stage_two:
        options |= {"swa": True, "start_swa": 5, "swa_lr": 0.0, "swa_forces_weight": 1e4}
    last = 6 if stage_two else 11
    whole = train_hint(tmp_path / "whole", **options)
    killed_in_epoch(last, monkeypatch, tmp_path / "parts", **options)
    before = len(Run(tmp_path / "parts", "small", 1).results)
    again = train_hint(tmp_path / "parts", **options, restart_latest=True)
    stage, measured = (2, 0) if stage_two else (1, 1)
    assert f"HINT: --hint_weight auto goes on from {measured} measurements of stage {stage}" in again.log
    epochs = list(range(last - 1, 14))
    for mode, key in (("opt", "loss"), ("eval", "hint_weight"), ("eval", "gradient_hessian")):
        wanted = {line["epoch"]: line[key] for line in whole.of_mode(mode) if key in line}
        lines = [
            line for line in again.results[before:] if line["mode"] == mode and line["epoch"] is not None
        ]
        assert [line["epoch"] for line in lines] == epochs
        assert [line[key] for line in lines] == pytest.approx([wanted[e] for e in epochs], rel=1e-9)
    keys = ("gradient_base", "gradient_hessian")
    measured = sorted({tuple(line[key] for key in keys) for line in whole.validations if keys[0] in line})
    assert len(measured) == 2
    if stage_two:  # which has forces of another weight, and is measured by itself
        assert measured[1][0] > 10 * measured[0][0]


def test_a_checkpoint_of_given_weights_is_measured_anew(tmp_path):
    options = {**STEPS, "lr": 0.0, "save_all_checkpoints": True}
    train_hint(tmp_path, **options, max_num_epochs=2)
    run = train_hint(tmp_path, **options, **AUTO, max_num_epochs=3, restart_latest=True)
    assert "the checkpoint was trained without --hint_weight auto: it is measured anew" in run.log
    assert run.validations[-1]["hint_weight"] > 0


def test_labels_without_energies_and_forces_beside_them_cannot_be_weighed(tmp_path):
    """Each in a batch of its own: nothing was trained on them, which is said after the first epoch."""
    frames = read(MOLECULES, ":6")
    for atoms in frames[:3]:
        atoms.info |= {"config_energy_weight": 0.0, "config_forces_weight": 0.0}
    for atoms in frames[3:]:
        write_label(atoms, None)
    options = {"train_file": write_frames(tmp_path / "apart.xyz", frames), "valid_file": MOLECULES}
    with pytest.raises(
        OptionsError, match=r"none of the 3 steps of epoch 0 with Hessian labels had a gradient"
    ):
        train_hint(tmp_path, **options, **AUTO, valid_fraction=None, batch_size=1)
