"""What is computed with a checkpoint of MACE on a pretended device (`pretended_device`) and on the CPU.

Argument: a `.model` file, which is read through the CPU. To standard output goes the largest difference of
each quantity, and its size.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
import pretended_device
import torch
from ase.build import molecule

from hint_plugin.mace.features import MaceFeatures
from hint_plugin.potentials import HintCalculator, open_potential

path = sys.argv[1]
device = str(pretended_device.use())
load = torch.load


def by_way_of_the_cpu(*args: Any, **kwargs: Any) -> Any:
    """A pretended tensor has no storage that could be filled from a file."""
    found = load(*args, **{**kwargs, "map_location": "cpu"})
    return found.to(device) if str(kwargs.get("map_location")) == device else found


torch.load = by_way_of_the_cpu
atoms = molecule("CH3CHO")
probes = np.random.default_rng(0).normal(size=(2, len(atoms), 3))


def everything(on: str) -> dict[str, Any]:
    """Each of the quantities on a device."""
    potential = open_potential(path, device=on)
    (found,) = potential.evaluate([atoms])
    calculator = HintCalculator(potential)
    same = atoms.copy()
    same.calc = calculator
    features = MaceFeatures(Path(path), sorted(set(atoms.numbers)), device=on)
    return {
        "energy": found.energy,
        "forces": found.forces,
        "hessian": potential.hessian(atoms),
        "products": potential.hvp(atoms, probes),
        "forces of the calculator": same.get_forces(),
        "hessian of the calculator": calculator.get_hessian(same),
        "features": features.setup()([atoms]),
    }


cpu, other = everything("cpu"), everything(device)
result = {}
for name, value in cpu.items():
    size = float(np.abs(np.asarray(value)).max())
    result[name] = [float(np.abs(np.asarray(value) - np.asarray(other[name])).max()), size]
print(json.dumps(result))
