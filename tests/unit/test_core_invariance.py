"""Hessians of molecules from 3N - 6 products, against all of them."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from pair_artifact import write_pair

from hint_plugin.core.invariance import invariant_hessian
from hint_plugin.core.operator import HessianOperator
from hint_plugin.potentials.opening import open_potential


class Counting(HessianOperator):
    """Counts its products."""

    asked = 0

    def mv(self, v):
        self.asked += len(v.reshape(-1, *self.positions.shape))
        return super().mv(v)


def operator_of(name, dtype=torch.float64, stretch=1.0, field=0.0):
    """Anharmonic springs between all pairs, off their minimum; with a field that turns nothing with it."""
    x = torch.as_tensor(molecule(name).positions, dtype=dtype)
    i, j = torch.triu_indices(len(x), len(x), 1)
    rest = stretch * (x[i] - x[j]).norm(dim=-1)
    leaf = x.clone().requires_grad_(True)
    r = (leaf[i] - leaf[j]).norm(dim=-1)
    stiffness = torch.linspace(1, 40, len(i), dtype=dtype)
    energy = (stiffness * ((r - rest).square() + 0.2 * (r - rest).pow(3))).sum()
    energy = energy + field * (leaf - leaf.mean(0))[:, 2].square().sum()
    (gradient,) = torch.autograd.grad(energy, leaf, create_graph=True)
    return Counting(leaf, forces=-gradient), -gradient


@pytest.mark.parametrize("stretch", [1.0, 0.9])
@pytest.mark.parametrize(
    ("name", "count"), [("H2O", 3), ("CH3CH2OH", 21), ("CO2", 4), ("H2", 1), ("C2H2", 7)]
)
def test_six_products_fewer(name, count, stretch):
    """Linear ones have five; at a stationary point and off it, where w x g is not zero."""
    operator, forces = operator_of(name, stretch=stretch)
    found = invariant_hessian(operator, forces)
    assert operator.asked == count and (forces.abs().max() < 1e-9) == (stretch == 1.0)
    torch.testing.assert_close(found, operator.dense(), atol=1e-10, rtol=0)


def test_single_precision_and_an_atom():
    operator, forces = operator_of("CH3OH", torch.float32, stretch=0.95)
    found = invariant_hessian(operator, forces)
    assert operator.asked == 12 and found.dtype == torch.float32
    torch.testing.assert_close(found, operator.dense(), atol=2e-3, rtol=0)
    x = torch.zeros((1, 3), dtype=torch.float64, requires_grad=True)
    atom = Counting(x, forces=0.0 * x)
    assert not invariant_hessian(atom, 0.0 * x).any() and atom.asked == 0


@pytest.mark.parametrize("stretch", [1.0, 0.9])
def test_an_energy_that_rotations_change_is_found_out(stretch):
    """Along z the molecule feels a field: then rigid motions are computed, too."""
    operator, forces = operator_of("CH3OH", stretch=stretch, field=0.01)
    found = invariant_hessian(operator, forces)
    assert operator.asked == 18
    torch.testing.assert_close(found, operator.dense(), atol=1e-10, rtol=0)


def test_translations_alone_of_a_periodic_system():
    operator, forces = operator_of("H2O", field=0.3)
    found = invariant_hessian(operator, forces, periodic=True)
    assert operator.asked == 6
    torch.testing.assert_close(found, operator.dense(), atol=1e-10, rtol=0)
    with pytest.raises(ValueError, match="wanted that of the positions"):
        invariant_hessian(operator, forces[:2])


def test_a_nearly_linear_molecule_is_not_divided_by_its_moment():
    """The turn about the axis of a rod that is bent by a hair is computed: five products are saved."""
    atoms = molecule("CO2")
    x = torch.as_tensor(atoms.positions)
    x[0, 0] += 1e-5
    rest = torch.as_tensor(np.array([1.1, 2.4, 1.2]))
    leaf = x.clone().requires_grad_(True)
    i, j = torch.triu_indices(3, 3, 1)
    energy = (20 * ((leaf[i] - leaf[j]).norm(dim=-1) - rest).square()).sum()
    (gradient,) = torch.autograd.grad(energy, leaf, create_graph=True)
    operator = Counting(leaf, forces=-gradient)
    found = invariant_hessian(operator, -gradient)
    assert operator.asked == 4
    torch.testing.assert_close(found, operator.dense(), atol=1e-9, rtol=0)


def test_an_artifact_uses_it(tmp_path, monkeypatch):
    """Six products fewer of a molecule, three of a crystal; all of them for the raw matrix."""
    asked, mv = [], HessianOperator.mv
    monkeypatch.setattr(HessianOperator, "mv", lambda self, v: asked.append(len(v)) or mv(self, v))
    potential = open_potential(write_pair(tmp_path / "pair.hint.pt"))
    atoms = Atoms("AlCuAlCu", [(0, 0, 0), (2.4, 0, 0), (0.3, 2.3, 0), (0.2, 0.1, 2.6)])
    for pbc, count in ((False, 6), (True, 9)):
        atoms.set_cell([9, 9, 9])
        atoms.pbc = pbc
        asked.clear()
        found = potential.hessian(atoms)
        assert sum(asked) == count
        asked.clear()
        raw = potential.hessian(atoms, symmetrise=False)
        assert sum(asked) == 12
        np.testing.assert_allclose(found, raw, atol=1e-12)
