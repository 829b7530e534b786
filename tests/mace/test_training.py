"""Trainings with Hessians by MACE's own command, in the ways that people train."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from ase.io import read

from hint_plugin.data import HessianLabel, read_label, write_label
from mace_runs import (
    CELLS,
    HINT,
    MOLECULES,
    PROJECTED,
    SMALL,
    Run,
    killed_in_epoch,
    train,
    train_hint,
    write_frames,
)

#: All training structures in one batch: its composition, and so its loss, does not depend on the order.
WHOLE = {"valid_fraction": 0.2, "batch_size": 12}


def labels_in_log(run: Run) -> tuple[int, int]:
    """(labelled, all) training structures as the log says."""
    found = re.search(r"HINT: (\d+) of (\d+) training structures", run.log)
    assert found is not None
    return int(found.group(1)), int(found.group(2))


def final_table(log: str) -> list[list[str]]:
    """Cells of the last table of errors."""
    rows = log.rsplit("Error-table on TRAIN and VALID:", 1)[1].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("|")]


# ------------------------------------------------------------------------------------------------ losses


@pytest.mark.parametrize("loss", ["hint_column", "hint_full", "hint_difference"])
def test_losses(tmp_path, loss):
    run = train_hint(tmp_path, loss=loss, max_num_epochs=3, lr=0.02)
    assert f"mode={loss.removeprefix('hint_')}" in run.log
    assert labels_in_log(run) == (12, 12)
    assert run.validations[-1]["rmse_hessian"] < 0.99 * run.validations[0]["rmse_hessian"]


def test_kernels_serve_maces_own_losses(tmp_path):
    """Asked for, they do not change what is trained."""
    options = dict(loss="weighted", max_num_epochs=2, correlation=3, default_dtype="float64")
    stock = train(tmp_path / "stock", **options)
    fast = train(tmp_path / "fast", **options, hint_kernels="fast")
    assert "parts of MACE by kernels of its own" in fast.log
    assert "by kernels of its own" not in stock.log
    wanted, found = stock.weights(), fast.weights()
    assert all(torch.allclose(found[name], value, atol=1e-8) for name, value in wanted.items())
    assert "HINT" not in train(tmp_path / "off", **options, hint_kernels="mace").log


def test_hutchinson_learns_what_energies_and_forces_do_not(trained, tmp_path):
    """Same seed and epochs: the Hessian error falls, and falls below that of stock MACE."""
    errors = [line["rmse_hessian"] for line in trained.validations]
    assert errors[-1] < 0.5 * errors[0]
    from hint_plugin.mace.predictor import MacePredictor

    stock = train(tmp_path, loss="weighted", max_num_epochs=8, lr=0.02, correlation=3, num_interactions=2)
    frames = read(MOLECULES, ":")

    def error(run: Run) -> float:
        found = MacePredictor(run.model_path).predict(frames, hessian=True)
        return float(
            np.mean(
                [
                    np.abs(p.hessian.numpy() - a.info["REF_hessian"]).mean()
                    for p, a in zip(found, frames, strict=True)
                ]
            )
        )

    assert error(trained) < 0.8 * error(stock)


def test_first_loss_is_base_plus_weight_times_hessian(tmp_path):
    """With another weight, and with labels twice as large, by exactly what the formula says."""
    frames = read(MOLECULES, ":")
    for atoms in frames:
        write_label(atoms, HessianLabel.full(2 * atoms.info["REF_hessian"]))
    doubled = write_frames(tmp_path / "doubled.xyz", frames)
    common = {**WHOLE, "lr": 0.0, "hint_clip": 0, "hint_schedule": "constant", "hint_validation_probes": 0}
    base = train(
        tmp_path / "base", loss="weighted", **{k: v for k, v in common.items() if "hint" not in k}
    ).steps[0]
    one = train_hint(tmp_path / "one", **common).steps[0] - base
    three = (
        train_hint(tmp_path / "three", **common, hint_weight_start=None, hint_weight_end=3.0).steps[0] - base
    )
    larger = train_hint(tmp_path / "larger", **common, train_file=doubled, hint_gate="no").steps[0] - base
    assert one > 1
    assert three == pytest.approx(3 * one, rel=1e-9)
    assert larger == pytest.approx(4 * one, rel=0.2)  # the model's own Hessian is small next to the labels


def test_half_labelled_data_with_rows_and_pairs(tmp_path):
    """Four full, four rows, four without, two pairs; each kind is used."""
    frames = read(MOLECULES, ":12")
    for index, atoms in enumerate(frames):
        if index % 3 == 1:
            write_label(atoms, HessianLabel.rows(atoms.info["REF_hessian"][:6], [0, 1], len(atoms)))
        elif index % 3 == 2:
            write_label(atoms, None)
    path = write_frames(tmp_path / "mixed.xyz", [*frames, *read(PROJECTED, ":2")])
    options = {"train_file": path, "valid_file": MOLECULES, "valid_fraction": None}
    auto = train_hint(tmp_path / "auto", **options)
    assert labels_in_log(auto) == (10, 14)
    losses = [
        train_hint(tmp_path / split, hint_split=split, **options).steps for split in ("always", "never")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert auto.validations[-1]["hessian_labels"] == 15


def test_projected_labels_alone(tmp_path):
    run = train_hint(
        tmp_path, train_file=PROJECTED, valid_file=MOLECULES, valid_fraction=None, max_num_epochs=8, lr=0.02
    )
    assert labels_in_log(run) == (5, 5)
    assert run.validations[-1]["rmse_hessian"] < 0.97 * run.validations[0]["rmse_hessian"]


# ------------------------------------------------------------------------------------ schedule, validation


def test_validation_does_not_see_the_ramp(tmp_path):
    """A model that does not move has one validation loss: final weight, fixed probes, whatever the epoch."""
    ramp = train_hint(
        tmp_path / "ramp", lr=0.0, max_num_epochs=3, hint_weight_start=0.0, hint_weight_end=5.0, **WHOLE
    )
    constant = train_hint(
        tmp_path / "constant",
        lr=0.0,
        hint_schedule="constant",
        hint_weight_start=None,
        hint_weight_end=5.0,
        **WHOLE,
    )
    losses = [line["loss"] for line in ramp.validations]
    assert len(losses) == 4
    assert losses == pytest.approx([constant.validations[0]["loss"]] * 4, rel=1e-12)
    first = ramp.validations[0]
    assert first["loss"] == pytest.approx(first["loss_without_hessian"] + first["hessian_loss"])
    steps = ramp.steps
    assert steps[0] < steps[1] < steps[2]  # while the training's own loss does ramp up


def test_best_checkpoint_and_patience_follow_the_validation(tmp_path):
    run = train_hint(
        tmp_path,
        max_num_epochs=4,
        lr=0.02,
        hint_weight_start=0.0,
        hint_weight_end=5.0,
        hint_validation_exact=0,
    )
    losses = [line["loss"] for line in run.validations[1:]]
    (kept,) = (tmp_path / "checkpoints").glob("*.pt")
    assert f"epoch-{int(np.argmin(losses))}." in kept.name
    stopped = train_hint(
        tmp_path / "patience", max_num_epochs=9, lr=0.0, patience=2, hint_weight_start=0.0, **WHOLE
    )
    assert "Stopping optimization after 2 epochs without improvement" in stopped.log


def test_restart_goes_on_where_the_schedule_was(tmp_path, monkeypatch):
    """Killed in epoch 2 of 4. MACE trains the saved epoch once more, so weights are not compared."""
    options = {**WHOLE, "max_num_epochs": 4, "lr": 0.0, "hint_weight_start": 0.0, "hint_weight_end": 4.0}
    options["save_all_checkpoints"] = True
    whole = train_hint(tmp_path / "whole", **options)
    killed_in_epoch(2, monkeypatch, tmp_path / "parts", **options)
    before = len(Run(tmp_path / "parts", "small", 1).of_mode("opt"))
    again = train_hint(tmp_path / "parts", **options, restart_latest=True)
    lines = again.of_mode("opt")[before:]
    wanted = {line["epoch"]: line["loss"] for line in whole.of_mode("opt")}
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["loss"] for line in lines] == pytest.approx([wanted[e] for e in (1, 2, 3)], rel=1e-9)
    assert len(set(wanted.values())) == 4


def test_stage_two_has_the_hessian_too_and_the_ramp_goes_on(tmp_path):
    run = train_hint(
        tmp_path,
        swa=True,
        start_swa=1,
        max_num_epochs=2,
        swa_energy_weight=1.0,
        swa_forces_weight=1.0,
        hint_weight_start=0.0,
        hint_weight_end=1000.0,
        hint_clip=0,
    )
    assert "Changing loss based on Stage Two Weights" in run.log
    assert (tmp_path / "small_stagetwo.model").exists()
    assert run.log.count("MAE eigenvalues / eV / A^2") == 2
    first, *_, last = run.steps
    assert first < 1e4 < 1e5 < last  # weights 0 and 1000 of the same schedule


def test_ema_validates_the_averaged_model(tmp_path):
    options = {"max_num_epochs": 2, "lr": 0.02}
    plain = train_hint(tmp_path / "plain", **options)
    averaged = train_hint(tmp_path / "ema", **options, ema=True, ema_decay=0.999)
    assert averaged.steps == pytest.approx(plain.steps)  # the training is the same
    last = [run.validations[-1]["rmse_hessian"] for run in (plain, averaged)]
    assert last[0] != pytest.approx(last[1], rel=1e-6)  # what is validated is not


def test_lbfgs_sees_frozen_probes_within_a_step(tmp_path, monkeypatch):
    from hint_plugin.mace import loss

    steps = []
    real = loss.draw_batch

    def spy(labels, mode, count, seed, step):
        steps.append(step)
        return real(labels, mode, count, seed, step)

    monkeypatch.setattr(loss, "draw_batch", spy)
    run = train_hint(
        tmp_path,
        lbfgs=True,
        max_num_epochs=2,
        clip_grad=1e9,
        hint_validation_exact=0,
        train_file=write_frames(tmp_path / "few.xyz", read(MOLECULES, ":4")),
        valid_file=MOLECULES,
        valid_fraction=None,
    )
    training = [step for step in steps if step >= 0]
    assert set(training) == {0, 1}
    assert training == sorted(training)
    assert training.count(0) > 3  # several closures
    assert run.validations[-1]["loss"] < run.validations[0]["loss"]


# ------------------------------------------------------------------------------------------------- bases


@pytest.mark.parametrize("base", ["universal", "stress", "huber"])
def test_bases_with_stress_on_periodic_cells(tmp_path, base):
    options = {
        "train_file": CELLS,
        "valid_fraction": 0.25,
        "batch_size": 3,
        "compute_stress": "True",
        "stress_weight": 10.0,
        "error_table": "PerAtomMAEstressvirials",
        "max_num_epochs": 2,
        "lr": 0.02,
    }
    run = train_hint(tmp_path, hint_base_loss=base, **options)
    first, last = run.validations[0], run.validations[-1]
    assert last["rmse_hessian"] < first["rmse_hessian"]
    assert first["mae_stress"] > 0
    stock = train(tmp_path / "stock", loss=base, **options)
    assert first["loss_without_hessian"] == pytest.approx(stock.validations[0]["loss"], rel=1e-9)
    assert "MAE Stress (Virials) / meV / A (A^3)" in final_table(run.log)[0]


# ------------------------------------------------------------------------------------------- fine-tuning


def test_naive_fine_tuning_from_a_local_model(trained, tmp_path):
    run = train_hint(
        tmp_path, foundation_model=trained.model_path, multiheads_finetuning="False", E0s="foundation"
    )
    assert run.validations[0]["rmse_hessian"] == pytest.approx(
        trained.validations[-1]["rmse_hessian"], rel=1e-6
    )


def test_lora(trained, tmp_path):
    run = train_hint(
        tmp_path,
        foundation_model=trained.model_path,
        multiheads_finetuning="False",
        E0s="foundation",
        lora="True",
        lora_rank=2,
        max_num_epochs=3,
        lr=0.01,
    )
    assert "Injecting LoRA" in run.log
    first, last = run.validations[0]["rmse_hessian"], run.validations[-1]["rmse_hessian"]
    assert first == pytest.approx(trained.validations[-1]["rmse_hessian"], rel=1e-6)
    assert last != pytest.approx(first, rel=1e-4)
    assert run.weights().keys() == trained.weights().keys()  # merged


def test_multihead_fine_tuning_with_replay(trained, tmp_path):
    """The replayed head has no Hessian labels, the new one has."""
    replay = read(MOLECULES, ":10")
    for atoms in replay:
        write_label(atoms, None)
    run = train_hint(
        tmp_path,
        foundation_model=trained.model_path,
        multiheads_finetuning="True",
        pt_train_file=write_frames(tmp_path / "replay.xyz", replay),
        pt_valid_file=write_frames(tmp_path / "replay_valid.xyz", replay[:3]),
        E0s="foundation",
        train_file=write_frames(tmp_path / "new.xyz", read(MOLECULES, "5:")),
    )
    assert set(run.model().heads) == {"pt_head", "Default"}
    labelled, everything = labels_in_log(run)
    assert 0 < labelled < everything
    assert "no Hessian label in validation set pt_head; the best checkpoint is that of Default" in run.log
    assert "by energies and forces alone" not in run.log
    table = final_table(run.log)
    assert "RMSE H / eV / A^2" in table[0]
    by_head = {line["head"]: line for line in run.validations}
    assert "rmse_hessian" in by_head["Default"] and "rmse_hessian" not in by_head["pt_head"]


# -------------------------------------------------------------------------------------------------- data


def test_hdf5_from_mace_prepare_data(tmp_path):
    from mace.cli.preprocess_data import main

    from mace_runs import arguments, run_in_process

    options = {"train_file": MOLECULES, "valid_fraction": 0.2, "r_max": 4.0, "num_process": 1, "seed": 1}
    for prefix, extra in (("with/", {"hint_labels": True}), ("without/", {})):
        given = {**options, "h5_prefix": prefix, **extra}
        run_in_process(main, tmp_path, ["mace_prepare_data", *arguments(given)])
    energies = {"atomic_numbers": "[1, 6, 7, 8]", "E0s": "{1: -10.0, 6: -50.0, 7: -70.0, 8: -100.0}"}
    files = {
        "train_file": tmp_path / "with" / "train",
        "valid_file": tmp_path / "with" / "val",
        "valid_fraction": None,
        **energies,
    }
    run = train_hint(tmp_path / "run", **files, batch_size=12, lr=0.0)
    assert labels_in_log(run) == (12, 12)
    same = train_hint(tmp_path / "xyz", **WHOLE, lr=0.0, **energies)
    assert run.steps == pytest.approx(same.steps, rel=1e-9)
    from hint_plugin.errors import DataError

    files["train_file"], files["valid_file"] = tmp_path / "without" / "train", tmp_path / "without" / "val"
    with pytest.raises(DataError, match="mace_prepare_data --hint_labels"):
        train_hint(tmp_path / "none", **files)


def test_lmdb(tmp_path):
    """MACE's LMDB keeps arrays of info as lists; labels come through."""
    from mace.tools.fairchem_dataset.lmdb_dataset_tools import LMDBDatabase

    for name, frames in (
        ("train", read(MOLECULES, ":8") + read(PROJECTED, ":2")),
        ("valid", read(MOLECULES, "12:")),
    ):
        folder = tmp_path / f"{name}_lmdb"
        folder.mkdir()
        with LMDBDatabase(folder / "data.aselmdb") as database:
            for atoms in frames:
                database.write(atoms, data={})  # ASE's default for data is one dict for all frames
    run = train_hint(
        tmp_path,
        train_file=tmp_path / "train_lmdb",
        valid_file=tmp_path / "valid_lmdb",
        valid_fraction=None,
        atomic_numbers="[1, 6, 7, 8]",
        E0s="{1: -10.0, 6: -50.0, 7: -70.0, 8: -100.0}",
    )
    assert labels_in_log(run) == (10, 10)
    assert run.validations[-1]["hessian_labels"] == 3


