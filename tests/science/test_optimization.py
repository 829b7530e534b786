"""Minima and transition states on GFN2-xTB, and the engines as ASE calculators."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import Trajectory

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")

from reaction_runs import hint

from hint_plugin.data import read_frames, read_label, write_frames
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.science.molecules import dipole_derivatives, infrared_intensities, normal_modes, optimize


def with_calculator(atoms: Atoms, calculator: EngineCalculator) -> Atoms:
    atoms.calc = calculator
    return atoms


def hcn_bent() -> Atoms:
    """Near the saddle of HCN -> HNC."""
    return Atoms("HCN", [(0.55, 1.05, 0), (0, 0, 0), (1.19, 0, 0)])


# The calculator


def test_an_engine_as_calculator(gfn2):
    """Forces and dipoles belong to the energy, and a new structure or charge is a new start."""
    water = with_calculator(molecule("H2O"), gfn2)
    forces, dipole, step = water.get_forces(), water.get_dipole_moment(), 1e-3
    moved, energies = with_calculator(water.copy(), gfn2), []
    for sign in (1, -1):
        moved.positions[1, 1] = water.positions[1, 1] + sign * step
        energies.append(moved.get_potential_energy())
    assert (energies[1] - energies[0]) / (2 * step) == pytest.approx(forces[1, 1], abs=1e-3)
    assert np.linalg.norm(dipole) / 0.20819 == pytest.approx(2.2, abs=0.3)  # D, GFN2-xTB
    hydroxide = molecule("OH")
    hydroxide.set_initial_magnetic_moments(None)  # of the radical
    by_charge = {}
    for charge in (0, -1):
        hydroxide.info["charge"] = charge
        by_charge[charge] = with_calculator(hydroxide.copy(), gfn2).get_potential_energy()
    assert by_charge[-1] < by_charge[0] - 1  # GFN2-xTB binds the electron
    hessian = gfn2.get_hessian(water)
    assert hessian.shape == (9, 9) and np.abs(hessian - hessian.T).max() < 1e-12


def test_no_dipole_where_there_is_none():
    model = EngineCalculator(make_engine("calculator", calculator="ase.calculators.emt:EMT"))
    copper = with_calculator(Atoms("Cu2", [(0, 0, 0), (0, 0, 2.2)]), model)
    copper.get_forces()
    with pytest.raises(PropertyNotImplementedError, match="no dipole"):
        copper.get_dipole_moment()


def test_errors_of_the_engine_come_through(gfn2):
    with pytest.raises(EngineError):
        with_calculator(Atoms("H2", [(0, 0, 0), (0, 0, np.nan)]), gfn2).get_potential_energy()


# Optimisation


@pytest.mark.parametrize("name", ["H2O", "HCN", "C2H4", "CH3OH", "H2"])
def test_minima(gfn2, name):
    start = molecule(name)
    start.rattle(0.1, seed=3)
    found = optimize(with_calculator(start, gfn2))
    assert found.kind == "minimum" and found.converged and found.largest_force <= 0.01
    assert len(found.modes.frequencies) == 3 * len(start) - (5 if name in ("HCN", "H2") else 6)
    assert found.modes.frequencies.min() > 100


def test_hcn_to_hnc(gfn2):
    """The reference of GFN2-xTB: an imaginary mode of 1426 cm^-1, 73.2 and 53.2 kcal/mol above the ends."""
    found = optimize(with_calculator(hcn_bent(), gfn2), saddle=True)
    assert found.kind == "transition state"
    assert found.modes.frequencies[0] == pytest.approx(-1426, abs=3)
    for symbols, barrier in (("HCN", 73.2), ("HNC", 53.2)):
        line = Atoms(symbols, [(0, 0, -1.05), (0, 0, 0), (0, 0, 1.17)])
        end = optimize(with_calculator(line, gfn2))
        assert (found.energy - end.energy) * 23.0605 == pytest.approx(barrier, abs=0.1)


def test_a_saddle_is_left(gfn2, tmp_path):
    """Planar ammonia is stationary by symmetry, and no minimum."""
    planar = Atoms("NH3", [(0, 0, 0), *((np.cos(a), np.sin(a), 0) for a in np.deg2rad([0, 120, 240]))])
    steps = []
    found = optimize(
        with_calculator(planar, gfn2), trajectory=tmp_path / "a.traj", report=lambda *s: steps.append(s)
    )
    assert (
        found.kind == "minimum"
        and abs(found.atoms.positions[1:, 2] - found.atoms.positions[0, 2]).min() > 0.2
    )
    assert len(Trajectory(tmp_path / "a.traj")) >= found.steps and steps[-1][0] <= found.steps
    assert abs(planar.positions[:, 2]).max() == 0  # the start is the caller's


BIFURCATED = [(0, 0, 0.119262), (0, 0.763239, -0.477047), (0, -0.763239, -0.477047)]
WATERS = [*BIFURCATED, *(np.array(BIFURCATED) * (1, -1, -1) + (0, 0, 3.2))]
CROSSED = [(0, 0, 0), (0, 0, 1.16), (0, 0, -1.16), (3.4, 0, 0), (3.4, 1.16, 0), (3.4, -1.16, 0)]
T_SHAPED = [(0, 0, 0), (0, 0, 1.16), (0, 0, -1.16), (0, 0, 4.2), (0, 1.16, 4.2), (0, -1.16, 4.2)]
SOFT = {  # starts near saddles with modes of 53, 22 and 7 i cm^-1 -> the energy of the minimum, eV
    "bifurcated water dimer": (Atoms("OH2OH2", WATERS), -276.1685),
    "crossed CO2 dimer": (Atoms("CO2CO2", CROSSED), -561.0696),
    "T-shaped CO2 dimer": (Atoms("CO2CO2", T_SHAPED), -561.0696),
}


@pytest.mark.parametrize("name", SOFT)
def test_a_soft_saddle_is_left(gfn2, name):
    """A push of 0.1 A leaves less than 0.01 eV/A along such a mode: the search has to know."""
    start, energy = SOFT[name]
    found = optimize(with_calculator(start.copy(), gfn2))
    assert found.kind == "minimum" and found.modes.frequencies[0] > 0 and found.largest_force <= 0.01
    assert found.energy == pytest.approx(energy, abs=1e-3)


class Ridge(Calculator):
    """A saddle that is none for the forces: the Hessian lies, so that no push leads away."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        self.atoms = atoms.copy()
        bond = atoms.positions[1] - atoms.positions[0]
        length = np.linalg.norm(bond)
        pull = 20.0 * (length - 1.0) * bond / length
        self.results = {"energy": 10.0 * (length - 1.0) ** 2, "forces": np.array([pull, -pull])}

    def get_hessian(self, atoms):
        bond = atoms.positions[1] - atoms.positions[0]
        bond /= np.linalg.norm(bond)
        return -0.5 * np.kron([[1, -1], [-1, 1]], np.outer(bond, bond))


