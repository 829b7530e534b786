"""Energies of geometries: written where ASE reads them, read from every spelling that HINT has used."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from hint_plugin.data import read_frames
from hint_plugin.data.labels.ase_energies import energy_of, with_energy
from hint_plugin.science.reactions.reaction_files import write_path


def test_a_path_as_ase_reads_it(tmp_path):
    """With energies, charge and spin; without what belonged to another geometry."""
    start = molecule("OH")
    start.info |= {"charge": -1, "spin": 1, "REF_energy": 5.0}
    start.arrays["REF_forces"] = np.ones((2, 3))
    write_path(tmp_path / "path.xyz", [start, start], [-1.5, -2.5])
    assert "energy_eV" not in (tmp_path / "path.xyz").read_text()
    found = ase.io.read(tmp_path / "path.xyz", ":")
    assert [atoms.get_potential_energy() for atoms in found] == [-1.5, -2.5]
    assert found[0].info == {"charge": -1, "spin": 1} and "REF_forces" not in found[0].arrays
    assert [energy_of(atoms) for atoms in read_frames(tmp_path / "path.xyz")] == [-1.5, -2.5]


@pytest.mark.parametrize("key", ["energy", "REF_energy", "energy_eV"])
def test_every_spelling_is_read(tmp_path, key):
    (tmp_path / "a.xyz").write_text(f"1\nProperties=species:S:1:pos:R:3 {key}=-3.25\nH 0 0 0\n")
    assert energy_of(read_frames(tmp_path / "a.xyz")[0]) == -3.25
    assert energy_of(Atoms("H")) is None


def test_isotopes_stay():
    heavy = molecule("H2O")
    heavy.set_masses([15.995, 2.014, 2.014])
    assert with_energy(heavy, 0.0).get_masses() == pytest.approx([15.995, 2.014, 2.014])
