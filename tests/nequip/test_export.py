"""Out of NequIP: evaluation, the artifact, ASE; everything agrees with NequIP's own model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from nequip_runs import BUILDERS, MOLECULES, frames_of, model_config, train
from typer.testing import CliRunner

from hint_plugin.artifact.metadata import read_metadata
from hint_plugin.cli.app import build_app
from hint_plugin.errors import OptionsError
from hint_plugin.export.checkpoint_to_artifact import export
from hint_plugin.nequip.predictor import NequipPredictor
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.hint_calculator import HintCalculator

#: Layers of the models of `BUILDERS`: how far an atom sees. Allegro is strictly local.
HOPS = {"NequIP": 2, "Allegro": 1, "AlphaNet": 3}
KINDS = tuple(BUILDERS)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(kind: str, trained) -> Path:
    """Of a training with Hessians and EMA."""
    return trained[kind].checkpoint


@pytest.fixture(scope="module")
def artifact(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "model.hint.pt"
    export(checkpoint, path, frames=frames_of(MOLECULES, ":4"))
    return path


def structures() -> list:
    triclinic = bulk("C").repeat((2, 2, 1))
    triclinic.set_cell(triclinic.cell.array @ [[1, 0.1, 0], [0, 1, -0.07], [0.03, 0, 1]], scale_atoms=True)
    found = [molecule("CH3CH2OH"), molecule("H2O"), triclinic, Atoms("O")]
    for seed, atoms in enumerate(found):
        atoms.rattle(0.05, seed=seed)
    return found


def test_the_artifact_is_the_model(kind, checkpoint, artifact):
    metadata = read_metadata(artifact)
    assert metadata.architecture == kind
    assert (metadata.hops, metadata.cutoff, metadata.dtype) == (HOPS[kind], 4.0, "float64")
    assert metadata.species == ("H", "C", "N", "O")
    assert metadata.provenance["training"]["command"] == "nequip-train"
    frames = structures()
    wanted = list(NequipPredictor(checkpoint).predict(frames, hessian=True))
    found = list(Potential(artifact).predict(frames, hessian=True))
    for atoms, a, b in zip(frames, wanted, found, strict=True):
        assert abs(a.energy - b.energy) < 1e-9 * (1 + abs(a.energy)), atoms
        assert float((a.forces - b.forces).abs().max()) < 1e-9
        scale = max(1.0, float(a.hessian.abs().max()))
        assert float((a.hessian - b.hessian).abs().max()) < 1e-8 * scale
        if atoms.pbc.all():
            assert a.stress is not None and float((a.stress - b.stress).abs().max()) < 1e-10


def test_hessians_are_differences_of_forces(artifact):
    atoms = structures()[0]
    atoms.calc = HintCalculator(artifact)
    hessian = atoms.calc.get_hessian(atoms)
    v = np.random.default_rng(0).normal(size=(len(atoms), 3))
    forces = []
    for sign in (-1, 1):
        moved = atoms.copy()
        moved.positions += sign * 1e-4 * v
        moved.calc = atoms.calc
        forces.append(moved.get_forces())
    difference = (forces[0] - forces[1]).ravel() / 2e-4
    product = hessian @ v.ravel()
    assert np.abs(product - difference).max() < 1e-4 * np.abs(product).max()
    assert np.abs(hessian - hessian.T).max() < 1e-10


def test_reading_needs_torch_alone(artifact):
    script = (
        "import sys; from hint_plugin.potentials.hint_calculator import HintCalculator;"
        "from ase.build import molecule; a = molecule('H2O'); a.calc = HintCalculator(sys.argv[1]);"
        "print(a.get_potential_energy());"
        "assert not {'e3nn', 'nequip', 'lightning', 'hint_plugin.models'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(artifact)], check=True)


def test_its_dtype_is_for_good(checkpoint, artifact):
    with pytest.raises(OptionsError, match="this NequIP model is float64 for good"):
        NequipPredictor(checkpoint, dtype="float32")
    with pytest.raises(OptionsError, match="model is float64 for good"):
        Potential(artifact, dtype="float32")


def test_a_package_is_evaluated_and_exported(kind, checkpoint, packaged, artifact, tmp_path):
    """`hint evaluate` says the same of checkpoint, package and artifact."""
    if kind == "Allegro":
        pytest.skip("the same code as NequIP's")
    package = packaged[kind]
    data = tmp_path / "data.xyz"
    write(data, frames_of(MOLECULES, ":6"))
    results = []
    for number, path in enumerate((checkpoint, package, artifact)):
        folder = tmp_path / str(number)
        done = CliRunner().invoke(
            build_app(), ["evaluate", str(path), str(data), "-o", str(folder), "--no-plots"]
        )
        assert done.exit_code == 0, done.output
        results.append(json.loads((folder / "metrics.json").read_text())["metrics"])
    for name in ("energy_mae", "forces_mae", "hessian_mae", "frequencies_mae"):
        values = [found[name] for found in results]
        assert np.ptp(values) < 1e-7 * max(values), name
    again = tmp_path / "again.hint.pt"
    assert export(package, again).architecture == kind


def test_cutoffs_of_pairs(tmp_path):
    """A model with shorter cutoffs for some pairs sees less, and its artifact does so too."""
    model = model_config("NequIP", per_edge_type_cutoff={"H": 2.0, "C": {"H": 3.0}})
    checkpoint = train(tmp_path, {"training_module.model": model, "trainer.max_epochs": 1}).checkpoint
    path = tmp_path / "model.hint.pt"
    frames = frames_of(MOLECULES, ":4")
    export(checkpoint, path, frames=frames)
    plain = NequipPredictor(checkpoint)
    for a, b in zip(plain.predict(frames), Potential(path).predict(frames), strict=True):
        assert float((a.forces - b.forces).abs().max()) < 1e-9
