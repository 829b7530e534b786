"""What NequIP makes of a model that was trained with Hessians: packages and compiled models, without HINT."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import numpy as np
import torch
from ase import Atoms
from nequip.scripts._workflow_utils import set_workflow_state
from nequip_runs import (
    BUILDERS,
    MOLECULES,
    build,
    build_hessian,
    command,
    frames_of,
    make_batch,
    model_config,
    run_command,
    train,
)

from hint_plugin.nequip.fields import PRODUCTS
from hint_plugin.nequip.predictor import NequipPredictor

#: A process as on a machine without HINT: `import hint_plugin` fails, and NequIP has no such extension.
STRANGER = """
import importlib.metadata, json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hint_plugin":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
found = importlib.metadata.entry_points

def entry_points(**wanted):
    if wanted.get("group") != "nequip.extension":
        return found(**wanted)
    return importlib.metadata.EntryPoints(e for e in found(**wanted) if e.value != "hint_plugin")

importlib.metadata.entry_points = entry_points

from ase.io import read
from nequip.integrations.ase import NequIPCalculator

frames, *paths = sys.argv[1:]
results = []
for path in paths:
    compiled = path.endswith(".pt2")
    load = NequIPCalculator.from_compiled_model if compiled else NequIPCalculator._from_saved_model
    calculator = load(path)
    results.append([])
    for atoms in read(frames, ":3"):
        bare = atoms.__class__(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        bare.calc = calculator
        results[-1].append([bare.get_potential_energy(), bare.get_forces().tolist()])
assert not [name for name in sys.modules if name.partition(".")[0] == "hint_plugin"]
print("\\n" + json.dumps(results))
"""


def by_a_stranger(folder: Path, frames: Path, *models: Path) -> list[list[tuple[float, np.ndarray]]]:
    """Energies and forces of three structures by NequIP's calculator, for each model: there is no HINT."""
    script = folder / "stranger.py"
    script.write_text(STRANGER)
    words = [sys.executable, *map(str, (script, frames, *models))]
    done = run_command(folder, *words, TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    found = json.loads(done.stdout.splitlines()[-1])
    return [[(float(energy), np.array(forces)) for energy, forces in one] for one in found]


def assert_as_predicted(found: list[tuple[float, np.ndarray]], checkpoint: Path, frames: list[Atoms]) -> None:
    for (energy, forces), wanted in zip(found, NequipPredictor(checkpoint).predict(frames), strict=True):
        assert energy == pytest.approx(wanted.energy, abs=1e-9)
        np.testing.assert_allclose(forces, wanted.forces, atol=1e-9)
        assert np.abs(forces).max() > 1e-3


def contents(package: Path) -> list[str]:
    with zipfile.ZipFile(package) as archive:
        return [name.partition("/")[2] for name in archive.namelist()]


@pytest.mark.slow
def test_packages_run_without_hint(tmp_path, trained, packaged):
    """Of NequIP's model nothing is HINT's; of AlphaNet the model is, and goes along."""
    kinds = ("NequIP", "AlphaNet")
    plain, ours = ([n for n in contents(packaged[kind]) if "hint" in n.lower()] for kind in kinds)
    assert not plain
    models = ("config", "frames", "layers", "model", "radial")
    wanted = [f"hint_plugin/models/alphanet/{name}.py" for name in models]
    assert sorted(ours) == ["hint_plugin/errors.py", *wanted, "hint_plugin/nequip/alphanet.py"]
    found = by_a_stranger(tmp_path, MOLECULES, *(packaged[kind] for kind in kinds))
    for kind, one in zip(kinds, found, strict=True):
        assert_as_predicted(one, trained[kind].checkpoint, frames_of(MOLECULES, ":3"))


def where(part: torch.nn.Module) -> str:
    """Its class; NequIP makes some anew for each model."""
    return f"{type(part).__module__}.{type(part).__name__}"


@pytest.mark.parametrize("state", ["package", "compile"])
@pytest.mark.parametrize("kind", list(BUILDERS))
def test_what_is_made_into_a_product_is_the_plain_model(kind, state, molecules):
    """By NequIP's commands: `nequip-package` is run below, `nequip-compile` by the long tests."""
    set_workflow_state(state)
    try:
        found = build_hessian(kind)
    finally:
        set_workflow_state(None)
    models = (found, build(kind), build_hessian(kind))
    names, plain, taught = ([where(part) for part in model.modules()] for model in models)
    assert names == plain != taught
    batch = make_batch(molecules[:3], step=0)
    assert PRODUCTS in build_hessian(kind)(dict(batch)) and PRODUCTS not in found(dict(batch))


@pytest.mark.slow
@pytest.mark.long  # the compiler's time; the test before shows that the plain model goes into it
def test_compiled_model_runs_without_hint(tmp_path):
    """Trained on molecules without cells, of which NequIP alone cannot make an example with a stress."""
    small = {"num_layers": 1, "l_max": 0, "num_features": 2, "num_bessels": 2}  # the compiler takes its time
    model = model_config("NequIP", **small)
    checkpoint = train(tmp_path, {"training_module.model": model, "trainer.max_epochs": 1}).checkpoint
    compiled = tmp_path / "model.nequip.pt2"
    options = ("--mode", "aotinductor", "--device", "cpu", "--target", "ase")
    run_command(tmp_path, command("nequip-compile"), str(checkpoint), str(compiled), *options)
    boxed = []
    for atoms in frames_of(MOLECULES, ":3"):
        atoms.cell = 20 * np.eye(3)
        boxed.append(Atoms(atoms.numbers, atoms.positions, cell=atoms.cell))
    from ase.io import write

    write(tmp_path / "boxed.xyz", boxed)
    (found,) = by_a_stranger(tmp_path, tmp_path / "boxed.xyz", compiled)
    assert_as_predicted(found, checkpoint, boxed)
