"""The tables of docs/study.md are those of the raw results in the repository."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "protocol_study.json").read_text())
PAGE = (ROOT / "docs" / "study.md").read_text()


@pytest.fixture(scope="module")
def tables():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from protocol.report import tables

        return tables(RESULTS)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_tables_are_those_of_the_results(tables):
    assert {"efficiency", "ablation", "cost", "curriculum", "sampling", "downstream"} <= set(tables)
    for name, table in tables.items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in PAGE, name


def test_sizes_stand_below_the_errors_where_they_were_measured():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from protocol.report import tables
        from protocol.runs import METRICS
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    rows = [
        {"series": "GFN2-xTB", "x": seed} | {name: 2.0 if "size" in name else 0.1 * seed for name in METRICS}
        for seed in (1, 2)
    ]
    head, _, one, _, last = tables({"untrained": rows})["untrained"].splitlines()
    assert "E after the best shift, eV/atom | F, eV/A" in head and one.startswith(
        "| GFN2-xTB | 1 | 0.1 | 0.1"
    )
    assert last == "| size of the labels | mean absolute value | 2 | 2 | 2 | 2 | 2 | |"
    rows[1]["forces_size"] = 2.5
    with pytest.raises(ValueError, match="forces_size is 2.0 to 2.5"):
        tables({"untrained": rows})


def test_figures_are_there():
    for part in ("efficiency", "ablation", "curriculum", "sampling"):
        assert f"img/study-{part}.png" in PAGE and (ROOT / f"docs/img/study-{part}.png").is_file()
