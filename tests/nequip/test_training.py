"""Trainings with Hessians by `nequip-train`, in the ways that people train."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import numpy as np
import torch
import warm
from nequip_runs import (
    BUILDERS,
    MOLECULES,
    ROOT,
    Run,
    callbacks,
    command,
    frames_of,
    mixed_labels,
    model_config,
    recorded,
    recorder,
    run_command,
    train,
    train_command,
)

from hint_plugin.data import write_frames, write_label
from hint_plugin.nequip.predictor import NequipPredictor

TERMS = ("per_atom_energy_mse", "forces_mse", "hessian")


def assert_same_weights(found: Run, wanted: Run) -> None:
    one, other = found.weights(), wanted.weights()
    assert one.keys() == other.keys()
    for name, value in other.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(one[name], value), name


# the command ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/training-nequip.md"])
def test_the_command_as_documented(tmp_path, page):
    """The line of the page as it stands, but for a smaller model and two epochs; README's has a test set."""
    lines = (ROOT / page).read_text().splitlines()
    line = next(text.strip() for text in lines if text.startswith("    nequip-train -cp $PWD/configs/nequip"))
    for name in ("labelled", "train", "valid", "test"):
        (tmp_path / f"{name}.xyz").symlink_to(MOLECULES)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    sizes = {"num_layers": 2, "num_features": 4, "radial_mlp_depth": 1, "radial_mlp_width": 8}
    more = [
        *("hydra.run.dir=.", "trainer.max_epochs=2", "trainer.accelerator=cpu"),
        *(f"training_module.model.{name}={value}" for name, value in sizes.items()),
    ]
    folder = Path(command("nequip-train")).parent if page == "README.md" else warm.bin_folder()
    line = line.replace("nequip-train", str(folder / "nequip-train"), 1)
    run_command(tmp_path, "bash", "-c", " ".join([line, *more]))
    run = Run(tmp_path, "")
    for name in ("hessian_rmse", "forces_rmse", "weighted_sum"):
        assert len(run.values(f"val0_epoch/{name}")) == 2
        if page == "README.md":
            assert len(run.values(f"test0_epoch/{name}")) == 1
    for name in ("hessian_mae", "eigenvalues_mae", "frequencies_mae"):
        assert len(run.values(f"val0_epoch/{name}")) == 1  # every tenth epoch
    assert len(run.values("train_loss_epoch/hessian")) == 2
    assert (tmp_path / "best.ckpt").is_file() and run.checkpoint.is_file()


@pytest.mark.parametrize("kind", list(BUILDERS))
def test_architectures(kind, trained):
    run = trained[kind]
    for name in ("val0_epoch/hessian_rmse", "val0_epoch/weighted_sum", "train_loss_epoch/hessian"):
        first, second = run.values(name)
        assert np.isfinite([first, second]).all() and first != second


@pytest.mark.parametrize(("kind", "epochs"), [("NequIP", 15), ("AlphaNet", 8)])
def test_hessians_are_learnt(tmp_path, kind, epochs):
    """Far better than by the same training on energies and forces."""
    model = model_config(kind, num_layers=1) if kind == "NequIP" else model_config(kind, layers=1)
    errors = {}
    for name, start, end in (("plain", 0.0, 0.0), ("hessian", 1.0, 1.0)):
        options = {
            "training_module.model": model,
            "training_module.loss.coeffs": {"total_energy": 1.0, "forces": 10.0},
            "trainer.max_epochs": epochs,
            "trainer.gradient_clip_val": 1.0,
            "training_module.optimizer.lr": 0.02,
            **callbacks(
                {
                    "_target_": "hint_plugin.nequip.HessianCurriculum",
                    "coeffs": {"per_atom_energy_mse": 1.0, "forces_mse": 10.0, "hessian": end},
                    "start": start,
                },
                without="HessianCurriculum",
            ),
        }
        run = train(tmp_path / name, options)
        errors[name] = run.values("val0_epoch/hessian_rmse")
    assert errors["hessian"][-1] < 0.7 * errors["hessian"][0]
    assert errors["hessian"][-1] < 0.7 * errors["plain"][-1]


# the curriculum ---------------------------------------------------------------------------------------------


def test_curriculum_step_by_step(tmp_path):
    """10 : 100 : lambda_H, from 10 to 80 in six steps; each step has probes of its own."""
    train(tmp_path, callbacks(recorder(tmp_path / "seen")))
    seen = recorded(tmp_path / "seen")
    assert [row["step"] for row in seen] == [row["probes"] for row in seen] == list(range(6))
    ratios = [[row["coeffs"][name] / row["coeffs"]["forces_mse"] * 100 for name in TERMS] for row in seen]
    np.testing.assert_allclose(ratios, [[10, 100, lambda_h] for lambda_h in np.linspace(10, 80, 6)])