def test_what_stays_on_a_saddle_is_a_failure(tmp_path, monkeypatch, capfd):
    """Exit 3 without --saddle; the structure is written all the same."""
    pair = Atoms("H2", [(0, 0, 0), (0, 0, 1.1)])
    pair.info["REF_hessian"] = np.eye(6)
    write_frames(tmp_path / "in.xyz", [pair])
    monkeypatch.setattr("hint_plugin.potentials.on_demand.PotentialSpec.calculator", lambda *a: Engineless())
    code, text = hint(capfd, "optimize", tmp_path / "in.xyz", "-o", tmp_path / "out.xyz", "--engine", "x")
    assert code == 3 and "ended in a transition state (imaginary modes: -" in text
    assert "wanted a minimum" in text and "--fmax" in text
    (found,) = read_frames(tmp_path / "out.xyz")
    assert found.info["kind"] == "transition state" and read_label(found) is None  # of another geometry
    assert found.get_potential_energy() == pytest.approx(0, abs=1e-3)
    assert found.get_potential_energy() == found.info["REF_energy"]
    monkeypatch.setattr("hint_plugin.potentials.on_demand.PotentialSpec.calculator", lambda *a: Engineless())
    code, text = hint(
        capfd, "thermo", tmp_path / "in.xyz", "-o", tmp_path / "t", "--engine", "x", "--optimize"
    )
    assert code == 3 and "ended in a transition state" in text  # and not its Gibbs energy
    write_frames(tmp_path / "bent.xyz", [hcn_bent()])
    monkeypatch.undo()
    arguments = ("-o", tmp_path / "ts.xyz", "--engine", "gfn2-xtb", "--saddle")
    code, text = hint(capfd, "optimize", tmp_path / "bent.xyz", *arguments)
    assert code == 0 and "transition state" in text


