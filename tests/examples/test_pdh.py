"""`make pdh` itself, with a few epochs and small populations: every command, the tables, going on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from example_runs import run_example

pytest.importorskip("sscha", reason="needs python-sscha: pip install 'hint-mlip[sscha]'")


def run(folder: Path, *options: str) -> str:
    return run_example("pdh.py", "-o", folder, "--size", "tiny", "--jobs", "2", *options)


def as_if_there_were_more(folder: Path) -> None:
    """A second training and a second SSCHA of the first, which are the first ones: they cost nothing, and
    move Tc by nothing."""
    shutil.copytree(folder / "hint", folder / "hint_2")
    for isotope in "HDT":
        for name in (f"sscha_{isotope}_2", f"sscha_{isotope}_again_2"):
            shutil.copytree(folder / f"sscha_{isotope}", folder / name)


@pytest.mark.slow
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