def test_nequips_own_scheduler(tmp_path):
    """In a straight line between coefficients that are divided by their sums."""
    final = dict(zip(TERMS, (10.0, 100.0, 890.0), strict=True))
    schedule = {
        "_target_": "nequip.train.callbacks.LinearLossCoefficientScheduler",
        "final_coeffs": final,
        "transition_epochs": 2,
    }
    options = callbacks(schedule, recorder(tmp_path / "seen"), without="HessianCurriculum")
    train(tmp_path, {**options, "trainer.max_epochs": 3, "data.train_dataloader.batch_size": 15})
    found = [row["coeffs"]["hessian"] for row in recorded(tmp_path / "seen")]
    np.testing.assert_allclose(found, [80 / 190, (80 / 190 + 0.89) / 2, 0.89])


# going on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["EMALightningModule", "NequIPLightningModule"])
def test_restart_is_the_uninterrupted_training(tmp_path, module):
    """Killed in epoch 1 of 3: the same probes, losses, curriculum, and in the end the same weights.

    Frames come in the order of the file: NequIP 0.19.1 shuffles anew when it is restarted.
    """
    options = {
        "training_module._target_": f"nequip.train.{module}",
        "trainer.max_epochs": 3,
        "data.train_dataloader.shuffle": False,
    }
    if module == "NequIPLightningModule":
        options["training_module.ema_decay"] = None
    whole = train(tmp_path / "whole", {**options, **callbacks(recorder(tmp_path / "whole.seen"))})
    with pytest.raises(InterruptedError):
        interrupt = {"_target_": "nequip_runs.Interrupt", "epoch": 1}
        train(tmp_path / "parts", {**options, **callbacks(interrupt)})
    last = tmp_path / "parts" / "last.ckpt"
    assert torch.load(last, weights_only=False)["epoch"] == 0
    again = {**callbacks(recorder(tmp_path / "again.seen")), "ckpt_path": str(last)}
    assert_same_weights(train(tmp_path / "parts", {**options, **again}), whole)
    wanted, found = recorded(tmp_path / "whole.seen"), recorded(tmp_path / "again.seen")
    assert [row["step"] for row in found] == list(range(3, 9))
    for row, other in zip(found, wanted[3:], strict=True):
        assert row["probes"] == other["probes"] and row["coeffs"] == other["coeffs"]
        assert row["terms"] == other["terms"]


@pytest.mark.parametrize("source", ["checkpoint", "package"])
def test_fine_tuning(tmp_path, trained, packaged, source):
    """From what another training has left, Hessians from the first step on."""
    start = trained["NequIP"].checkpoint if source == "checkpoint" else packaged["NequIP"]
    model = {
        "_target_": "hint_plugin.nequip.HessianModel",
        "builder": f"nequip.model.ModelFrom{source.capitalize()}",
        f"{source}_path": str(start),
        "hessian": {"probes": 2},
    }
    options = {
        "training_module.model": model,
        "training_module.optimizer.lr": 1e-3,
        "trainer.max_epochs": 1,
        **callbacks(recorder(tmp_path / "seen")),
    }
    run = train(tmp_path, options)
    before = trained["NequIP"].values("val0_epoch/forces_rmse")[-1]
    after = run.values("val0_epoch/forces_rmse")[-1]
    assert after == pytest.approx(before, rel=0.2) and after != before
    first = recorded(tmp_path / "seen")[0]
    assert first["probes"] == 0 and first["terms"]["hessian"] > 0
    frames = frames_of(MOLECULES, ":3")
    old, new = (
        [found.energy for found in NequipPredictor(path).predict(frames)] for path in (start, run.checkpoint)
    )
    np.testing.assert_allclose(new, old, atol=0.5)
    assert new != old


# data -------------------------------------------------------------------------------------------------------


def test_nequips_own_data_module_trains_the_same(tmp_path):
    """By the transform `HessianLabels`: the same weights."""
    names = ["REF_hessian", "config_hessian_weight"]
    stock = {
        "data._target_": "nequip.data.datamodule.ASEDataModule",
        "data.include_keys": names,
        "data.transforms": [
            {"_target_": "hint_plugin.nequip.HessianLabels"},
            {
                "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                "model_type_names": "${chemical_symbols}",
            },
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": "${cutoff_radius}"},
        ],
    }
    assert_same_weights(train(tmp_path / "stock", stock), train(tmp_path / "own"))


