"""An artifact computes what its checkpoint computes, however it is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from artifacts import NUMBERS, structures
from ase import units
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.verlet import VelocityVerlet
from mace.calculators import MACECalculator

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.mace.predictor import MacePredictor
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.science.molecules.dynamics import thermalise

FORCES = {"float64": 1e-9, "float32": 5e-5}


@pytest.fixture(scope="module")
def potential(artifact):
    return Potential(artifact)


def test_energies_forces_and_stresses_are_those_of_maces_calculator(checkpoint, potential, kind, dtype):
    predictor = MacePredictor(checkpoint)
    reference = MACECalculator(models=[predictor.model], device="cpu", default_dtype=dtype)
    calculator = HintCalculator(potential)
    for name, atoms in structures().items():
        wanted, found = atoms.copy(), atoms.copy()
        wanted.calc, found.calc = reference, calculator
        forces = wanted.get_forces()
        assert np.abs(found.get_forces() - forces).max() <= FORCES[dtype], name
        energy = wanted.get_potential_energy()
        relative = {"float64": 1e-13, "float32": 1e-6}[dtype]
        assert abs(found.get_potential_energy() - energy) <= relative * abs(energy), name
        assert found.get_potential_energies().sum() == pytest.approx(energy, rel=relative)
        if atoms.pbc.all():
            difference = found.get_stress() - wanted.get_stress()
            assert np.abs(difference).max() <= FORCES[dtype] / 10, name


def test_forces_are_not_zero(potential):
    """Otherwise the tests here could not fail."""
    largest = {
        name: np.abs(potential.evaluate([atoms])[0].forces).max() for name, atoms in structures().items()
    }
    for name, force in largest.items():
        assert (force == 0) if name in ("isolated atoms", "one atom") else (force > 1e-4), name


def test_many_at_once_are_one_by_one(potential, dtype):
    frames = list(structures().values())
    for found, atoms in zip(potential.evaluate(frames), frames, strict=True):
        (alone,) = potential.evaluate([atoms])
        np.testing.assert_allclose(found.energies, alone.energies, rtol=1e-6 if dtype == "float32" else 1e-13)
        np.testing.assert_allclose(found.forces, alone.forces, atol=FORCES[dtype])
        np.testing.assert_allclose(found.virial, alone.virial, atol=20 * FORCES[dtype])
        assert (found.stress is None) == (not atoms.pbc.all())
    assert potential.evaluate([]) == []


def test_many_atoms_come_in_several_calls(potential, monkeypatch):
    frames = [molecule("CH3CH2OH") for _ in range(7)]
    wanted = [found.energy for found in potential.evaluate(frames)]
    monkeypatch.setattr("hint_plugin.potentials.artifact_potential.ATOMS_AT_ONCE", 20)
    np.testing.assert_allclose([found.energy for found in potential.evaluate(frames)], wanted, rtol=1e-6)


def test_the_model_may_run_in_another_precision(artifact, dtype):
    other = {"float64": "float32", "float32": "float64"}[dtype]
    frames = list(structures().values())
    mine, others = Potential(artifact).evaluate(frames), Potential(artifact, dtype=other).evaluate(frames)
    for a, b in zip(mine, others, strict=True):
        np.testing.assert_allclose(a.forces, b.forces, atol=2e-4)
    assert max(np.abs(a.forces - b.forces).max() for a, b in zip(mine, others, strict=True)) > 1e-9


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
class TestDerivatives:
    """In float64, against differences and against MACE."""

    def test_hessian(self, checkpoint, potential):
        atoms = structures()["ethanol"]
        (wanted,) = MacePredictor(checkpoint).predict([atoms], hessian=True)
        calculator = HintCalculator(potential)
        hessian = calculator.get_hessian(atoms)
        assert np.abs(hessian - wanted.hessian.numpy()).max() <= 1e-9
        assert np.abs(hessian).max() > 0.1
        np.testing.assert_array_equal(hessian, hessian.T)
        rng = np.random.default_rng(0)
        v = rng.normal(size=(3, len(atoms), 3))
        products = calculator.get_hvp(atoms, v)
        np.testing.assert_allclose(products.reshape(3, -1), v.reshape(3, -1) @ hessian, atol=1e-9)
        np.testing.assert_allclose(calculator.get_hvp(atoms, v[0].ravel()), products[0].ravel(), atol=1e-12)

    def test_hessian_of_a_crystal_by_differences_of_forces(self, potential):
        atoms = structures()["box smaller than the cutoff"]
        hessian = potential.hessian(atoms)
        for column in (0, 4, 11):
            forces = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[column // 3, column % 3] += sign * 1e-4
                forces.append(potential.evaluate([moved])[0].forces.ravel())
            np.testing.assert_allclose(hessian[:, column], (forces[1] - forces[0]) / 2e-4, atol=1e-5)

    def test_hessians_of_many_at_once(self, checkpoint, potential):
        frames = [atoms for name, atoms in structures().items() if name not in ("slab", "triclinic")]
        pairs = zip(potential.predict(frames, hessian=True), frames, strict=True)
        for found, atoms in pairs:
            np.testing.assert_allclose(found.hessian, potential.hessian(atoms), atol=1e-9)
        assert potential.hessian(structures()["one atom"]).tolist() == np.zeros((3, 3)).tolist()

    def test_virial_is_the_derivative_by_strain(self, potential):
        for name in ("triclinic", "box smaller than the cutoff", "slab", "ethanol"):
            atoms = structures()[name]
            (found,) = potential.evaluate([atoms])
            for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
                energies = []
                for sign in (1, -1):
                    strain = np.zeros((3, 3))
                    strain[a, b] += sign * 5e-6
                    strain[b, a] += sign * 5e-6
                    strained = atoms.copy()
                    strained.set_cell(atoms.cell.array @ (np.eye(3) + strain))
                    strained.positions = atoms.positions @ (np.eye(3) + strain)
                    energies.append(potential.evaluate([strained])[0].energies - found.energies)
                derivative = (energies[0] - energies[1]).sum() / 2e-5
                assert found.virial[a, b] == pytest.approx(-derivative, abs=1e-4), (name, a, b)
            if found.stress is not None:
                np.testing.assert_allclose(found.stress, -found.virial / atoms.cell.volume)

    def test_a_skin_changes_nothing(self, artifact):
        """MD with kept lists, in which atoms cross the cutoff, step by step against fresh ones."""
        atoms = bulk("Si", cubic=True).repeat((2, 1, 1))
        atoms.calc = HintCalculator(artifact, skin=0.7)
        fresh = Potential(artifact)
        thermalise(atoms, 3000, np.random.default_rng(0))
        edges = set()
        for _ in range(20):
            VelocityVerlet(atoms, timestep=2 * units.fs).run(3)
            (wanted,) = fresh.evaluate([atoms])
            np.testing.assert_allclose(atoms.get_forces(), wanted.forces, atol=1e-10)
            np.testing.assert_allclose(atoms.get_stress(voigt=False), wanted.stress, atol=1e-10)
            edges.add(len(fresh._fresh(atoms)[0]))
        assert len(edges) > 3


def test_changes_of_cell_species_and_periodicity_are_seen(potential):
    atoms = bulk("Cu", cubic=True)
    calculator = HintCalculator(potential, skin=1.0)
    for change in (
        lambda a: None,
        lambda a: a.set_cell(1.01 * a.cell, scale_atoms=True),
        lambda a: a.set_atomic_numbers([29, 29, 29, 14]),
        lambda a: a.set_pbc([True, True, False]),
        lambda a: a.extend(molecule("H2O")),
    ):
        change(atoms)
        atoms.calc = calculator
        wanted = potential.evaluate([atoms, atoms])[0]
        np.testing.assert_allclose(atoms.get_forces(), wanted.forces, atol=1e-4)


def test_numbers_only_where_they_mean_something(potential):
    calculator = HintCalculator(potential)
    atoms = structures()["slab"]
    atoms.calc = calculator
    with pytest.raises(PropertyNotImplementedError, match="not periodic in all three directions"):
        atoms.get_stress()
    strange = molecule("CH4")
    strange.symbols[2] = "N"
    with pytest.raises(DataError, match=r"CNH3 has N|has N; the model knows H, C, O, Si, Cu"):
        potential.evaluate([strange])
    with pytest.raises(DataError, match=r"structure 1 \(CH3N\) has N"):
        potential.evaluate([molecule("CH4"), strange])
    broken = molecule("CH4")
    broken.positions[3, 1] = np.nan
    with pytest.raises(DataError, match="the position of atom 3 is not finite"):
        potential.evaluate([broken])
    with pytest.raises(OptionsError, match=r"v has shape \(4, 3\); wanted \(5, 3\)"):
        potential.hvp(molecule("CH4"), np.zeros((4, 3)))
    with pytest.raises(OptionsError, match="skin -1"):
        Potential(potential.path, skin=-1)


def test_gradients_switched_off_outside_do_no_harm(potential):
    atoms = structures()["water"]
    wanted = potential.evaluate([atoms])[0].forces, potential.hessian(atoms)
    with torch.no_grad():
        np.testing.assert_allclose(potential.evaluate([atoms])[0].forces, wanted[0], atol=1e-6)
        np.testing.assert_allclose(potential.hessian(atoms), wanted[1], atol=1e-5)


def test_the_reach_of_an_atom_is_measured(potential, kind):
    assert potential.metadata.hops == {"mace": 2, "alphanet": 3}[kind]
    assert potential.metadata.numbers == NUMBERS
