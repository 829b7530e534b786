"""GFN-xTB in implicit solvents: against the xtb program, against differences, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.units import Bohr, Hartree

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")

from hint_plugin.data.labels.levels import level_differences
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.labelling import make_engine, make_labels
from hint_plugin.potentials import open_potential

WATER = {"solvent": "water"}
XTB = shutil.which("xtb")


def displaced(name: str) -> Atoms:
    atoms = molecule(name)
    atoms.rattle(0.03, seed=0)
    return atoms


@pytest.mark.skipif(XTB is None, reason="the xtb program is not installed (Debian: apt install xtb)")
@pytest.mark.parametrize("model", ["alpb", "gbsa"])
@pytest.mark.parametrize("name", ["H2O", "CH3CONH2"])
def test_the_xtb_program_has_the_same(tmp_path, name, model):
    """xtb 6.5 and tblite 0.8 have the same parameters. Seen: 2e-7 eV of 0.2 to 0.4 eV, and 4e-7 eV/A."""
    displaced(name).write(tmp_path / "in.xyz")
    command = [str(XTB), "in.xyz", "--grad", f"--{model}", "water", "--acc", "0.01"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    energy = float(re.search(r"TOTAL ENERGY\s+(-?[\d.]+)", done.stdout).group(1)) * Hartree
    rows = [line.split() for line in (tmp_path / "gradient").read_text().splitlines()]
    atoms = ase.io.read(tmp_path / "in.xyz")  # with the digits that xtb saw
    gradient = np.array([row for row in rows if len(row) == 3][-len(atoms) :], dtype=float)
    found = make_engine("gfn2-xtb", solvent="water", solvation=model).prepare(atoms).single_point()
    gas = make_engine("gfn2-xtb").prepare(atoms).single_point()
    assert found.energy == pytest.approx(energy, abs=2e-6)
    np.testing.assert_allclose(found.forces, -gradient * Hartree / Bohr, atol=1e-5)
    assert found.energy - gas.energy < -0.1 and np.abs(found.forces - gas.forces).max() > 0.1


@pytest.mark.parametrize(
    ("model", "solvent"), [("alpb", "water"), ("gbsa", "thf"), ("ddx", "water"), ("ddx", "80.2")]
)
def test_forces_are_the_derivative_of_the_energy(model, solvent):
    """Along one random direction; the energy of a translated molecule is the same, as labels rely on it."""
    atoms = displaced("CH3CHO")
    prepared = make_engine("gfn2-xtb", solvent=solvent, solvation=model).prepare(atoms)
    direction = np.random.default_rng(0).normal(size=(7, 3))
    energies = [prepared.single_point(atoms.positions + h * direction).energy for h in (-1e-3, 1e-3)]
    slope = (energies[1] - energies[0]) / 2e-3
    assert slope == pytest.approx(-(prepared.single_point().forces * direction).sum(), abs=2e-3)
    moved = prepared.single_point(atoms.positions + [0.3, 0.2, 0.1]).energy
    assert moved == pytest.approx(prepared.single_point().energy, abs=1e-8)


def test_labels_carry_the_solvent_and_are_another_level():
    """A label of the gas is not one that a run in water keeps."""
    wet, dry = (make_labels(make_engine("gfn2-xtb", **more), displaced("H2O")) for more in (WATER, {}))
    assert wet.provenance["solvent"] == "water" and wet.provenance["solvation"] == "ALPB"
    assert "solvent" not in dry.provenance and "solvation" not in dry.provenance
    said = level_differences(dry.provenance, wet.provenance, hessian=True)
    assert any(line.startswith("solvent: ") and "water asked for" in line for line in said)
    assert np.abs(wet.hessian.hessian - dry.hessian.hessian).max() > 0.5


def test_a_potential_of_its_own():
    atoms = displaced("CH3OH")
    gas, water = (open_potential("gfn2-xtb", **more) for more in ({}, {"solvent": "water"}))
    assert water.evaluate([atoms])[0].energy < gas.evaluate([atoms])[0].energy - 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"solvent": "watre"},
            r"no parameters of GFN2-xTB with alpb for solvent=watre.*[Dd]id you mean 'water'",
        ),
        (
            {"solvent": "80.2"},
            "alpb knows solvents by name, as water; for a dielectric constant take solvation=ddx",
        ),
        ({"solvent": "0.5", "solvation": "ddx"}, "a dielectric constant is a number above 1"),
        ({"solvation": "gbsa"}, "solvation=gbsa needs a solvent, as solvent=water"),
        (
            {"solvent": "ethanol", "solvation": "gbsa"},
            "no parameters of GFN2-xTB with gbsa for solvent=ethanol",
        ),
    ],
)
def test_solvents_that_cannot_be(options, message):
    with pytest.raises(OptionsError, match=message):
        make_engine("gfn2-xtb", **options)


def test_where_there_is_no_solvent(monkeypatch):
    with pytest.raises(
        EngineError, match="an implicit solvent is for molecules, and this structure is periodic"
    ):
        make_engine("gfn2-xtb", solvent="water").prepare(bulk("Si", cubic=True))
    pytest.importorskip("xtb", reason="needs xtb-python")
    with pytest.raises(OptionsError, match="solvent=water needs the back end tblite; backend is xtb"):
        make_engine("gfn2-xtb", solvent="water", backend="xtb")
