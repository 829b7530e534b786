"""configs/slurm/train-nequip.sh by a fake Slurm: real `nequip-train` in two processes on CPUs (gloo)."""

from __future__ import annotations

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import os
from pathlib import Path

import numpy as np
from fake_slurm import sbatch
from nequip_runs import Run, callbacks, recorded, recorder, write_config

from hint_plugin.data import write_frames, write_label


@pytest.mark.long
def test_two_nodes_are_interrupted_and_one_continues(tmp_path, molecules):
    """By Lightning's own SLURMEnvironment; one frame of six has a label, so that one process has none."""
    frames = [atoms.copy() for atoms in molecules[:6]]
    for atoms in frames[1:]:
        write_label(atoms, None)
    write_frames(tmp_path / "train.xyz", frames)
    write_frames(tmp_path / "valid.xyz", molecules[6:10])
    out = tmp_path / "nequip"

    def submit(name, *more, **slurm):
        options = callbacks(recorder(tmp_path / f"{name}.seen"), *more)
        config = write_config(tmp_path / name, {**options, "trainer.max_epochs": 3, "run": ["train"]})
        helpers, root = Path(__file__).parents[1] / "helpers", Path(__file__).parents[2]
        return sbatch(
            "train-nequip.sh",
            *("trainer.log_every_n_steps=1", "trainer.accelerator=cpu"),
            folder=tmp_path,
            slurm=slurm,
            **{"CONFIG": config, "TRAIN": "train.xyz", "VALID": "valid.xyz", "TEST": "valid.xyz", "BATCH": 3},
            **{"PYTHONPATH": os.pathsep.join([str(helpers), str(root)])},
        )

    interrupt = {"_target_": "nequip_runs.Interrupt", "epoch": 1}
    first = submit("first", interrupt, **{"nodes": 2, "ntasks-per-node": 1})
    assert first.returncode != 0 and "the queue's time is over" in first.stdout, first.stdout[-3000:]
    assert (out / "last.ckpt").is_file() and not (out / "finished").exists()

    second = submit("second", **{"nodes": 1, "ntasks-per-node": 2})
    assert second.returncode == 0, second.stdout[-3000:]
    assert "GLOBAL_RANK: 1, MEMBER: 2/2" in second.stdout and "Continuing training" in second.stdout
    ranks = [recorded(tmp_path / "second.seen", rank) for rank in (0, 1)]
    assert [[row["step"] for row in rows] for rows in ranks] == [[1, 2], [1, 2]]  # epoch 0 is not repeated
    for one, other in zip(*ranks, strict=True):
        assert (one["gradient"] == other["gradient"]).all() and one["coeffs"] == other["coeffs"]
        assert (one["probes"] == one["step"]) != (
            other["probes"] == other["step"]
        )  # one of them had the label
        assert one["terms"] == other["terms"] and one["terms"]["hessian"] > 0
    assert np.isfinite(Run(out, "").values("val0_epoch/hessian_rmse")).all()

    third = submit("third")
    assert third.returncode == 0 and "this training is complete" in third.stdout
