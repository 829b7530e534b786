"""What a user reads when something cannot work: one sentence, with what was got, wanted, and to be done."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import read

from hint_plugin.errors import DataError, HintError, LabelError
from mace_runs import DATA, HINT, MOLECULES, SMALL, Run, failing, run_command, train_hint, write_frames


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (
            {"loss": "weighted", "hint_probes": 2},
            "--hint_probes has no effect with --loss weighted; wanted --loss hint_",
        ),
        (
            {"loss": "universal", "hint_weight_end": 2},
            "--hint_weight_end has no effect with --loss universal",
        ),
        ({"loss": "hint_hutchinson", "hint_probes": 0}, "--hint_probes: got 0; wanted 1 or more"),
        ({"loss": "hint_hutchinson", "hint_every": -1}, "--hint_every: got -1; wanted 1 or more"),
        (
            {"loss": "hint_column", "hint_validation_exact": -1},
            "--hint_validation_exact: got -1; wanted 0 or more",
        ),
        (
            {"loss": "hint_full", "hint_huber_delta": 0},
            "--hint_huber_delta: got 0.0; wanted a positive number",
        ),
        (
            {"loss": "hint_full", "hint_clip": -1},
            "--hint_clip: got -1.0; wanted 0 (off) or a positive number",
        ),
        (
            {"loss": "hint_difference", "hint_difference_step": -0.1},
            "--hint_difference_step: got -0.1; wanted a pos",
        ),
        ({"loss": "hint_full", "hint_weight_end": -1}, "a weight is negative: start 10.0, end -1.0"),
        (
            {"loss": "hint_full", "hint_weight_end": "nan"},
            "--hint_weight_end: got nan; wanted a finite number",
        ),
        (
            {"loss": "hint_full", "hint_schedule": "step", "hint_schedule_steps": "much"},
            "wanted 'fraction:weight,fraction:weight'",
        ),
        (
            {"loss": "hint_full", "hint_schedule": "step"},
            "--hint_schedule step needs --hint_schedule_steps, as 0.3:5,0.7:50",
        ),
        (
            {"loss": "hint_full", "hint_schedule_steps": "0.5:1"},
            "--hint_schedule_steps needs --hint_schedule step",
        ),
        (
            {"loss": "hint_full", "hint_schedule": "cosine"},
            "argument --hint_schedule: invalid choice: 'cosine'",
        ),
        (
            {"loss": "hint_full", "hint_base_loss": "dipole"},
            "argument --hint_base_loss: invalid choice: 'dipole'",
        ),
        ({"loss": "hint_full", "hint_nonsense": 1}, "unrecognized arguments: --hint_nonsense 1"),
        ({"loss": "hint_nonsense"}, "argument --loss: invalid choice: 'hint_nonsense'"),
        (
            {"loss": "hint_full", "hint_weight": "auto", "lbfgs": True},
            "--hint_weight auto changes the function that --lbfgs minimises between its steps",
        ),
        (
            {"loss": "hint_full", "hint_weight": "auto", "hint_weight_start": 3},
            "--hint_weight_start 3.0 has no effect here; --hint_weight auto has --hint_ratio_start",
        ),
        (
            {"loss": "hint_full", "hint_ratio_end": 2},
            "--hint_ratio_end 2.0 has no effect here; it needs --hint_weight auto",
        ),
        (
            {"loss": "hint_full", "hint_weight": "auto", "hint_ratio_start": 0, "hint_ratio_end": 0},
            "--hint_ratio_end: got 0, so that no Hessian would be trained",
        ),
        (
            {"loss": "hint_full", "hint_weight": "auto", "hint_schedule": "step", "hint_schedule_steps": "1"},
            "wanted 'fraction:weight,fraction:weight'",
        ),
        (
            {"loss": "hint_full", "stage_two": True, "max_num_epochs": 9, "eval_interval": 5, "start_swa": 6},
            "--stage_two begins in epoch 6, and from there to the last, 8, none is validated with --eval_int",
        ),
        (
            {"loss": "hint_full", "stage_two": True, "max_num_epochs": 1},
            "--stage_two begins in epoch 1, and from there to the last, 0, none is validated",
        ),
        (
            {"loss": "hint_full", "hint_normalise": "eq5"},
            "argument --hint_normalise: invalid choice: 'eq5'",
        ),
        ({"loss": "hint_full", "model": "AtomicDipolesMACE"}, "--model AtomicDipolesMACE has no forces"),
        (
            {"loss": "hint_full", "model": "EnergyDipolesMACE"},
            "--model EnergyDipolesMACE trains with MACE's --loss energy_forces_dipole alone",
        ),
        (
            {"loss": "hint_full", "device": "mps"},
            "--device mps has no double precision; wanted --default_dtype float32",
        ),
        (
            {
                "loss": "hint_full",
                "hint_schedule": "step",
                "hint_schedule_steps": "0.5:3",
                "hint_weight_end": 80,
            },
            "--hint_weight_end 80.0 has no effect here; with --hint_schedule step the end weight is the last",
        ),
        (
            {"loss": "hint_full", "hint_schedule": "constant", "hint_weight_start": 5},
            "--hint_weight_start 5.0 has no effect here; --hint_schedule constant has --hint_weight_end",
        ),
        (
            {"loss": "hint_full", "hint_huber_delta": 2},
            "--hint_huber_delta 2.0 has no effect here; it needs --hint_penalty huber",
        ),
        (
            {"loss": "hint_full", "hint_difference_step": 0.01},
            "--hint_difference_step 0.01 has no effect here; it needs --loss hint_difference",
        ),
        (
            {"loss": "hint_full", "hint_probes": 2},
            "--hint_probes 2 has no effect here; --loss hint_full takes",
        ),
        (
            {"loss": "hint_hutchinson", "device": "cuda", "enable_cueq": "True"},
            "--enable_cueq kernels have no third derivative on a GPU; use --loss hint_difference",
        ),
        (
            {"loss": "hint_full", "device": "cuda", "enable_oeq": "True", "hint_check": "no"},
            "--enable_oeq with --hint_check no: OpenEquivariance has third derivatives since version 0.6.7; "
            "leave the check on, which sees whether this one has, or use --loss hint_difference",
        ),
    ],
)
def test_command_lines(tmp_path, capsys, options, wanted):
    assert wanted in failing(capsys, tmp_path, **options)


def test_unknown_key_in_a_yaml_file(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text("hint_wieght_end: 3\n")
    assert "unrecognized arguments: --hint_wieght_end" in failing(capsys, tmp_path, **HINT, config=config)


def test_no_labels(tmp_path, molecules):
    for atoms in molecules:
        del atoms.info["REF_hessian"]
    path = write_frames(tmp_path / "none.xyz", molecules)
    with pytest.raises(
        DataError, match=r"none of the 12 training structures.*info 'REF_hessian' .*`hint label`"
    ):
        train_hint(tmp_path, train_file=path)


def test_no_labels_in_the_validation_set_is_a_warning(tmp_path, molecules):
    for atoms in molecules[10:]:
        del atoms.info["REF_hessian"]
    train = write_frames(tmp_path / "train.xyz", molecules[:10])
    valid = write_frames(tmp_path / "valid.xyz", molecules[10:])
    run = train_hint(tmp_path, train_file=train, valid_file=valid, valid_fraction=None)
    assert "no Hessian label in validation set Default: the best checkpoint is chosen" in run.log
    assert "rmse_hessian" not in run.validations[-1]


def bad_file(folder: Path, molecules) -> Path:
    molecules[3].info["REF_hessian"] = np.zeros((6, 6))
    nan = np.array(molecules[7].info["REF_hessian"])
    nan[0, 0] = np.nan
    molecules[7].info["REF_hessian"] = nan
    return write_frames(folder / "bad.xyz", molecules)


def test_malformed_labels_are_named_by_file_and_frame(tmp_path, molecules):
    path = bad_file(tmp_path, molecules)
    with pytest.raises(LabelError) as error:
        train_hint(tmp_path / "run", train_file=path)
    text = str(error.value)
    assert text.startswith("2 malformed labels:")
    assert f"{path}, frame 3 (CHN): REF_hessian: the Hessian has shape (6, 6); wanted (9, 9)" in text
    assert f"{path}, frame 7 (CH4): " in text and "NaN" in text
    assert not list((tmp_path / "run").rglob("*.pt"))  # nothing was trained


WRONG = {
    "zeros": "Is it a placeholder?",
    "minus": "Its sign is wrong",
    "permuted": "Are its atoms in another order",
    "xxx_yyy_zzz": "sorted by axis",
    "kcal": "It looks like kcal/mol/A^2",
    "mass_weighted": "It is mass-weighted",
}


@pytest.mark.parametrize("name", WRONG)
def test_each_kind_of_wrong_label_ends_a_training(tmp_path, molecules, name):
    wrong = read(DATA / "cases" / "labels" / f"{name}.xyz")
    write_frames(tmp_path / "set.xyz", [*molecules[:6], wrong])
    files = {"train_file": tmp_path / "set.xyz", "valid_file": MOLECULES, "valid_fraction": None}
    with pytest.raises(LabelError) as error:
        train_hint(tmp_path / "run", **files)
    text = str(error.value)
    assert text.startswith("1 malformed label:\n") and "set.xyz, frame 6 (CH4O): REF_hessian: " in text
    assert WRONG[name] in text and "?." not in text


def test_the_command_ends_with_the_sentence_and_no_traceback(tmp_path, molecules):
    path = bad_file(tmp_path, molecules)
    done = run_command("mace_run_train", tmp_path, {**SMALL, **HINT, "train_file": path}, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-3] == "error: 2 malformed labels:"


def test_products_that_are_wrong_are_found_before_training(tmp_path, monkeypatch):
    """A model whose forces are right and whose H v is not, as kernels without a third derivative give."""
    modules = importlib.import_module("mace.modules.models")
    real = modules.get_outputs

    def detached_part(*args, **kwargs):
        out = list(real(*args, **kwargs))
        out[0] = 0.5 * out[0] + 0.5 * out[0].detach()
        return tuple(out)

    monkeypatch.setattr(modules, "get_outputs", detached_part)
    with pytest.raises(
        HintError, match=r"differs from differences of its forces by .*use --loss hint_difference"
    ):
        train_hint(tmp_path)
    assert "H v agrees" not in Run(tmp_path, "small", 1).log  # not what the error denies
    run = train_hint(tmp_path / "difference", loss="hint_difference")
    assert torch.isfinite(torch.tensor(run.steps)).all()
    assert len(train_hint(tmp_path / "unchecked", hint_check="no").steps) == 3


def test_a_gradient_of_products_that_is_wrong_is_found_before_training(tmp_path, monkeypatch):
    """H v is right, half of its gradient to the parameters is missing: a wrong third derivative."""
    module = importlib.import_module("hint_plugin.mace.verify")
    real = module.hvp_from_forces

    def half(*args, **kwargs):
        products = real(*args, **kwargs)
        return 0.5 * products + 0.5 * products.detach()

    monkeypatch.setattr(module, "hvp_from_forces", half)
    with pytest.raises(HintError, match=r"gradient of H v .* by 1.0e\+00 .*third derivative"):
        train_hint(tmp_path)
