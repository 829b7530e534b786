"""Files that an earlier HINT wrote still load, and give what they gave (`tests/data/make_golden.py`)."""

from __future__ import annotations

import importlib.metadata
import json
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from make_golden import GOLDEN, water

EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


def same(name: str, energy: float, forces: np.ndarray, rtol: float = 1e-9) -> None:
    wanted = EXPECTED[name]
    assert energy == pytest.approx(wanted["energy"], rel=rtol)
    size = np.abs(wanted["forces"]).max()
    np.testing.assert_allclose(forces, wanted["forces"], atol=rtol * size)


@pytest.mark.parametrize("kind", ["mace", "alphanet"])
def test_models_of_mace(kind: str) -> None:
    from hint_plugin.mace.predictor import MacePredictor

    (found,) = MacePredictor(GOLDEN / f"{kind}.model").predict([water()])
    same(f"{kind}.model", found.energy, np.asarray(found.forces))


@pytest.mark.parametrize("kind", ["mace", "alphanet"])
def test_artifacts(kind: str) -> None:
    from hint_plugin import HintCalculator

    atoms = water()
    atoms.calc = HintCalculator(GOLDEN / f"{kind}.hint.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # water is outside of the little that these were trained on
        same(f"{kind}.hint.pt", atoms.get_potential_energy(), atoms.get_forces())


def test_pickle_for_mliap() -> None:
    unified = pickle.loads((GOLDEN / "alphanet.mliap").read_bytes())  # as LAMMPS loads it
    assert type(unified).__module__ == "lammps_pair.mliap" and unified.element_types == ["H", "C", "N", "O"]


def test_stores() -> None:
    from hint_plugin.data import read_frames, read_label

    frames = read_frames(GOLDEN / "store_v2.h5")
    wanted = read_frames(GOLDEN.parent / "molecules.xyz")[:3]
    assert len(frames) == 3
    for found, atoms in zip(frames, wanted, strict=True):
        assert found.info["REF_energy"] == pytest.approx(atoms.info["REF_energy"], abs=1e-9)
        np.testing.assert_allclose(read_label(found).hessian, read_label(atoms).hessian, atol=1e-6)


def test_a_journal_half_done_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of six frames are in it; the run finds them, and computes the other three."""
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    from hint_plugin.data import read_frames
    from hint_plugin.labelling import LabelSettings, run_labelling

    monkeypatch.chdir(tmp_path)
    shutil.copy(GOLDEN / "journal.xyz", tmp_path)
    text = (GOLDEN / "labelled.xyz.partial.jsonl").read_text()
    version = importlib.metadata.version("tblite")  # a journal belongs to the version that made its labels
    (tmp_path / "labelled.xyz.partial.jsonl").write_text(text.replace("tblite 0.8.0", f"tblite {version}"))
    seen: list[tuple[int, ...]] = []
    summary = run_labelling(
        [Path("journal.xyz")], Path("labelled.xyz"), LabelSettings(), jobs=1, report=lambda *n: seen.append(n)
    )
    assert seen[0][0] == 3 and summary.labelled == 6
    assert len(read_frames(tmp_path / "labelled.xyz")) == 6
