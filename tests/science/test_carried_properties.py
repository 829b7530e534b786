"""What atoms carry (moments, charges, tags, arrays of one's own), in supercells and in their symmetry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms

pytest.importorskip("phonopy", reason="needs phonopy: pip install '.[phonons]'")

import phonopy
from phonopy.structure.atoms import PhonopyAtoms

from hint_plugin.data import read_frames
from hint_plugin.data.structures.supercells import dressed, kinds, per_atom, supercell
from hint_plugin.data.structures.unit_cell import to_ase
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.anharmonic import SschaSettings, from_phonopy, to_phonopy
from hint_plugin.science.anharmonic.checkpoint import read_state
from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
from hint_plugin.science.anharmonic.ensemble import frames
from hint_plugin.science.anharmonic.run_folder import fingerprint, run
from hint_plugin.science.phonons import harmonic_phonons
from hint_plugin.science.phonons.bands import frequencies_at
from hint_plugin.science.phonons.carried_properties import lowering, magnetism_lowers, space_group
from hint_plugin.science.phonons.cell_relaxation import relax_crystal
from hint_plugin.science.phonons.crystals import new_phonopy
from hint_plugin.science.phonons.double_well import along_mode

CASES = Path(__file__).parents[1] / "data" / "cases" / "crystals"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def spin(monkeypatch):
    """The calculator of spin.py, whose energy depends on the moments, and the antiferromagnet."""
    monkeypatch.syspath_prepend(CASES)
    import spin

    (nickel,) = read_frames(CASES / "nickel.xyz")
    return spin.calculator(), nickel


class Charged(Calculator):
    """Neighbours on springs that are stiffer by their charges, and by an array of one's own."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012
    seen: list[Atoms]

    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        from ase.neighborlist import neighbor_list

        super().calculate(atoms, properties, system_changes)
        self.seen.append(atoms.copy())
        strength = atoms.get_initial_charges() + atoms.arrays["strength"]
        i, j, d, vectors = neighbor_list("ijdD", atoms, 3.0)
        k = 2.0 + strength[i] + strength[j]
        pull = (k * (d - 2.86) / d)[:, None] * vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, pull)
        self.results = {"energy": 0.25 * (k * (d - 2.86) ** 2).sum(), "forces": forces}


def by_hand(nickel: Atoms, calculator: Calculator) -> phonopy.Phonopy:
    """Phonopy's own supercell, displacements and moments."""
    cell = PhonopyAtoms(
        symbols=list(nickel.symbols),
        cell=nickel.cell.array,
        scaled_positions=nickel.get_scaled_positions(),
        magnetic_moments=nickel.get_initial_magnetic_moments(),
    )
    found = phonopy.Phonopy(cell, supercell_matrix=np.diag([2, 2, 2]), primitive_matrix="P")
    found.generate_displacements(distance=0.01, is_plusminus=True)
    forces = []
    for one in found.supercells_with_displacements:
        large = Atoms(one.symbols, cell=one.cell, scaled_positions=one.scaled_positions, pbc=True)
        large.set_initial_magnetic_moments(one.magnetic_moments)
        large.calc = calculator
        forces.append(large.get_forces())
    found.forces = np.array(forces)
    found.produce_force_constants()
    return found


def test_an_antiferromagnet_is_stable(spin):
    """Moments in the supercell: what phonopy gives with them, and no false instability."""
    calculator, nickel = spin
    q = np.array(list(np.ndindex(2, 2, 2))) / 2
    wanted = frequencies_at(by_hand(nickel, calculator), q)
    for displacement in (None, 0.01):
        found = harmonic_phonons(nickel, calculator, 2, displacement=displacement)
        assert len(found.primitive) == 2, "atoms of opposite moments are not one atom"
        np.testing.assert_allclose(frequencies_at(found, q), wanted, atol=0.05)
    assert wanted.min() > -0.1 and 300 < wanted.max() < 310
    bare = nickel.copy()
    del bare.arrays["initial_magmoms"]
    assert frequencies_at(harmonic_phonons(bare, calculator, 2), q).max() > 330, "the case depends on moments"


def test_symmetry_of_a_magnet(spin):
    _, nickel = spin
    assert space_group(nickel) == "Im-3m, magnetic 221.97"
    assert not magnetism_lowers(nickel), "a translation with all moments turned over is an operation"
    layers = bulk("Ni", cubic=True)
    layers.set_initial_magnetic_moments([1, 1, -1, -1])
    assert magnetism_lowers(layers) and lowering(layers) == []
    assert SpaceGroup(layers, (1, 1, 1)).order < SpaceGroup(bulk("Ni", cubic=True), (1, 1, 1)).order