def test_workers_change_nothing(tmp_path):
    alone = train_hint(tmp_path / "alone", num_workers=0)
    helped = train_hint(tmp_path / "helped", num_workers=2)
    assert alone.steps == pytest.approx(helped.steps, rel=1e-12)
    a, b = alone.weights(), helped.weights()
    assert all(torch.allclose(a[key], b[key], rtol=0, atol=1e-12) for key in a)


def test_float32(tmp_path):
    run = train_hint(tmp_path, default_dtype="float32", max_num_epochs=2, lr=0.02)
    assert {p.dtype for p in run.model().parameters()} == {torch.float32}
    assert run.validations[-1]["rmse_hessian"] < run.validations[0]["rmse_hessian"]


def test_yaml_configuration(tmp_path):
    config = tmp_path / "config.yaml"
    options = {**SMALL, **HINT, "hint_probes": 2, "hint_weight_end": 7.0}
    config.write_text("".join(f"{key}: {str(value)!r}\n" for key, value in options.items()))
    from mace.cli.run_train import main

    from mace_runs import run_in_process

    run_in_process(main, tmp_path / "yaml", ["mace_run_train", "--config", str(config)])
    by_file = Run(tmp_path / "yaml", "small", 1)
    assert "probes=2, lambda_H=1.0 -> 7.0 (linear)" in by_file.log
    by_hand = train_hint(tmp_path / "hand", hint_probes=2, hint_weight_end=7.0)
    assert by_file.steps == by_hand.steps


