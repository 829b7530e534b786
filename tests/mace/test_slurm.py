"""configs/slurm/train-mace.sh by a fake Slurm: two processes on CPUs by `mace_gloo_worker`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from fake_slurm import program, sbatch

from hint_plugin.data import write_label
from mace_runs import HINT, MOLECULES, SMALL, Run, arguments, train_hint, write_frames

WORKER = Path(__file__).parents[1] / "helpers" / "mace_gloo_worker.py"


@pytest.fixture
def job(tmp_path):
    """Twelve frames for training and two for validation, one of each with a label; MACE on gloo."""
    frames = read(MOLECULES, ":14")
    for atoms in [*frames[:7], *frames[8:12], frames[13]]:
        write_label(atoms, None)
    write_frames(tmp_path / "train.xyz", frames[:12])
    write_frames(tmp_path / "valid.xyz", frames[12:])
    program(tmp_path / "bin", "mace_run_train", f"import runpy\nrunpy.run_path({str(WORKER)!r})")
    return tmp_path


@pytest.mark.long
def test_torchrun_on_two_nodes_dies_and_srun_on_one_continues(job):
    """Losses as in one process although one of the two has no label, with `--hint_every 2`."""
    left_out = (
        "name",
        "train_file",
        "valid_fraction",
        "E0s",
        "batch_size",
        "max_num_epochs",
        "device",
        "seed",
    )
    options = {
        **{key: value for key, value in {**SMALL, **HINT}.items() if key not in left_out},
        "hint_every": 2,
        "hint_check": "no",  # has tests of its own
        "scaling": "no_scaling",  # MACE takes these from the structures of one process
        "compute_avg_num_neighbors": "False",
        "avg_num_neighbors": 4.0,
    }
    settings = {
        **{"NAME": "small", "TRAIN": "train.xyz", "VALID": "valid.xyz", "STATISTICS": "none", "OUT": "mace"},
        **{"BATCH": 6, "EPOCHS": 3, "DEVICE": "cpu", "LR": 0.02, "WEIGHT": "--hint_weight given"},
    }
    out = job / "mace"

    def submit(slurm, **environment):
        return sbatch(
            "train-mace.sh", *arguments(options), folder=job, slurm=slurm, **settings, **environment
        )

    nodes = {"nodes": 2, "gpus-per-node": 1}
    first = submit(nodes, STOP_AFTER_STEPS=2)
    assert first.returncode != 0 and not (out / "finished").exists(), first.stdout[-3000:]
    two = [json.loads((out / f"rank{rank}.json").read_text())["steps"] for rank in (0, 1)]
    one = train_hint(
        job / "one",
        **{
            **options,
            "train_file": job / "train.xyz",
            "valid_file": job / "valid.xyz",
            "valid_fraction": None,
        },
        **{"batch_size": 12, "max_num_epochs": 3, "lr": 0.02, "forces_weight": 100, "ema": True},
        **{"scheduler": "ExponentialLR", "lr_scheduler_gamma": 0.98},
    )
    assert np.mean(two, axis=0) == pytest.approx(one.steps[:2], rel=1e-6)
    assert one.steps[1] < one.steps[0]

    second = submit({"ntasks-per-node": 2, "cpus-per-task": 1})
    assert second.returncode == 0, second.stdout[-3000:]
    run = Run(out, "small", 1)
    assert "Loading checkpoint: ./checkpoints/small_run-1_epoch-0.pt" in run.log
    assert (out / "finished").is_file() and run.model_path.is_file()
    seen = [json.loads((out / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert seen[0]["validations"] == seen[1]["validations"] and len(seen[0]["steps"]) == 3
    epochs = [line["epoch"] for line in run.of_mode("eval")]  # both processes write the initial one
    assert epochs == [None, None, 0, None, None, 0, 1, 2]

    third = submit(nodes)
    assert third.returncode == 0 and "this training is complete" in third.stdout
