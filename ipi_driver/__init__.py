"""Potentials of `hint export` in i-PI: the driver (`driver.py`) and a client of its own (`client.py`)."""

from pathlib import Path


def path() -> Path:
    """The driver's file, for ``i-pi-driver-py -m custom -P`` and ``<pes_path>``."""
    return Path(__file__).with_name("driver.py")