class Engineless(Ridge):
    """With what the verb asks of an engine for its provenance."""

    class engine:
        """Nothing computed here."""

        name, method, version = "ridge", "ridge", "1"

        @staticmethod
        def provenance():
            return {"engine": "ridge"}

    def provenance(self, atoms):
        return self.engine.provenance()


def test_thermo_says_what_it_leaves_out(tmp_path, capfd):
    planar = Atoms("NH3", [(0, 0, 0), *((np.cos(a), np.sin(a), 0) for a in np.deg2rad([0, 120, 240]))])
    write_frames(tmp_path / "in.xyz", [planar])
    arguments = ("thermo", tmp_path / "in.xyz", "-o", tmp_path / "t", "--engine", "gfn2-xtb")
    code, text = hint(capfd, *arguments)
    assert code == 0 and "the imaginary mode of -928" in text
    assert "is left out (this is no transition state)" in text and "not stationary: 0." in text
    code, text = hint(capfd, *arguments, "--optimize", "--fmax", "0.001")
    assert code == 0 and "left out" not in text
    row = json.loads((tmp_path / "t" / "thermo.json").read_text())["results"][0]
    assert row["kind"] == "minimum" and row["largest_force"] <= 0.001


def test_what_does_not_converge(gfn2):
    start = molecule("CH3CH2OH")
    start.rattle(0.2, seed=1)
    found = optimize(with_calculator(start, gfn2), steps=1)
    assert not found.converged and "eV/A left after 1 step" in found.kind and found.modes is None


class Repulsive(EMT):
    """Atoms that fly apart."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        self.atoms = atoms.copy()
        d = atoms.positions[1] - atoms.positions[0]
        pull = 5.0 * d / np.linalg.norm(d)
        self.results = {"energy": -5.0 * np.linalg.norm(d), "forces": np.array([-pull, pull])}

    def get_hessian(self, atoms):
        return np.zeros((6, 6))


def test_atoms_that_fly_apart():
    pair = Atoms("H2", [(0, 0, 0), (0, 0, 0.8)])
    pair.calc = Repulsive()
    found = optimize(pair, steps=2000)
    assert not found.converged and "flies apart" in found.kind


def test_what_is_refused(gfn2):
    with pytest.raises(DataError, match="get_hessian"):
        optimize(with_calculator(molecule("H2O"), EMT()))
    periodic = molecule("H2O", vacuum=3, pbc=True)
    with pytest.raises(DataError, match="periodic"):
        optimize(with_calculator(periodic, gfn2))
    held = molecule("H2O")
    held.set_constraint(FixAtoms([0, 1, 2]))
    with pytest.raises(DataError, match="FixAtoms of 3 atoms.*nothing can move"):
        optimize(with_calculator(held, gfn2))
    with pytest.raises(OptionsError, match="above 0"):
        optimize(with_calculator(molecule("H2O"), gfn2), fmax=0)


def test_intensities_by_differences_do_not_depend_on_the_step(gfn2):
    found = optimize(with_calculator(molecule("CO2"), gfn2))
    a, b = (infrared_intensities(found.modes, dipole_derivatives(found.atoms, step)) for step in (2e-3, 8e-3))
    assert a == pytest.approx(b, rel=0.01, abs=0.2)
    assert a[2] < 0.1 < a[0] < a[3]  # the symmetric stretch is dark, the antisymmetric one the brightest


# The commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Water and carbon dioxide, rattled."""
    place = tmp_path_factory.mktemp("molecules")
    frames = [molecule("H2O"), molecule("CO2")]
    for atoms in frames:
        atoms.rattle(0.03, seed=1)
    write_frames(place / "in.xyz", frames)
    return place


