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


def test_figures_are_there():
    for part in ("efficiency", "ablation", "curriculum", "sampling"):
        assert f"img/study-{part}.png" in PAGE and (ROOT / f"docs/img/study-{part}.png").is_file()
