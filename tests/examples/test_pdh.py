"""`make pdh` itself, with a few epochs and small populations: every command, the tables, going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_runs import run_example

pytest.importorskip("sscha", reason="needs python-sscha: pip install 'hint-mlip[sscha]'")


def run(folder: Path) -> str:
    return run_example("pdh.py", "-o", folder, "--size", "tiny", "--jobs", "2")


@pytest.mark.slow
def test_palladium_hydride_from_the_hessian_to_tc(tmp_path):
    first = run(tmp_path)
    found = json.loads((tmp_path / "results.json").read_text())
    assert set(found["models"]) == {"hint", "ef"} and set(found["sscha"]) == {"H", "D", "T"}
    for row in found["models"].values():
        assert row["errors"]["commensurate"]["imaginary_reference"] == 17
    for isotope in found["sscha"].values():  # SSCHA's own matrices are positive
        assert min(min(row["frequencies"]) for row in isotope["frequencies"]["sscha"]) > -1
    masses = [row["mass"] for row in found["tc"]["isotopes"]]
    assert masses[1:] == pytest.approx([2.0141, 3.01605])
    assert (tmp_path / "results.png").stat().st_size > 10_000
    assert first.count("$ mace_run_train") == 2 and first.count("$ hint sscha") == 3
    again = run(tmp_path)
    assert "$ mace_run_train" not in again and "$ hint" not in again
