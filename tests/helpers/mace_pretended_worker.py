"""MACE's training command on a pretended device (`pretended_device`): every option is MACE's, but --device.

`mace_run_train` knows names of devices by heart, so the function that reads them is replaced; and a pretended
tensor is read from a file through the CPU. Everything else is MACE's own. Where the host has waited for the
device in each step is left in ``stops.json``. With HINT_PLANTED=1 a fault leaves the weights on the CPU.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from mace.cli import run_train

sys.path.insert(0, str(Path(__file__).parent))
import pretended_device

device = pretended_device.use()
for module in [m for name, m in sys.modules.items() if name.startswith("mace.")]:
    if hasattr(module, "init_device"):
        module.init_device = lambda _: device
load = torch.load
torch.load = lambda *args, **kwargs: load(*args, **{**kwargs, "map_location": "cpu"})
if os.environ.get("HINT_PLANTED"):
    import hint_plugin.mace.labels

    hint_plugin.mace.labels.moved = lambda values, device: values
loop = importlib.import_module("mace.tools.train")
take_step = loop.take_step
steps = []


def counted_step(**arguments):
    pretended_device.STOPS.clear()
    found = take_step(**arguments)
    steps.append([{**asdict(stop), "is_own": stop.is_own} for stop in pretended_device.STOPS])
    return found


loop.take_step = counted_step
run_train.main()
Path("stops.json").write_text(json.dumps(steps))
