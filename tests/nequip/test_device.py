"""A step on a pretended device: the numbers of the CPU, and how often the host waits for the device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import warm

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

WORKER = Path(__file__).parents[1] / "helpers" / "nequip_pretended_worker.py"


def worker(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return warm.run([sys.executable, WORKER, *words], env=environment)


@pytest.mark.parametrize(
    ("kind", "mode", "split"),
    [
        ("NequIP", "hutchinson", "always"),
        pytest.param("Allegro", "column", "never", marks=pytest.mark.long),
        pytest.param("AlphaNet", "hutchinson", "always", marks=pytest.mark.long),
        pytest.param("NequIP", "difference", "always", marks=pytest.mark.long),
        pytest.param("NequIP", "full", "never", marks=pytest.mark.long),
    ],
)
def test_the_numbers_of_the_cpu_and_no_stop(kind, mode, split):
    done = worker(kind, mode, split)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    cpu, device = found["cpu"], found["pretend"]
    assert device["loss"] == pytest.approx(cpu["loss"], rel=1e-11)
    assert device["norms"] == pytest.approx(cpu["norms"], rel=1e-9)
    assert device["labels_stayed"]
    assert not [stop for stop in device["stops"] if stop["is_own"]]
    assert len(device["stops"]) >= 3, "NequIP's metrics have to be seen"


def test_a_tensor_left_on_the_cpu_ends_the_step():
    done = worker("NequIP", "hutchinson", "always", "planted")
    assert done.returncode != 0 and "Expected all tensors to be on the same device" in done.stderr
