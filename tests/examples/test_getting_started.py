"""docs/getting-started.md: its commands in their order, as a reader types them, with a short training."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import warm

from hint_plugin.data import read_frames, read_label

for module, extra in (("mace", "mace"), ("tblite", "label"), ("sella", "reactions")):
    pytest.importorskip(module, reason=f"needs {module}: pip install '.[{extra}]'")

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "getting-started.md").read_text()
SHORTER = {
    "--copies 2 ": "--copies 1 ",
    "--copies 12 ": "--copies 2 ",
    "--max_num_epochs 120": "--max_num_epochs 4",
}
"""What the test does less of; the rest is run as it stands."""


def commands() -> list[str]:
    """The lines that begin with $, joined where they go on."""
    return re.findall(r"^ {4}\$ (.*)$", re.sub(r"\\\n\s*", " ", TEXT), re.M)


@pytest.mark.slow
def test_the_page_from_its_first_command_to_its_last(tmp_path):
    path = f"{warm.bin_folder()}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    for old in SHORTER:
        assert old in TEXT
    for command in commands():
        line = command.replace("../examples", str(ROOT / "examples"))
        for old, new in SHORTER.items():
            line = line.replace(old, new)
        done = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        # A model of one epoch may let a molecule go: that is told by exit code 3.
        accepted = (0, 3) if "vibrations" in line else (0,)
        assert done.returncode in accepted, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    train = read_frames(tmp_path / "train.xyz")
    assert len(train) == 10 and all(read_label(atoms) is not None for atoms in train)
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["metrics"]
    assert metrics["n_full"] == 5 and metrics["frequencies_mae"] > 0
    found = json.loads((tmp_path / "vibrations" / "vibrations.json").read_text())
    assert len(found["results"]) + len(found["failures"]) == 5


def test_every_step_of_the_way_is_on_the_page():
    words = [" ".join(command.split()[:2]) for command in commands()]
    assert words == [
        "cp ../examples/molecules.xyz",
        *("hint sample", "hint sample", "hint label", "hint label"),
        *("mace_run_train --name", "hint evaluate", "hint export", "hint vibrations"),
    ]