def test_the_commands_one_after_the_other(folder, capfd):
    code, text = hint(capfd, "optimize", folder / "in.xyz", "-o", folder / "min.xyz", "--engine", "gfn2-xtb")
    assert code == 0 and text.count("minimum") == 2
    assert {atoms.info["kind"] for atoms in read_frames(folder / "min.xyz")} == {"minimum"}

    code, text = hint(capfd, "hessian", folder / "min.xyz", "-o", folder / "h.xyz", "--engine", "gfn2-xtb")
    assert code == 0 and "imaginary" in text
    labelled = read_frames(folder / "h.xyz")
    nu = normal_modes(labelled[0], read_label(labelled[0]).hessian).frequencies

    code, text = hint(capfd, "thermo", folder / "h.xyz", "-o", folder / "t", "--json")
    rows = json.loads(text[text.index("{") :])["results"]
    assert code == 0 and [row["symmetry_number"] for row in rows] == [2, 2]
    assert rows[0]["gibbs_correction"] == pytest.approx(0.068, abs=5e-4)  # GFN2-xTB, ASE and PySCF
    assert (folder / "t" / "thermo.csv").read_text().startswith("name,formula,kind")

    code, text = hint(capfd, "vibrations", folder / "min.xyz", "-o", folder / "v", "--engine", "gfn2-xtb")
    assert code == 0 and "infrared" in text and "a minimum" in text
    found = json.loads((folder / "v" / "vibrations.json").read_text())["results"]
    assert found[0]["frequencies"] == pytest.approx(nu.tolist(), abs=0.5)
    movie = read_frames(folder / "v" / "min-1.modes.xyz")
    assert len(movie) == 20 * 4 and movie[0].info["mode"] == 1
    code, text = hint(
        capfd, "vibrations", folder / "min.xyz", "-o", folder / "md", "--engine", "gfn2-xtb", "--md", "0.3"
    )
    density = json.loads((folder / "md" / "vibrations.json").read_text())["results"][0]["density_of_states"]
    assert code == 0 and 50 < density["temperature"] < 900
    assert np.trapezoid(density["density"], density["wavenumbers"]) == pytest.approx(3.0, abs=0.1)
    molden = (folder / "v" / "min-1.molden").read_text()
    assert molden.count("vibration") == 4 and "[INT]" in molden
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[plot]'")
    assert (folder / "v" / "min-0.png").stat().st_size > 5000


def test_what_fails_is_told_and_the_rest_goes_on(folder, capfd):
    write_frames(folder / "mixed.xyz", [molecule("H2O"), Atoms("Fr2", [(0, 0, 0), (0, 0, 3)])])
    arguments = ("--engine", "gfn2-xtb", "--json")
    code, text = hint(capfd, "thermo", folder / "mixed.xyz", "-o", folder / "m", "--optimize", *arguments)
    assert code == 3 and "failed: mixed-1 (Fr2)" in text
    kept = json.loads((folder / "m" / "thermo.json").read_text())
    assert len(kept["results"]) == 1 and kept["failures"][0]["kind"] == "element"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("thermo", "in.xyz"), "has no full Hessian"),
        (("optimize", "in.xyz", "-o", "o.xyz"), "got neither of --model FILE and --engine"),
        (("thermo", "in.xyz", "--optimize"), "need --model FILE or --engine"),
        (("optimize", "in.xyz", "-o", "o.pdf", "--engine", "gfn2-xtb"), "o.pdf"),
    ],
)
def test_messages(folder, monkeypatch, capfd, arguments, message):
    monkeypatch.chdir(folder)
    code, text = hint(capfd, *arguments)
    assert code in (2, 3)
    assert message in " ".join(text.split())
