"""`make pdh` itself, with a few epochs and small populations: every command, the tables, going on."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
from example_runs import EXAMPLES, run_example

pytest.importorskip("sscha", reason="needs python-sscha: pip install '.[sscha]'")


def run(folder: Path, *options: str) -> str:
    return run_example("pdh.py", "-o", folder, "--size", "tiny", "--jobs", "2", *options)


def as_if_there_were_more(folder: Path) -> None:
    """A second training and a second SSCHA of the first, which are the first ones: they cost nothing, and
    move Tc by nothing."""
    shutil.copytree(folder / "hint", folder / "hint_2")
    for isotope in "HDT":
        for name in (f"sscha_{isotope}_2", f"sscha_{isotope}_again_2"):
            shutil.copytree(folder / f"sscha_{isotope}", folder / name)


@pytest.mark.long
def test_palladium_hydride_from_the_hessian_to_tc(tmp_path):
    first = run(tmp_path, "--trainings", "1", "--repeats", "0")
    found = json.loads((tmp_path / "results.json").read_text())
    assert set(found["models"]) == {"hint", "ef"} and set(found["sscha"]) == {"H", "D", "T"}
    for row in found["models"].values():
        assert row["errors"]["commensurate"]["imaginary_reference"] == 17
    for isotope in found["sscha"].values():  # SSCHA's own matrices are positive
        assert min(min(row["frequencies"]) for row in isotope["frequencies"]["sscha"]) > -1
    masses = [row["mass"] for row in found["tc"]["isotopes"]]
    assert masses[1:] == pytest.approx([2.0141, 3.01605])
    assert [one["sources"] for one in found["tc"]["spread"]] == [4, 4, 4]  # two matrices, two interpolations
    assert (tmp_path / "results.png").stat().st_size > 10_000
    assert first.count("$ mace_run_train") == 2 and first.count("$ hint sscha") == 3
    as_if_there_were_more(tmp_path)
    more = run(tmp_path, "--trainings", "2", "--repeats", "1")
    assert "$ mace_run_train" not in more and more.count("$ hint") == 1 and "$ hint tc" in more
    found = json.loads((tmp_path / "results.json").read_text())
    assert set(found["models"]) == {"hint", "hint_2", "ef"} and len(found["sscha_runs"]) == 9
    for one in found["tc"]["spread"]:
        assert one["sources"] == 12 and one["eliashberg"]["count"] == 12 - one["unstable"] >= 6
        assert one["moved_by"]["training"]["largest"] == one["moved_by"]["numbers"]["largest"] == 0
        assert one["moved_by"]["interpolation"]["typical"] > 0
    assert "| training | 0 (at most 0) |" in (tmp_path / "results.md").read_text()
    again = run(tmp_path, "--trainings", "2", "--repeats", "1")
    assert "$ mace_run_train" not in again and "$ hint" not in again


def plan(monkeypatch, fails: str = "") -> list[str]:
    """What `models_and_phonons` does for three trainings, two at a time, with steps that only say so."""
    monkeypatch.syspath_prepend(EXAMPLES)
    pdh = importlib.import_module("pdh")
    done: list[str] = []

    def model(name: str, folder: Path, size: object) -> None:
        time.sleep(0.05)
        if name == fails:
            sys.exit("error: a training has failed")
        done.append(f"train {name}")

    monkeypatch.setattr(pdh, "model", model)
    monkeypatch.setattr(pdh, "checks", lambda name, folder, dyn: done.append(f"check {name}"))
    monkeypatch.setattr(
        pdh, "anharmonic", lambda isotope, of, *rest: done.append(f"sscha {of.folder(isotope)}")
    )
    runs = [pdh.Sscha(1), pdh.Sscha(1, 2), pdh.Sscha(2), pdh.Sscha(3)]
    try:
        pdh.models_and_phonons(["hint", "hint_2", "hint_3", "ef"], runs, Path(), "", pdh.SIZES["tiny"], 2)
    except SystemExit as error:
        done.append(str(error))
    return done


def test_every_step_comes_after_its_training(monkeypatch):
    done = plan(monkeypatch)
    assert set(done[:2]) == {"train hint", "train hint_2"}  # the longest first, two at a time
    assert len(done) == 4 + 4 + 12 == len(set(done))
    for k, step in enumerate(done):
        kind, name = step.split()
        if kind != "train":
            number = "_3" if name.endswith("_3") else "_2" if re.fullmatch(r"sscha_._2|hint_2", name) else ""
            assert f"train {'ef' if name == 'ef' else 'hint' + number}" in done[:k], step


def test_a_failed_training_ends_it(monkeypatch):
    done = plan(monkeypatch, fails="hint_2")
    assert done[-1] == "error: a training has failed"
    assert not any(step.startswith("sscha") for step in done)