def test_charges_and_arrays_reach_every_cell():
    """Atoms of one element that differ in them are not one, and what rotations make agrees with all rows."""
    iron = bulk("Fe", a=3.3, cubic=True)  # second neighbours are out of reach
    iron.set_initial_charges([0.5, -0.2])
    iron.arrays["strength"] = np.array([0.1, 0.3])
    iron.arrays["momenta"] = np.ones((2, 3))
    calculator = Charged()
    assert sorted(lowering(iron)) == ["initial_charges", "strength"]
    by_products = harmonic_phonons(iron, calculator, 2, symmetry=False, force_tolerance=None)
    found = harmonic_phonons(iron, calculator, 2, force_tolerance=None)
    q = np.array([(0, 0, 0), (0.5, 0, 0), (0.5, 0.5, 0.5)])
    np.testing.assert_allclose(frequencies_at(found, q), frequencies_at(by_products, q), atol=0.1)
    large = calculator.seen[-1]
    assert len(large) == 16 and "momenta" not in large.arrays
    for name in ("initial_charges", "strength"):
        assert sorted(set(large.arrays[name])) == sorted(iron.arrays[name]), name
    line = along_mode(found, (0.5, 0, 0), 1, iron)
    assert sorted(set(line.at(0.1).get_initial_charges())) == [-0.2, 0.5]


def test_isotopes_on_two_sites_are_two_atoms():
    """Masses that differ on equal sites: phonopy's primitive cell would take one for both."""
    copper = bulk("Cu", cubic=True)
    copper.set_masses([63.0, 65.0, 63.0, 65.0])
    assert lowering(copper) == ["masses"] and len(new_phonopy(copper, 1).primitive) == 4
    copper.set_masses([63.0] * 4)
    assert lowering(copper) == [] and len(new_phonopy(copper, 1).primitive) == 1


def test_supercells_carry_what_a_calculator_reads():
    atoms = bulk("NaCl", "rocksalt", 5.6)
    atoms.set_tags([1, 2])
    atoms.arrays |= {"dipoles": np.eye(3)[:2], "REF_forces": np.ones((2, 3)), "momenta": np.ones((2, 3))}
    atoms.info["temperature"] = 300.0
    atoms.set_constraint(FixAtoms([0]))
    large = supercell(atoms, (2, 1, 1))
    assert not large.constraints
    assert large.get_tags().tolist() == [1, 2, 1, 2] and large.info["temperature"] == 300.0
    assert (
        set(large.arrays)
        == {"numbers", "positions", "tags", "dipoles"}
        == set(per_atom(large))
        | {
            "numbers",
            "positions",
        }
    )
    shuffled = dressed(Atoms(large.symbols, large.positions, cell=large.cell, pbc=True)[[3, 0, 2, 1]], atoms)
    assert shuffled.get_tags().tolist() == [2, 1, 1, 2]
    assert kinds(atoms.repeat((1, 1, 2))).tolist() == kinds(atoms.repeat((1, 1, 2)), ["tags"]).tolist()
    with pytest.raises(DataError, match="not where"):
        moved = large.copy()
        moved.positions[1] += 0.1
        dressed(moved, atoms)
    atoms.info["charge"] = 1
    with pytest.raises(DataError, match="charge or spin"):
        supercell(atoms, (2, 1, 1))
    del atoms.info["charge"]
    atoms.pbc = (True, True, False)
    with pytest.raises(OptionsError, match="not periodic in a direction"):
        supercell(atoms, (1, 1, 2))


def test_an_sscha_keeps_moments(spin, tmp_path):
    """In its structures, its files, and when it goes on."""
    from hint_plugin.science.anharmonic import Evaluator

    calculator, nickel = spin
    start = from_phonopy(harmonic_phonons(nickel, calculator, 2), crystal=nickel)
    drawn = frames(start, np.zeros((2, 48)))[1]
    assert drawn.get_initial_magnetic_moments().tolist() == [2.0, -2.0] * 8
    again = to_phonopy(start)
    assert again.supercell.magnetic_moments is not None
    settings = SschaSettings(configurations=4, populations=1)
    run(tmp_path, start, Evaluator(calculator, stress=False), settings)
    state, _ = read_state(tmp_path / "state.npz")
    assert state.constants.atoms.get_initial_magnetic_moments().tolist() == [2.0, -2.0]
    other = from_phonopy(harmonic_phonons(nickel, calculator, 2))  # phonopy's own moments, no others
    assert fingerprint(other) == fingerprint(start)
    other.atoms.set_tags([1, 2])
    with pytest.raises(OptionsError, match="other force constants"):
        run(tmp_path, other, Evaluator(calculator, stress=False), settings)


def test_a_relaxation_does_not_impose_more_symmetry_than_there_is(spin):
    """Layers of moments ++-- along z: pairs of them move together, which the symmetry of bare fcc forbids."""
    calculator, _ = spin
    layers = bulk("Ni", a=3.5, cubic=True).repeat((1, 1, 2))
    heights = np.rint(4 * layers.get_scaled_positions()[:, 2]).astype(int)
    layers.set_initial_magnetic_moments(np.array([2.0, 2.0, -2.0, -2.0])[heights])
    found = relax_crystal(layers, calculator, cell=False, fmax=1e-2)
    assert abs(found.atoms.positions - layers.positions).max() > 0.005
    assert found.largest_force < 1e-2
    assert (found.atoms.get_initial_magnetic_moments() == layers.get_initial_magnetic_moments()).all()


def test_phonopys_files_keep_moments(tmp_path, spin):
    _, nickel = spin
    phonon = new_phonopy(nickel, 2)
    phonon.save(tmp_path / "phonopy.yaml")
    from hint_plugin.data.structures.unit_cell import read_crystal

    assert read_crystal(tmp_path / "phonopy.yaml").get_initial_magnetic_moments().tolist() == [2.0, -2.0]
    assert to_ase(phonon.supercell).get_initial_magnetic_moments().sum() == 0
