"""The scripts of configs/protocol, as they are, on data of a minute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk, molecule

from hint_plugin.data import read_frames, read_label, write_frames

pytest.importorskip("tblite", reason="needs tblite: pip install 'hint-mlip[label]'")
pytest.importorskip("dscribe", reason="needs dscribe: pip install 'hint-mlip[sample]'")

SCRIPTS = Path(__file__).parents[2] / "configs" / "protocol"


def run(name: str, *arguments: str, folder: Path, **settings: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(SCRIPTS / name), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "JOBS": "1", **settings},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_molecules(tmp_path):
    frames = []
    for name in ("H2O", "NH3", "CH4", "CO"):
        for seed in range(5):
            atoms = molecule(name)
            atoms.rattle(0.05, seed=seed)
            frames.append(atoms)
    write_frames(tmp_path / "geometries.xyz", frames)
    settings = {"EPOCHS": "1", "TUNING_EPOCHS": "1", "DFT": "4", "HESSIANS": "0.5"}
    settings |= {"BATCH": "2", "ENGINE": "gfn1-xtb"}
    run("molecules.sh", "geometries.xyz", "out", folder=tmp_path, **settings)
    out = tmp_path / "out"
    pretrained, tuned = (
        json.loads((out / "evaluation" / m / "metrics.json").read_text()) for m in ("pretrained", "tuned")
    )
    assert pretrained["metrics"]["n_full"] == tuned["metrics"]["n_full"] > 0
    chosen = read_frames(out / "dft-train.xyz")
    assert len(chosen) == 4 and {atoms.info["hint_engine"] for atoms in chosen} == {"gfn1-xtb"}
    assert sum(read_label(atoms) is not None for atoms in chosen) == 2
    assert (out / "tuned.hint.pt").is_file()
    again = run("molecules.sh", "geometries.xyz", "out", folder=tmp_path, **settings)
    assert again == ""  # all is there


@pytest.mark.slow
def test_materials(tmp_path):
    write_frames(tmp_path / "cell.xyz", [bulk("Cu", cubic=True)])
    settings = {
        "EPOCHS": "1",
        "CELLS": "5",
        "SUPERCELL": "2 1 1",
        "ENGINE": "calculator -e calculator=ase.calculators.emt:EMT",
    }
    run("materials.sh", "none", "cell.xyz", "out", folder=tmp_path, **settings)
    out = tmp_path / "out"
    (supercell,) = read_frames(out / "hessian.xyz")
    label = read_label(supercell)
    assert label.kind == "rows" and label.atoms.tolist() == [0, 1, 2, 3] and len(supercell) == 8
    labels = [read_label(atoms) for atoms in read_frames(out / "train.xyz")]
    assert sum(label is not None for label in labels) == 1 and len(labels) >= 5
    assert json.loads((out / "evaluation/metrics.json").read_text())["metrics"]["n_rows"] == 1
