"""MACE's training command in one of several processes on CPUs: what torchrun starts in `mace_runs.train_two`.

Under ``--launcher slurm`` (an `srun` of `fake_slurm`) MACE's own code finds the process among the others.
With STOP_AFTER_STEPS=n in the environment the process dies in the middle of a training, after n steps.

MACE 0.3.16 forms a process group for CUDA and XPU only (but takes one that is there), and gives
DistributedDataParallel the number of a GPU. These two are replaced, everything else is MACE's own. What this
process saw is left in ``rank<n>.json``: the loss of each step, the metrics of each evaluation.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import torch
from mace.cli import run_train
from mace.tools.slurm_distributed import DistributedEnvironment
from torch.nn.parallel import DistributedDataParallel

if "RANK" not in os.environ:
    DistributedEnvironment()
torch.distributed.init_process_group("gloo")
run_train.DDP = lambda model, device_ids: DistributedDataParallel(model)

loop = importlib.import_module("mace.tools.train")
take_step, evaluate = loop.take_step, loop.evaluate
seen = {"steps": [], "validations": []}


def recorded_step(**arguments):
    loss, metrics = take_step(**arguments)
    seen["steps"].append(float(metrics["loss"]))
    if len(seen["steps"]) == int(os.environ.get("STOP_AFTER_STEPS", 0)):
        result.write_text(json.dumps(seen))
        os._exit(1)
    return loss, metrics


def recorded_evaluation(**arguments):
    value, metrics = evaluate(**arguments)
    seen["validations"].append({key: float(x) for key, x in metrics.items() if key != "time"})
    return value, metrics


loop.take_step, loop.evaluate = recorded_step, recorded_evaluation
result = Path(f"rank{torch.distributed.get_rank()}.json")
run_train.main()
result.write_text(json.dumps(seen))
