"""Hessians in the shapes of other packages."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import Calculator
from slow_springs import Springs

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.potentials.engine import make_labels
from hint_plugin.potentials.hessian_shapes import SHAPES, as_matrix, in_shape_of
from hint_plugin.potentials.opening import open_potential
from hint_plugin.potentials.registry import make_engine


def symmetric(n: int) -> np.ndarray:
    matrix = np.random.default_rng(n).normal(size=(3 * n, 3 * n))
    return matrix + matrix.T


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_there_and_back(n):
    """Each element is where the package has it, and what comes back is the matrix."""
    matrix = symmetric(n)
    a, i, b, j = n - 1, 2, 0, 1
    value = matrix[3 * a + i, 3 * b + j]
    assert in_shape_of(matrix, "mace")[3 * a + i, b, j] == value
    assert in_shape_of(matrix, "nequix")[a, b, i, j] == value
    assert in_shape_of(matrix, "axes")[a, i, b, j] == value
    for name in SHAPES:
        found = in_shape_of(matrix, name)
        np.testing.assert_array_equal(as_matrix(found, n), matrix)
    np.testing.assert_array_equal(as_matrix(matrix.ravel(), n), matrix)


def test_what_cannot_be_read():
    with pytest.raises(DataError, match=r"shape \(4, 4\) for 2 atoms; wanted one of \(6, 6\)"):
        as_matrix(np.eye(4), 2)
    with pytest.raises(DataError, match="in none"):
        as_matrix(np.random.default_rng(0).normal(size=(3, 3, 3, 3)), 3)
    with pytest.raises(OptionsError, match="Did you mean 'mace'"):
        in_shape_of(np.eye(6), "mase")
    with pytest.raises(DataError, match="wanted"):
        in_shape_of(np.eye(5), "mace")


class Blocks(Springs):
    """A calculator whose Hessian is [N, N, 3, 3], as nequix's."""

    def get_hessian(self, atoms):
        return in_shape_of(open_potential(Springs()).hessian(atoms), "nequix")


def test_calculators_of_others_are_read_as_they_mean_it():
    """A reshape of [N, N, 3, 3] would be a matrix of other atoms and axes."""
    atoms = molecule("CH3OH")
    wanted = open_potential(Springs()).hessian(atoms)
    np.testing.assert_allclose(open_potential(Blocks()).hessian(atoms), wanted, atol=1e-9)
    engine = make_engine("calculator", calculator=f"{__name__}:Blocks")
    np.testing.assert_allclose(make_labels(engine, atoms, "full").hessian.hessian, wanted, atol=1e-5)
    assert isinstance(Blocks(), Calculator)
