"""Rows of some atoms, frames of a sampling plan, failures by kind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import warm
from ase import Atoms
from ase.build import molecule

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")

from hint_plugin.data import read_frames, read_label, write_frames
from hint_plugin.data.sets.sampling_plan import Choice, SamplingPlan, Source
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.labelling import LabelSettings, make_engine, make_labels, run_labelling
from hint_plugin.potentials.differences import rows_from_products, translation_noise
from hint_plugin.potentials.structure_checks import select_atoms


def hint(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return warm.run(["hint", "label", *arguments], cwd=folder)


def methanol(seed: int = 0) -> Atoms:
    atoms = molecule("CH3OH")
    atoms.rattle(0.03, seed=seed)
    return atoms


def test_selections():
    atoms = molecule("CH3OH")
    atoms.set_tags([0, 1, 1, 2, 0, 0])
    atoms.arrays["mine"] = np.array([True, False, False, False, True, False])
    for selection, wanted in {
        "0-2,5": [0, 1, 2, 5],
        "3, 1": [1, 3],
        "tag=1": [1, 2],
        "tags=1,2": [1, 2, 3],
        "symbol=O,C": [0, 1],
        "mine": [0, 4],
    }.items():
        assert select_atoms(atoms, selection).tolist() == wanted
    for selection, message in {
        "0-6": "not within 0-5",
        "3-1": "not within",
        "tag=7": "selects none",
        "other": "no boolean array",
        "numbers": "no boolean array",
        "layer=1": "no array 'layer'",
        "1-": "no index",
    }.items():
        with pytest.raises(EngineError, match=message) as caught:
            select_atoms(atoms, selection)
        assert caught.value.kind == "selection"


def test_rows_are_rows_of_the_full_hessian_and_cost_six_gradients_an_atom():
    atoms, engine = methanol(), make_engine("gfn2-xtb")
    full = make_labels(engine, atoms).hessian
    calls = []

    class Counting:
        def __getattr__(self, name):
            return getattr(engine, name)

        def prepare(self, atoms):
            prepared = engine.prepare(atoms)
            forces_at = prepared.forces_at
            prepared.forces_at = lambda x: calls.append(1) or forces_at(x)
            return prepared

    label = make_labels(Counting(), atoms, "rows", row_atoms=[4, 1]).hessian
    assert len(calls) == 12 and label.kind == "rows" and label.atoms.tolist() == [1, 4]
    expected = full.hessian.reshape(6, 3, 18)[[1, 4]].reshape(6, 18)
    assert np.abs(label.hessian - expected).max() < 5e-4
    block = label.hessian[:, [3, 4, 5, 12, 13, 14]]
    assert np.abs(block - block.T).max() == 0
    error = np.sqrt(np.mean((label.hessian - expected) ** 2))
    assert error / 6 < label.noise < 20 * error


def test_noise_of_rows_and_of_translations_in_closed_form():
    rng, sigma, n = np.random.default_rng(0), 1e-3, 30
    matrix = rng.normal(size=(n, n))
    matrix = matrix + matrix.T
    columns = np.arange(15)
    noisy = matrix[columns] + sigma * rng.normal(size=(15, n))
    found = rows_from_products(noisy.reshape(15, n // 3, 3), columns)
    assert found.noise == pytest.approx(sigma, rel=0.15)
    blocks = matrix.reshape(10, 3, 10, 3)
    for a in range(10):  # the acoustic sum rule
        blocks[a, :, a] -= blocks[a].sum(axis=1)
    assert translation_noise(matrix) < 1e-12
    assert translation_noise(matrix + sigma * rng.normal(size=(n, n))) == pytest.approx(sigma, rel=0.3)


def test_rows_from_the_command_line(tmp_path):
    frames = [methanol(0), methanol(1), molecule("H2")]
    write_frames(tmp_path / "in.xyz", frames)
    result = hint(tmp_path, "in.xyz", "-o", "out.h5", "--hessian", "rows", "--atoms", "1,3-4", "--json")
    assert result.returncode == 3, result.stderr
    summary = json.loads(result.stdout)
    assert summary["failure_kinds"] == {"selection": 1} and summary["hessians"] == 2
    for atoms in read_frames(tmp_path / "out.h5"):
        label = read_label(atoms)
        assert label.kind == "rows" and label.atoms.tolist() == [1, 3, 4] and label.noise < 1e-3
        assert atoms.arrays["REF_hessian_mask"].sum() == 3
    for wrong in (["--hessian", "rows"], ["--atoms", "1"]):
        result = hint(tmp_path, "in.xyz", "-o", "new.xyz", *wrong)
        assert result.returncode == 2 and "--atoms" in result.stderr


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    write_frames(tmp_path / "a.xyz", [methanol(seed) for seed in range(4)])
    torn = molecule("H2O")
    torn.positions *= 20
    write_frames(tmp_path / "b.h5", [molecule("H2O"), torn, molecule("NH3")])
    sources = [Source.of(tmp_path / "a.xyz", 4), Source.of(tmp_path / "b.h5", 3)]
    choices = [
        Choice(0, 1, "hessian", "far from all others"),
        Choice(0, 3, "energy_forces", "rank 2"),
        Choice(1, 0, "energy_forces", "rank 3"),
        Choice(1, 1, "hessian", "torn"),
    ]
    SamplingPlan("test", {"seed": 0}, sources, choices).write(tmp_path / "plan.json")
    return tmp_path / "plan.json"


@pytest.mark.parametrize("suffix", ["xyz", "h5"])
def test_a_plan_says_what_is_labelled(plan, suffix):
    folder = plan.parent
    result = hint(folder, "--plan", "plan.json", "-o", f"out.{suffix}", "--json")
    assert result.returncode == 3, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["frames"], summary["labelled"], summary["hessians"]) == (4, 3, 1)
    assert summary["failure_kinds"] == {"scf": 1}
    assert (Path(summary["failures"][0]["source"]).name, summary["failures"][0]["frame"]) == ("b.h5", 1)
    frames = read_frames(folder / f"out.{suffix}")
    assert [atoms.info["hint_sampling_reason"] for atoms in frames] == [
        "far from all others",
        "rank 2",
        "rank 3",
    ]
    np.testing.assert_allclose(frames[0].positions, methanol(1).positions, atol=1e-7)
    assert [read_label(atoms) is not None for atoms in frames] == [True, False, False]
    assert all("REF_energy" in atoms.info and "REF_forces" in atoms.arrays for atoms in frames)
    [failed] = read_frames(folder / "out.failed.xyz")
    assert failed.info["hint_sampling_reason"] == "torn"


def test_what_a_plan_excludes(plan, tmp_path):
    out = tmp_path / "out.xyz"
    with pytest.raises(OptionsError, match="not both"):
        run_labelling([tmp_path / "a.xyz"], out, plan=plan)
    with pytest.raises(OptionsError, match="no input"):
        run_labelling([], out)
    with pytest.raises(OptionsError, match="a plan says which"):
        run_labelling([], out, LabelSettings(hessian_every=2), plan=plan)
    assert run_labelling([], out, LabelSettings(hessian="none"), plan=plan).hessians == 0


def test_failures_are_counted_by_kind(tmp_path):
    torn = molecule("H2O")
    torn.positions *= 20
    frames = [molecule("H2O"), torn, Atoms("H2", [[0, 0, 0], [0, 0, 0]]), Atoms("U"), torn, Atoms("U"), torn]
    write_frames(tmp_path / "in.xyz", frames)
    result = hint(tmp_path, "in.xyz", "-o", "out.xyz", "--hessian", "none")
    assert result.returncode == 3, result.stderr
    wanted = "3 x SCF not converged, 2 x unsupported element, 1 x atoms too close, none, or not finite"
    assert wanted in result.stdout
    result = hint(tmp_path, "in.xyz", "-o", "again.xyz", "--hessian", "none", "--json")
    summary = json.loads(result.stdout)
    assert summary["failure_kinds"] == {"scf": 3, "element": 2, "geometry": 1}
    assert {failure["kind"] for failure in summary["failures"]} == {"scf", "element", "geometry"}


def test_engine_options_reach_the_labels(tmp_path):
    write_frames(tmp_path / "in.xyz", [molecule("H2O")])
    (tmp_path / "o.json").write_text('{"accuracy": 0.1, "step": 0.002}')
    options = ["--engine", "gfn1-xtb", "--engine-options", "o.json", "--engine-option", "accuracy=1e-4"]
    result = hint(tmp_path, "in.xyz", "-o", "out.xyz", *options)
    assert result.returncode == 0, result.stderr
    [atoms] = read_frames(tmp_path / "out.xyz")
    assert (atoms.info["hint_accuracy"], atoms.info["hint_step"]) == (1e-4, 0.002)
    assert atoms.info["hint_engine"] == "gfn1-xtb"
    result = hint(tmp_path, "in.xyz", "-o", "new.xyz", "-e", "acuracy=1")
    assert result.returncode == 2 and "Did you mean 'accuracy'" in result.stderr
    result = hint(tmp_path, "in.xyz", "-o", "new.xyz", "--backend", "dftb")
    assert result.returncode == 2 and "tblite|xtb" in result.stderr
