"""`make demo` itself, with one epoch a training: every command of it, the table, the figure, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_runs import run_example

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")

ALL = ["ef", "hutchinson", "fifth", "column", "ef4", "alphanet"]


def run(folder: Path, *options: str) -> str:
    return run_example("demo.py", "-o", folder, "--epochs", "4", "--fraction", "0.1", "--jobs", "2", *options)


def check(folder: Path, names: list[str], *options: str) -> None:
    """Run it twice: it gives all results, and does nothing again."""
    first = run(folder, *options)
    rows = json.loads((folder / "results.json").read_text())
    assert [row["name"] for row in rows] == names
    for row in rows:
        for test in ("geometries", "molecules"):
            assert 0 < row[test]["hessian_mae"] < 1e3
    assert (folder / "results.png").stat().st_size > 10_000
    assert f"| {rows[-1]['training']} |" in (folder / "results.md").read_text()
    assert first.count("$ mace_run_train") == len(rows)
    assert "$ hint export" in first and "1 ps of acetaldehyde at" in first
    again = run(folder, *options)
    assert "$ mace_run_train" not in again and "$ hint" not in again
    assert "MAE: E, E after the best shift" in again


@pytest.mark.slow
def test_the_demo_runs_to_its_end_and_goes_on_where_it_stopped(tmp_path):
    check(tmp_path, ["ef", "alphanet"], "--only", "alphanet")


@pytest.mark.long
def test_all_trainings_of_the_demo(tmp_path):
    check(tmp_path, ALL)


def test_sizes_stand_below_the_errors(monkeypatch, tmp_path):
    """Energies count twice, as they are and after a shift, with one size; what was not measured is a dash."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    import demo

    names = ("energy", "energy_shifted", "forces", "hessian", "eigenvalues", "frequencies")
    errors = {f"{name}_mae": 0.25 for name in names}
    sizes = {f"{name}_size": 0.5 for name in names if name != "energy_shifted"}
    assert demo.numbers(errors, "mae") == "250 / 250 / 0.250 / 0.250 / 0.250 / 0"
    assert demo.numbers(sizes, "size") == "500 / 500 / 0.500 / 0.500 / 0.500 / 0"
    assert demo.numbers({"forces_mae": 0.25}, "mae") == "- / - / 0.250 / - / - / -"
    rows = [{"training": "one", "cpu_seconds": 1.0, **dict.fromkeys(demo.TESTS, errors | sizes)}]
    demo.show(rows, tmp_path)
    assert (
        (tmp_path / "results.md").read_text().splitlines()[-1].startswith("| size of the labels | 500 / 500")
    )
