"""The contract of a `Potential`: energies, forces, Hessians and products that belong to each other."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from hint_plugin.errors import OptionsError
from hint_plugin.potentials import HintCalculator, Potential


class PotentialContract:
    """Inherit it and give the fixtures ``potential`` and ``atoms``, a structure that is not at rest.

    Attributes:
        noise: of Hessians and products, relative to the largest element: 1e-6 for derivatives, more for
            differences of forces.
        step: A, of the differences that they are compared with.
    """

    noise = 1e-3
    step = 1e-3

    @pytest.fixture
    def potential(self) -> Potential:
        raise NotImplementedError("a contract needs a fixture `potential`")

    @pytest.fixture
    def atoms(self) -> Atoms:
        raise NotImplementedError("a contract needs a fixture `atoms`")

    def test_it_is_a_potential(self, potential: Potential) -> None:
        assert isinstance(potential, Potential)
        assert potential.method and potential.provenance()["method"]

    def test_forces_are_the_slope_of_the_energy(self, potential: Potential, atoms: Atoms) -> None:
        (found,) = potential.evaluate([atoms])
        direction = np.random.default_rng(0).normal(size=(len(atoms), 3))
        moved = [atoms.copy(), atoms.copy()]
        for sign, one in zip((1, -1), moved, strict=True):
            one.positions += sign * self.step * direction
        ahead, behind = potential.evaluate(moved)
        slope = (ahead.energy - behind.energy) / (2 * self.step)
        wanted = -float((found.forces * direction).sum())
        assert slope == pytest.approx(wanted, abs=1e-3 * np.abs(found.forces * direction).sum())

    def test_products_are_differences_of_forces(self, potential: Potential, atoms: Atoms) -> None:
        v = np.random.default_rng(1).normal(size=(len(atoms), 3))
        moved = [atoms.copy(), atoms.copy()]
        for sign, one in zip((1, -1), moved, strict=True):
            one.positions += sign * self.step * v
        ahead, behind = potential.evaluate(moved)
        wanted = -(ahead.forces - behind.forces) / (2 * self.step)
        size = float(np.abs(wanted).max())
        np.testing.assert_allclose(potential.hvp(atoms, v), wanted, atol=max(self.noise, 1e-3) * size)

    def test_hessian_products_rows_and_blocks_are_one_matrix(
        self, potential: Potential, atoms: Atoms
    ) -> None:
        n, matrix = len(atoms), potential.hessian(atoms)
        assert matrix.shape == (3 * n, 3 * n)
        near = self.noise * float(np.abs(matrix).max())
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-2 * near)
        v = np.random.default_rng(2).normal(size=(2, n, 3))
        np.testing.assert_allclose(
            potential.hvp(atoms, v).reshape(2, -1), v.reshape(2, -1) @ matrix, atol=10 * near
        )
        np.testing.assert_allclose(potential.rows(atoms, [n - 1]), matrix[3 * n - 3 :], atol=10 * near)
        np.testing.assert_allclose(potential.sparse_hessian(atoms).toarray(), matrix, atol=10 * near)
        pattern = potential.hessian_pattern(atoms)
        if pattern is not None:
            blocks = np.abs(matrix).reshape(n, 3, n, 3).max(axis=(1, 3))
            assert blocks[~pattern.toarray()].max(initial=0.0) <= near

    def test_one_structure_or_many(self, potential: Potential, atoms: Atoms) -> None:
        other = atoms.copy()
        other.positions += np.random.default_rng(3).normal(scale=0.01, size=other.positions.shape)
        alone = [potential.evaluate([one])[0] for one in (atoms, other)]
        together = potential.evaluate([atoms, other])
        tensors = list(potential.predict([atoms, other], hessian=True))
        for one, both, tensor in zip(alone, together, tensors, strict=True):
            assert one.energy == pytest.approx(both.energy, abs=1e-6)
            assert tensor.energy == pytest.approx(one.energy, abs=1e-6)
            np.testing.assert_allclose(one.forces, both.forces, atol=1e-5)
            np.testing.assert_allclose(tensor.forces.numpy(), one.forces, atol=1e-5)
            assert tensor.hessian is not None

    def test_order_of_atoms(self, potential: Potential, atoms: Atoms) -> None:
        order = np.random.default_rng(4).permutation(len(atoms))
        (here,), (there,) = potential.evaluate([atoms]), potential.evaluate([atoms[order]])
        assert here.energy == pytest.approx(there.energy, abs=1e-6)
        np.testing.assert_allclose(here.forces[order], there.forces, atol=1e-5)

    def test_the_structure_is_left_as_it_is(self, potential: Potential, atoms: Atoms) -> None:
        before = atoms.copy()
        potential.evaluate([atoms]), potential.hessian(atoms)
        assert atoms == before and atoms.calc is None

    def test_wrong_shapes_are_refused(self, potential: Potential, atoms: Atoms) -> None:
        with pytest.raises(OptionsError, match="wanted"):
            potential.hvp(atoms, np.zeros(3 * len(atoms) + 1))

    def test_by_the_calculator_of_ase(self, potential: Potential, atoms: Atoms) -> None:
        (wanted,) = potential.evaluate([atoms])
        atoms.calc = HintCalculator(potential)
        assert atoms.get_potential_energy() == pytest.approx(wanted.energy, abs=1e-6)
        np.testing.assert_allclose(atoms.get_forces(), wanted.forces, atol=1e-5)
