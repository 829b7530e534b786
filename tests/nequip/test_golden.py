"""Checkpoints and packages that an earlier HINT wrote load, and give what they gave (`make_golden.py`)."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("nequip", reason="needs NequIP: make test-nequip")

from make_golden import GOLDEN, water

from hint_plugin.nequip.predictor import NequipPredictor

EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.mark.parametrize("name", ["nequip.ckpt", "nequip.nequip.zip", "alphanet.ckpt", "alphanet.nequip.zip"])
def test_files_of_nequip(name: str) -> None:
    (found,) = NequipPredictor(GOLDEN / name).predict([water()])
    assert found.energy == pytest.approx(EXPECTED[name]["energy"], rel=1e-9)
    np.testing.assert_allclose(np.asarray(found.forces), EXPECTED[name]["forces"], atol=1e-8)
