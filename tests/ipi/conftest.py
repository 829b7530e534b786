"""A folder with a structure for i-PI."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mace")
pytest.importorskip("ipi")

from artifacts import structures

from ipi_driver.phonons import start_text, upright


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with ethanol as i-PI's start and as the template."""
    atoms = upright(structures()["ethanol"])
    (tmp_path / "start.xyz").write_text(start_text(atoms))
    atoms.write(tmp_path / "template.xyz", format="extxyz")
    return tmp_path
