"""A step of NequIP's models on a pretended device (`pretended_device`) and on the CPU, by NequIP's own loss.

Arguments: kind of model, mode of the probes, whether to split, and ``planted`` where a fault shall leave the
weights on the CPU. What was found goes to standard output: losses, norms of the gradients, whether the labels
have stayed on the host, and where the host has waited for the device.
"""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import nequip_runs
import pretended_device
import torch
from nequip.train import EnergyForceLoss
from nequip.utils.global_state import set_global_state

import hint_plugin.nequip.model
from hint_plugin.core.batches import KEYS
from hint_plugin.nequip import HessianDataModule, HessianLoss

set_global_state()
kind, mode, split = sys.argv[1:4]
if "planted" in sys.argv:
    hint_plugin.nequip.model.moved = lambda x, device: x if x.ndim == 1 else x.to(device, non_blocking=True)
frames = nequip_runs.frames_of(nequip_runs.MOLECULES)[:5]
labels = nequip_runs.mixed_labels(frames)
if mode == "full":
    labels = [label and (label if label.probes is None else None) for label in labels]
module = HessianDataModule(
    seed=1,
    train_file_path=str(nequip_runs.MOLECULES),
    transforms=nequip_runs.transforms(),
    train_dataloader={"_target_": "torch.utils.data.DataLoader", "batch_size": 4},
)
loss = EnergyForceLoss(
    coeffs={"total_energy": 10.0, "forces": 100.0},
    extra_metrics=[{"name": "hessian", "coeff": 80.0, "metric": HessianLoss()}],
)
model = nequip_runs.build_hessian(kind, hessian={"mode": mode, "split": split})
found = {}
for device in (torch.device("cpu"), pretended_device.use()):
    own, measured = copy.deepcopy(model).to(device).train(), copy.deepcopy(loss).to(device)
    batch = nequip_runs.make_batch(frames, labels, step=3)
    pretended_device.STOPS.clear()
    batch = module.transfer_batch_to_device(batch, device, 0)
    stayed = all(batch[key].device.type == "cpu" for key in KEYS)
    moving = len(pretended_device.STOPS)
    value = measured(own(batch), batch)["weighted_sum"]
    value.backward()
    stops = pretended_device.STOPS[moving:]
    norms = [float(p.grad.norm()) for p in own.parameters() if p.grad is not None]
    found[device.type] = {
        "loss": float(value.detach()),
        "norms": norms,
        "stops": [{**asdict(stop), "is_own": stop.is_own} for stop in stops],
        "labels_stayed": stayed,
    }
print(json.dumps(found))
