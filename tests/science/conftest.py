"""What the tests of molecules share."""

from __future__ import annotations

import pytest

from hint_plugin.labelling import EngineCalculator, make_engine


@pytest.fixture(scope="module")
def gfn2() -> EngineCalculator:
    """GFN2-xTB as a calculator; the tests that want it are skipped without tblite."""
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    return EngineCalculator(make_engine("gfn2-xtb"))
