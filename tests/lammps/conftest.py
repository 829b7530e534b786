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
def plugin(shared_folder: Path) -> Path:
    """The plug-in of these sources, not the one of the environment.

    A folder that ``HINT_LAMMPS_DIR`` names is taken if it holds a build of these sources.
    """
    import filelock

    if os.environ.get("HINT_LAMMPS_DIR") and not lammps_pair.problem():
        return lammps_pair.folder()
    shared = shared_folder / "plugin"
    with filelock.FileLock(f"{shared}.lock"):
        if not (shared / lammps_pair.LIBRARY).is_file():
            build(output=shared)
    os.environ["HINT_LAMMPS_DIR"] = str(shared)
    return shared
