"""What is known about the DFT Hessians of the test set without any training on DFT."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from _commands import run_warm
from ase import Atoms

from hint_plugin.core.metrics import Prediction
from hint_plugin.data import iter_frames
from hint_plugin.data.file_io import write_json
from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.science.evaluation import evaluate
from protocol.runs import METRICS


class _Engine:
    """An engine of `hint label` as what `evaluate` asks."""

    def __init__(self, name: str) -> None:
        self.calculator = EngineCalculator(make_engine(name))

    def predict(self, frames: Sequence[Atoms], hessian: bool = False) -> Iterator[Prediction]:
        """One for each frame."""
        for atoms in frames:
            energy, forces = self.calculator.get_potential_energy(atoms), self.calculator.get_forces(atoms)
            found = torch.as_tensor(self.calculator.get_hessian(atoms)) if hessian else None
            yield Prediction(energy, torch.as_tensor(forces), None, found)


def untrained(pretrained: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Rows: GFN2-xTB itself, and the model that has learnt it, against the DFT labels of the test set."""
    target = folder / "untrained.json"
    if not target.exists():
        test = folder / "dft-test.xyz"
        evaluate(_Engine("gfn2-xtb"), list(iter_frames(test)), folder / "untrained" / "gfn2", plots=False)
        model = folder / "runs" / pretrained["folder"] / "model.model"
        (folder / "untrained").mkdir(exist_ok=True)
        run_warm(f"hint evaluate {model} {test} -o model --no-plots", folder / "untrained", "model.log")
        rows = []
        for name, x in (("gfn2", "GFN2-xTB itself"), ("model", "the pre-trained model, as it is")):
            found = json.loads((folder / "untrained" / name / "metrics.json").read_text())["metrics"]
            rows.append({"series": x, "x": "no DFT", **{metric: found[metric] for metric in METRICS}})
        write_json(target, rows)
    found_before: list[dict[str, Any]] = json.loads(target.read_text())
    return found_before
