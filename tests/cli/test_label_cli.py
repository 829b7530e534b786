"""`hint label` as a user types it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import warm
from ase.build import molecule

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")

from hint_plugin.data import read_frames, read_label, write_frames


def hint(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return warm.run(["hint", "label", *arguments], cwd=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torn = molecule("H2O")
    torn.positions *= 20
    write_frames(tmp_path / "good.xyz", [molecule("H2O"), molecule("CH4")])
    write_frames(tmp_path / "mixed.xyz", [molecule("H2O"), torn])
    write_frames(tmp_path / "bad.xyz", [torn])
    return tmp_path


def test_good_frames(folder):
    result = hint(folder, "good.xyz", "-o", "out.xyz")
    assert result.returncode == 0, result.stderr
    assert "2 of 2 frames labelled, 2 with a Hessian" in result.stdout and "eV/A^2 (median)" in result.stdout
    assert [read_label(atoms).kind for atoms in read_frames(folder / "out.xyz")] == ["full", "full"]


def test_options_reach_the_labels(folder):
    options = ["--hessian", "projected", "--probes", "2", "--hessian-every", "2", "--seed", "3", "--json"]
    result = hint(
        folder, "good.xyz", "--output", "out.h5", "--charge", "1", "--spin", "2", "-j", "2", *options
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["hessians"] == 1
    first, second = read_frames(folder / "out.h5")
    label = read_label(first)
    assert label.n_probes == 2 and label.provenance["seed"] == 3 and label.provenance["charge"] == 1
    assert second.info["hint_multiplicity"] == 2 and read_label(second) is None


def test_exit_status(folder):
    result = hint(folder, "mixed.xyz", "-o", "out.xyz")
    assert result.returncode == 3
    assert "1 frame failed, written to" in result.stdout and "not converged" in result.stdout
    assert len(read_frames(folder / "out.xyz")) == len(read_frames(folder / "out.failed.xyz")) == 1
    result = hint(folder, "bad.xyz", "-o", "none.xyz")
    assert result.returncode == 3
    assert not (folder / "none.xyz").exists() and (folder / "none.failed.xyz").exists()
    result = hint(folder, "good.xyz", "-o", "out.xyz")
    assert result.returncode == 2
    assert "out.xyz exists" in result.stderr and "Traceback" not in result.stderr
    assert hint(folder, "good.xyz", "-o", "out.cif").returncode == 2
