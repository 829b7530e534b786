"""`hint label --parsl` through a real Slurm of one node."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
pytest.importorskip("parsl", reason="needs Parsl: pip install '.[cluster]'")

SCRIPT = Path(__file__).with_name("one_node_slurm.sh")
MISSING = 77


@pytest.mark.cluster
@pytest.mark.slow
def test_one_node_slurm():
    environment = os.environ | {"PYTHON": sys.executable}
    found = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=600)
    if found.returncode == MISSING:
        pytest.skip(found.stderr.strip())
    assert found.returncode == 0, found.stdout + found.stderr
    assert "RUNNING" in found.stdout and "one_node_slurm: ok" in found.stdout