def test_labels_of_all_kinds_and_crystals_with_stress(tmp_path, molecules, cells):
    """Half of the frames labelled, stresses where there are any, batches with no label at all."""
    frames = [atoms.copy() for atoms in molecules[:8]]
    for atoms, label in zip(frames, mixed_labels(molecules[:8]), strict=True):
        write_label(atoms, label)
    for number, atoms in enumerate(cells[:4]):
        crystal = atoms.copy()
        if number % 2:
            write_label(crystal, None)
        frames.append(crystal)
    write_frames(tmp_path / "mixed.h5", frames)
    options = {
        "chemical_symbols": ["H", "C", "N", "O", "Cu", "Au"],
        "atomic_energies": {"H": -14.1, "C": -57.1, "N": -77.5, "O": -109.5, "Cu": 0.0, "Au": 0.0},
        "train_file": str(tmp_path / "mixed.h5"),
        "valid_file": str(tmp_path / "mixed.h5"),
        "data.stress": True,
        "data.key_mapping.REF_stress": "stress",
        "data.train_dataloader.batch_size": 12,  # NequIP's loss of the stress is 0/0 for a molecule alone
        "training_module.loss._target_": "nequip.train.EnergyForceStressLoss",
        "training_module.loss.coeffs.stress": 1.0,
        "training_module.loss.ignore_nan": {"stress": True},
        "trainer.max_epochs": 1,
        **callbacks(recorder(tmp_path / "seen"), without="HessianCurriculum"),
    }
    train(tmp_path / "whole", options)
    (row,) = recorded(tmp_path / "seen")
    assert np.isfinite(list(row["terms"].values())).all() and torch.isfinite(row["gradient"]).all()
    del options["training_module.loss.coeffs.stress"], options["training_module.loss.ignore_nan"]
    options |= {"training_module.loss._target_": "nequip.train.EnergyForceLoss", "data.stress": False}
    train(tmp_path / "singles", {**options, "data.train_dataloader.batch_size": 1})
    rows = recorded(tmp_path / "seen")
    hessian = [row["terms"]["hessian"] for row in rows]
    assert np.isfinite(hessian).all() and sum(value == 0 for value in hessian) == 4
    assert all(torch.isfinite(row["gradient"]).all() and row["gradient"].any() for row in rows)


# several processes ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one(tmp_path, molecules):
    """By NequIP's own strategy; two of six frames are labelled, in one process or in both; in validation only
    one is, so that the other process has none.

    Lightning shuffles what several processes train on, so one batch is all frames, and weights stay.
    """
    frames = [atoms.copy() for atoms in molecules[:6]]
    for number in (0, 3, 4, 5):
        write_label(frames[number], None)
    write_frames(tmp_path / "train.xyz", frames)
    valid = [atoms.copy() for atoms in molecules[6:12]]
    for atoms in valid[1:]:
        write_label(atoms, None)
    write_frames(tmp_path / "valid.xyz", valid)
    common = {
        "train_file": str(tmp_path / "train.xyz"),
        "valid_file": str(tmp_path / "valid.xyz"),
        "training_module.optimizer.lr": 0.0,
        "training_module.lr_scheduler": None,
        "trainer.max_epochs": 3,
        "trainer.gradient_clip_val": None,
    }
    errors = {"_target_": "hint_plugin.nequip.HessianErrors", "structures": 6, "every": 5}

    def options(name: str, batch: int) -> dict:
        more = callbacks(errors, recorder(tmp_path / name), without="HessianErrors")
        return {**common, **more, "data.train_dataloader.batch_size": batch}

    one = train(tmp_path / "one", options("one.seen", 6))
    strategy = {"_target_": "nequip.train.SimpleDDPStrategy"}
    parallel = {"trainer.devices": 2, "trainer.strategy": strategy}
    two = train_command(tmp_path / "two", {**options("two.seen", 3), **parallel})
    wanted = recorded(tmp_path / "one.seen")
    ranks = [recorded(tmp_path / "two.seen", rank) for rank in (0, 1)]
    labelled = [[row["probes"] == row["step"] for row in rows] for rows in ranks]
    here = [sum(pair) for pair in zip(*labelled, strict=True)]
    assert len(wanted) == 3 and set(here) == {1, 2}  # processes that had a label
    for row, other in zip([*ranks[0], *ranks[1]], [*wanted, *wanted], strict=True):
        for name, value in other["terms"].items():
            assert row["terms"][name] == pytest.approx(value, rel=1e-9), name
        difference = float((row["gradient"] - other["gradient"]).abs().max())
        assert difference < 1e-10 * float(other["gradient"].abs().max())
    names = ("hessian_rmse", "frequencies_mae", "hessian_mae_relative", "forces_rms", "hessian_mean_abs")
    for name in [*(f"val0_epoch/{name}" for name in names), "train_loss_epoch/hessian"]:
        assert two.values(name) == pytest.approx(one.values(name), rel=1e-9)
    assert len(two.values("val0_epoch/frequencies_mae")) == 1
