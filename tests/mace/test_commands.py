"""MACE's training command in processes of its own: as typed in a shell, and in two processes together."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ase.io import read

from hint_plugin.data import write_label
from mace_runs import (
    HINT,
    MOLECULES,
    SMALL,
    Run,
    command,
    run_command,
    torchrun,
    train_hint,
    train_two,
    two_processes,
    write_frames,
)

LONG = pytest.mark.long


@pytest.mark.parametrize(
    "mode", ["hutchinson", *(pytest.param(mode, marks=LONG) for mode in ("column", "full", "difference"))]
)
def test_literal_command(tmp_path, mode):
    """What a user types, in a shell, with stock mace-torch."""
    options = {**SMALL, **HINT, "loss": f"hint_{mode}", "max_num_epochs": 2, "num_interactions": 2}
    run_command("mace_run_train", tmp_path, options, own=True)
    run = Run(tmp_path, "small", 1)
    assert f"HintLoss(\n  mode={mode}, " in run.log
    assert "Epoch 1: head: Default, RMSE_H=" in run.log
    assert "RMSE H / eV / A^2" in run.log
    assert run.validations[-1]["rmse_hessian"] < run.validations[0]["rmse_hessian"]
    assert run.model_path.exists()


# ------------------------------------------------------------------------------------------ two processes

OWN_GROUP = """
import torch
from mace.cli.run_train import main
torch.distributed.init_process_group("gloo")
main()
"""


@pytest.mark.parametrize("hint", [pytest.param(False, marks=LONG), True])
def test_distributed_on_cpu_stops_in_mace(tmp_path, hint):
    """With a HINT loss and without, HINT in `import torch` and not: when this fails, MACE has learned it."""
    options = {**SMALL, **(HINT if hint else {"loss": "weighted"})}
    if hint:
        found = two_processes(tmp_path, [command("mace_run_train")], options)
    else:
        found = [torchrun(tmp_path, ["--no-python", command("mace_run_train")], options, hint=False)]
    for status, output in found:
        assert status != 0
        assert "in get_avg_num_neighbors\n    torch.distributed.all_reduce(num_graphs" in output
        assert "ValueError: Default process group has not been initialized" in output
        assert "hint_plugin" not in output
    assert "Process group initialized: False" in "".join(output for _, output in found)


@LONG
def test_distributed_on_cpu_with_a_process_group_stops_in_mace(tmp_path):
    """MACE takes a group that is there, and then gives DistributedDataParallel the number of a GPU."""
    script = tmp_path / "own_group.py"
    script.write_text(OWN_GROUP)
    status, output = torchrun(tmp_path, [str(script)], {**SMALL, "loss": "weighted"})
    assert status != 0
    assert "Process group initialized: True" in output
    assert "distributed_model = DDP(model, device_ids=[local_rank])" in output
    assert "ValueError: DistributedDataParallel device_ids and output_device arguments only work" in output
    assert "hint_plugin" not in output


@pytest.mark.parametrize(
    ("mode", "weight"),
    [
        ("hutchinson", {}),
        pytest.param(
            "hutchinson", {"hint_weight": "auto", "hint_weight_start": None}, marks=pytest.mark.long
        ),
        pytest.param("difference", {}, marks=LONG),
    ],
)
def test_two_processes_train_as_one(tmp_path, mode, weight):
    """MACE's own loop, samplers, DistributedDataParallel and validation with gloo.

    `mace_gloo_worker` says what had to be replaced. Only one training and one validation structure have a
    label, so that in each step one of the processes has none.
    """
    frames = read(MOLECULES, ":")
    train, valid = [*frames[:11], frames[14]], frames[11:14] + frames[10:11]
    for atoms in [*train[:7], *train[8:], *valid[:1], *valid[2:]]:
        write_label(atoms, None)
    options = {
        "loss": f"hint_{mode}",
        **weight,
        "train_file": write_frames(tmp_path / "train.xyz", train),
        "valid_file": write_frames(tmp_path / "valid.xyz", valid),
        "valid_fraction": None,
        "valid_batch_size": 1,
        "max_num_epochs": 3,
        "lr": 0.02,
        # MACE takes these two from the structures of one process
        "scaling": "no_scaling",
        "compute_avg_num_neighbors": "False",
        "avg_num_neighbors": 4.0,
    }
    one = train_hint(tmp_path / "one", **options, batch_size=12)
    two, (first, second) = train_two(tmp_path / "two", **options, batch_size=6)

    # MACE's loss of a process counts its own structures: their mean is the loss of all
    assert np.mean([first["steps"], second["steps"]], axis=0) == pytest.approx(one.steps, rel=1e-6)
    assert first["validations"] == second["validations"]
    names = ("rmse_hessian", "hessian_loss", "mae_hessian", "mae_frequencies", "mae_e", "mae_f")
    for line, wanted in zip(two.validations[1:], one.validations, strict=True):  # both write the initial one
        keys = [*names, *(key for key in ("hint_weight", "gradient_hessian") if key in wanted)]
        assert len(keys) == (8 if weight and wanted["epoch"] is not None else 6)
        assert [line[key] for key in keys] == pytest.approx([wanted[key] for key in keys], rel=1e-6)
        assert (line["hessian_labels"], line["hessian_exact"]) == (1, 1)
    errors = [line["rmse_hessian"] for line in two.validations[1:]]
    assert all(map(math.isfinite, errors)) and errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.99 * errors[0]
    weights = one.weights()
    for key, value in two.weights().items():
        torch.testing.assert_close(value, weights[key], rtol=0, atol=1e-7)
    assert list((tmp_path / "two" / "checkpoints").glob("small_run-1_epoch-*.pt"))