def test_own_keys(tmp_path):
    frames = read(MOLECULES, ":")
    for atoms in frames:
        atoms.info["my_hessian"] = atoms.info.pop("REF_hessian")
    run = train_hint(
        tmp_path,
        train_file=write_frames(tmp_path / "own.xyz", frames),
        hint_hessian_key="my_hessian",
        lr=0.0,
        **WHOLE,
    )
    same = train_hint(tmp_path / "same", lr=0.0, **WHOLE)
    assert run.steps == pytest.approx(same.steps)


# ----------------------------------------------------------------------------------------------- reports


def test_results_and_table_hold_the_hessian_errors(trained):
    last = trained.validations[-1]
    for key in ("rmse_hessian", "mae_hessian", "mae_eigenvalues", "mae_frequencies", "hessian_loss"):
        assert last[key] > 0
    assert (last["hessian_labels"], last["hessian_exact"]) == (3, 2)
    head, *rows = final_table(trained.log)
    assert head[-5:] == [
        *("RMSE H / eV / A^2", "MAE H / eV / A^2", "MAE eigenvalues / eV / A^2"),
        *("relative H RMSE %", "relative H MAE %"),
    ]
    assert {row[0] for row in rows} == {"train_Default", "valid_Default"}
    assert all(float(cell) > 0 for row in rows for cell in row[-5:])
    valid = next(row for row in rows if row[0] == "valid_Default")
    best = min(trained.validations[1:], key=lambda line: line["loss"])
    assert float(valid[-5]) == pytest.approx(best["rmse_hessian"], abs=1e-3)
    assert float(valid[-1]) == pytest.approx(100 * best["mae_hessian"] / best["mean_hessian"], abs=0.01)


