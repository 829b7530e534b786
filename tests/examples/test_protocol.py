"""The scripts of configs/protocol, as they are, on data of a minute."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import warm
from ase.build import bulk, molecule

from hint_plugin.data import HessianLabel, read_frames, read_label, write_frames, write_label

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
pytest.importorskip("dscribe", reason="needs dscribe: pip install '.[sample]'")

SCRIPTS = Path(__file__).parents[2] / "configs" / "protocol"
FORMATS = Path(__file__).parents[1] / "data" / "formats"


def run(name: str, *arguments: str, folder: Path, **settings: str) -> str:
    first = os.environ.get("FIRST_PATH", "")
    path = os.pathsep.join([first, str(warm.bin_folder()), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", str(SCRIPTS / name), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "JOBS": "1", **settings},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def labelled_geometries(path: Path) -> None:
    """Displaced molecules with labels of another method, as public sets have them."""
    frames = []
    for name in ("H2O", "NH3", "CH4", "CO"):
        for seed in range(5):
            atoms = molecule(name)
            atoms.rattle(0.05, seed=seed)
            atoms.info |= {"REF_energy": 1e6, "hint_method": "wB97X/6-31G(d)"}
            atoms.arrays["REF_forces"] = np.full((len(atoms), 3), 99.0)
            write_label(atoms, HessianLabel.full(1e3 * np.eye(3 * len(atoms))))
            frames.append(atoms)
    write_frames(path, frames)


def check_labels(out: Path, suffix: str) -> None:
    """Every file has the labels of its own step: none of those that the geometries had."""
    for part in ("train", "valid", "test"):
        for step, engine in (("gfn2", "gfn2-xtb"), ("dft", "gfn1-xtb")):
            frames = read_frames(out / f"{step}-{part}.{suffix}")
            assert frames and {atoms.info["hint_engine"] for atoms in frames} == {engine}
            assert all(abs(atoms.arrays["REF_forces"]).max() < 90 for atoms in frames)
    chosen = [read_label(atoms) for atoms in read_frames(out / f"dft-train.{suffix}")]
    assert len(chosen) == 4 and sum(label is not None for label in chosen) == 2


SETTINGS = {
    "EPOCHS": "4",
    "TUNING_EPOCHS": "4",
    "EVERY": "1",
    "DFT": "4",
    "HESSIANS": "0.5",
    "BATCH": "2",
    "ENGINE": "gfn1-xtb",
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [pytest.param("h5", marks=pytest.mark.long), "xyz"])
def test_molecules(tmp_path, suffix):
    labelled_geometries(tmp_path / f"geometries.{suffix}")
    run("molecules.sh", f"geometries.{suffix}", "out", folder=tmp_path, **SETTINGS)
    out = tmp_path / "out"
    check_labels(out, suffix)
    pretrained, tuned = (
        json.loads((out / "evaluation" / m / "metrics.json").read_text()) for m in ("pretrained", "tuned")
    )
    assert pretrained["metrics"]["n_full"] == tuned["metrics"]["n_full"] > 0
    if suffix == "xyz":
        assert pretrained["levels"] == {
            "model": ["GFN2-xTB"],
            "labels": {"GFN2-xTB": pretrained["frames"]["read"]},
            "same": True,
            "note": "",
        }
    assert (out / "tuned.hint.pt").is_file()
    again = run("molecules.sh", f"geometries.{suffix}", "out", folder=tmp_path, **SETTINGS)
    assert again == ""  # all is there


@pytest.fixture
def no_training(tmp_path, monkeypatch) -> None:
    """Programs that only leave what the next step looks for, in place of trainings, evaluations, exports."""
    folder = tmp_path / "bin"
    folder.mkdir()
    name = r"""while [ "$1" != --name ]; do shift; done; touch "$2_stagetwo.model" """
    (folder / "mace_run_train").write_text(f"#!/bin/sh\nset -eu\n{name}\n")
    real = f'exec "{warm.bin_folder()}/hint" "$@"'
    (folder / "hint").write_text(f"#!/bin/sh\ncase $1 in evaluate|export) ;; *) {real} ;; esac\n")
    for program in folder.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("FIRST_PATH", str(folder))


@pytest.mark.parametrize(
    "source", ["geometries.xyz", pytest.param("transition1x.h5", marks=pytest.mark.long)]
)
def test_molecules_with_labels_of_another_method(tmp_path, no_training, source):
    if source == "transition1x.h5":
        source, suffix = str(FORMATS / source), "h5"
    else:
        labelled_geometries(tmp_path / source)
        suffix = source.rpartition(".")[2]
    run("molecules.sh", source, "out", folder=tmp_path, **SETTINGS)
    check_labels(tmp_path / "out", suffix)


@pytest.mark.long
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
