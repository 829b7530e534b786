"""Saddles by products H v: the points that whole Hessians give, their lowest modes, and what goes wrong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase import Atoms

from hint_plugin.core.spectra import WAVENUMBER
from hint_plugin.potentials import BasePotential, Evaluation, HintCalculator
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.science.molecules import lowest_modes, optimization
from hint_plugin.science.molecules.lowest_modes import ByProducts, FewModes
from hint_plugin.science.molecules.modes import normal_modes
from hint_plugin.science.molecules.optimization import optimize, with_all_modes

SADDLE = Atoms(
    "CCOHHHH",
    [
        (-0.662, 0.411, 0.082),
        (0.379, -0.493, -0.163),
        (1.534, -0.005, 0.175),
        (0.741, 0.949, 0.470),
        (-1.350, 0.154, 0.872),
        (-1.153, 0.831, -0.782),
        (0.260, -1.483, -0.584),
    ],
)
"""Of vinyl alcohol -> acetaldehyde with the model, nearly."""


class Quadratic(BasePotential):
    """E = (x - x0) H (x - x0) / 2, of a given H; `asked` counts products."""

    def __init__(self, rest: np.ndarray, matrix: np.ndarray) -> None:
        self.rest, self.matrix, self.asked = rest.ravel(), matrix, 0

    def evaluate(self, frames):
        moves = [atoms.positions.ravel() - self.rest for atoms in frames]
        return [
            Evaluation(float(0.5 * x @ self.matrix @ x), -(self.matrix @ x).reshape(-1, 3)) for x in moves
        ]

    def hessian(self, atoms):
        raise AssertionError("the whole Hessian is not wanted")

    def products_at(self, atoms):
        def products(v):
            self.asked += len(v)
            return (v.reshape(len(v), -1) @ self.matrix).reshape(v.shape)

        return products


def planted(*lowest: float) -> tuple[Atoms, Quadratic]:
    """A molecule with such eigenvalues (eV/(A^2 amu)) of its projected mass-weighted Hessian; others >= 1."""
    atoms = SADDLE.copy()
    scale = np.sqrt(np.repeat(atoms.get_masses(), 3))
    rigid = lowest_modes._rigid(atoms, atoms.get_masses())
    rest = np.linalg.qr(rigid, mode="complete")[0][:, rigid.shape[1] :]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(15, 15)))[0]
    values = np.r_[lowest, np.linspace(1, 30, 15 - len(lowest))]
    weighted = rest @ turn @ np.diag(values) @ turn.T @ rest.T
    return atoms, Quadratic(atoms.positions, scale[:, None] * weighted * scale)


@pytest.mark.parametrize(
    ("lowest", "kind"),
    [
        ((-0.5, 0.01), "transition state"),
        ((-0.5, -0.01), "saddle of order 2 or higher"),
        ((-0.5, -1e-4), "transition state"),  # 5 cm^-1: above the threshold
        ((0.01, 0.02), "minimum"),
    ],
)
def test_the_lowest_two_modes_say_what_a_point_is(lowest, kind):
    atoms, potential = planted(*lowest)
    found = ByProducts(HintCalculator(potential)).modes(atoms)
    assert found.kind == kind
    wanted = np.sign(lowest) * np.sqrt(np.abs(lowest)) * WAVENUMBER
    np.testing.assert_allclose(found.frequencies, wanted, atol=0.5)
    assert found.residuals.max() <= lowest_modes.RESIDUAL and found.products == potential.asked <= 15
    forces = (found.displacements.reshape(2, -1) @ potential.matrix).reshape(2, -1, 3)
    np.testing.assert_allclose(found.force, forces, atol=0.02)
    whole = normal_modes(atoms, potential.matrix)
    overlap = np.abs((found.displacements * whole.displacements[:2]).sum((1, 2)))
    np.testing.assert_allclose(overlap, 1, atol=1e-3)


def test_modes_that_have_not_converged_verify_nothing():
    atoms, potential = planted(-0.5, 0.01)
    found = ByProducts(HintCalculator(potential)).modes(atoms)
    loose = dataclasses.replace(found, residuals=np.array([1e-5, 1e-2]))
    assert loose.kind == "point whose lowest modes have not converged"


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    return PotentialSpec.of("alphanet-gfn2")


def test_a_saddle_by_products_is_that_of_whole_hessians(model, monkeypatch):
    """The same energy and modes; no Hessian on the way, and few products."""
    found = {}
    for dense in (50, 0):
        atoms = SADDLE.copy()
        atoms.positions += np.random.default_rng(0).normal(0, 0.03, (7, 3))
        atoms.calc = model.calculator()
        hessians, own = [], atoms.calc.get_hessian
        atoms.calc.get_hessian = lambda *a, own=own, hessians=hessians: hessians.append(1) or own(*a)
        found[dense] = optimize(atoms, saddle=True, dense_atoms=dense)
        assert bool(hessians) == (dense == 50)
    whole, few = found[50], found[0]
    assert whole.kind == few.kind == "transition state" and whole.hessian is not None
    assert few.energy == pytest.approx(whole.energy, abs=1e-4) and few.hessian is None
    assert isinstance(few.modes, FewModes) and 0 < few.modes.products < 40
    np.testing.assert_allclose(few.modes.frequencies, whole.modes.frequencies[:2], atol=3)
    told = few.as_dict()
    assert told["lowest_frequencies_only"] and "zero_point_energy" not in told and told["products"] < 40
    complete = with_all_modes(few)
    assert complete.kind == "transition state" and complete.hessian.shape == (21, 21)
    np.testing.assert_allclose(few.modes.frequencies, complete.modes.frequencies[:2], atol=0.1)
    assert with_all_modes(complete) is complete


def test_products_at_one_geometry_are_products(model):
    """Of an artifact, whose graph is kept, by way of the engine; one after another."""
    calculator = model.calculator()
    v = np.random.default_rng(0).normal(size=(3, 7, 3))
    products = calculator.products_at(SADDLE)
    wanted = calculator.get_hvp(SADDLE, v)
    for _ in range(2):
        np.testing.assert_allclose(products(v), wanted, atol=1e-9)
    np.testing.assert_allclose(products(v[1:2]), wanted[1:2], atol=1e-9)


def test_without_products_the_whole_hessian_is_taken(monkeypatch):
    """A calculator of somebody else with `get_hessian` alone."""

    class Own:
        def get_hessian(self, atoms):
            return np.eye(6)

    assert not ByProducts.known(Own())
    monkeypatch.setattr(Own, "get_hvp", lambda self, atoms, v: v, raising=False)
    assert ByProducts.known(Own())


def test_a_surplus_mode_is_left_without_the_hessian():
    """`_push` gets H d from the modes."""
    atoms, potential = planted(-0.5, -0.3)
    few = ByProducts(HintCalculator(potential)).modes(atoms)
    point = optimization._Point(atoms.positions, 0.0, None, few)
    whole = optimization._Point(atoms.positions, 0.0, potential.matrix, normal_modes(atoms, potential.matrix))
    for mode in (0, 1):
        (d, force), (wanted, there) = point.along(mode), whole.along(mode)
        sign = np.sign((d * wanted).sum())
        np.testing.assert_allclose(sign * force, there, atol=0.05)
    push, tolerance = optimization._push(*point.along(1), 0.01, 0.01, 0)
    assert 0.09 < np.linalg.norm(push, axis=1).max() < 0.41 and tolerance <= 0.01