def test_numbers_of_the_validation_are_those_of_the_model(trained):
    """Against exact Hessians: the mean absolute error exactly, the estimate with probes within its noise."""
    from hint_plugin.mace.predictor import MacePredictor

    indices = [
        int(i) for i in re.search(r"following indices: \[([\d, ]+)\]", trained.log).group(1).split(",")
    ]
    frames = [read(MOLECULES, ":")[i] for i in indices]
    found = list(MacePredictor(trained.model_path).predict(frames, hessian=True))
    errors = [p.hessian.numpy() - read_label(a).hessian for p, a in zip(found, frames, strict=True)]
    labels = [np.asarray(read_label(a).hessian) for a in frames]
    best = min(trained.validations[1:], key=lambda line: line["loss"])
    exact = np.concatenate([np.abs(e).ravel() for e in errors[:2]]).mean()
    assert best["mae_hessian"] == pytest.approx(exact, rel=1e-6)
    rmse = np.sqrt(np.mean([np.mean(e**2) for e in errors]))
    assert best["rmse_hessian"] == pytest.approx(rmse, rel=0.5)
    # the sizes of the references stand beside the errors
    assert best["mean_hessian"] == pytest.approx(
        np.concatenate([np.abs(h).ravel() for h in labels[:2]]).mean()
    )
    assert best["mean_eigenvalues"] == pytest.approx(
        np.concatenate([np.abs(np.linalg.eigvalsh(h)) for h in labels[:2]]).mean()
    )
    assert best["rms_hessian"] == pytest.approx(np.sqrt(np.mean([np.mean(h**2) for h in labels])), rel=0.5)
    forces = np.concatenate([a.arrays["REF_forces"].ravel() for a in frames])
    assert best["mean_forces"] == pytest.approx(np.abs(forces).mean())
    assert best["rms_forces"] == pytest.approx(np.sqrt((forces**2).mean()))
    assert best["mean_frequencies"] > 500
    line = next(
        line for line in trained.log.splitlines() if f"Epoch {best['epoch']}: head: Default, RMSE_H" in line
    )
    assert f"MAE_hessian={best['mae_hessian']:.4f} of {best['mean_hessian']:.4f} eV/A^2" in line
    assert f"reference forces: mean |F|={1e3 * best['mean_forces']:.2f}, RMS=" in line


def test_wandb_offline_run_holds_the_hessian_errors(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    try:
        train_hint(
            tmp_path,
            wandb=True,
            wandb_project="hint",
            wandb_entity="none",
            wandb_name="run",
            wandb_dir=tmp_path,
        )
    finally:
        wandb.finish()
        wandb.teardown()  # its service writes the file; wait for it
    (path,) = tmp_path.rglob("*.wandb")
    written = path.read_bytes()
    assert b"valid_rmse_f" in written  # MACE's own
    for key in (b"valid_rmse_hessian", b"valid_mae_eigenvalues", b"valid_Default_final_mae_hessian"):
        assert key in written


def test_exact_hessians_are_compared_at_every_nth_validation(tmp_path):
    run = train_hint(tmp_path, max_num_epochs=7, eval_interval=2, hint_exact_interval=2)
    assert ["mae_hessian" in line for line in run.validations] == [True, False, True, False, True]
