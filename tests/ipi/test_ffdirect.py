"""The driver in i-PI's own process: an error in its thread ends i-PI, which would wait for ever."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import warm

pytest.importorskip("ipi", reason="needs i-PI: pip install '.[ipi]'")

from ase import Atoms
from ase.build import bulk
from ipi_runs import direct, launch, simulation
from pair_artifact import write_pair

from ipi_driver.phonons import start_text, upright

IN_A_THREAD = """
import sys, threading
import numpy as np
from ipi_driver.driver import HintDriver

driver = HintDriver("template.xyz", "b2.hint.pt")
positions = np.zeros((3, 3)) if sys.argv[2] == "atoms" else np.zeros((2, 3))
if sys.argv[2] == "bug":
    driver._computed = lambda cell, pos: 1 / 0
thread = threading.Thread(target=driver.compute, args=(9 * np.eye(3), positions), name=sys.argv[1])
thread.start()
thread.join()
print("goes on")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A crystal for i-PI, its model, and a template of another one."""
    write_pair(tmp_path / "b2.hint.pt", ("H", "Li"), distance=1.9, cutoff=5.0)
    crystal = upright(bulk("HLi", "cesiumchloride", a=2.5))
    (tmp_path / "start.xyz").write_text(start_text(crystal))
    Atoms("HLi", [[0, 0, 0], [0, 0, 1.6]]).write(tmp_path / "template.xyz", format="extxyz")
    return tmp_path


@pytest.mark.parametrize(
    ("thread", "fault", "code", "said"),
    [
        ("poll_hint", "atoms", 1, "error: i-PI sends 3 atoms and the template template.xyz has 2"),
        ("poll_hint", "bug", 1, "ZeroDivisionError: division by zero"),
        ("another", "atoms", 0, "goes on"),
    ],
)
def test_only_a_thread_of_ipi_ends_the_process(folder, thread, fault, code, said):
    done = warm.run([sys.executable, "-c", IN_A_THREAD, thread, fault], cwd=folder)
    assert done.returncode == code and said in done.stdout + done.stderr
    assert ("i-PI ends here" in done.stderr) == bool(code)


def test_a_wrong_template_ends_ipi_with_a_message(folder):
    (folder / "run.xml").write_text(simulation(direct("b2.hint.pt")))
    process = launch(folder, "i-pi", "run.xml")
    try:
        code = process.wait(timeout=300)  # it hung
    finally:
        process.kill()
    said = (folder / "i-pi.log").read_text()
    assert code == 1, said[-2000:]
    assert "error: i-PI's cell" in said or "template template.xyz" in said
    assert "i-PI ends here, since its thread of <ffdirect> cannot go on" in said
    assert "Soft exit has been requested" in said  # its files are written
