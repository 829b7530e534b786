"""The lowest eigenpairs from products: against the whole matrix, and with what is planted in it."""

from __future__ import annotations

import numpy as np
import pytest

from hint_plugin.core.davidson import lowest_pairs


def turned(values, seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return q @ np.diag(values) @ q.T, q


def near(matrix, size=0.05, seed=1):
    """A model of it: symmetric, wrong by so much of its width."""
    noise = np.random.default_rng(seed).normal(size=matrix.shape)
    return matrix + size * np.abs(matrix).max() * (noise + noise.T) / 2


STIFF = np.r_[-2.0, -0.1, 0.02, 0.05, np.linspace(0.3, 60, 86)]


@pytest.mark.parametrize("modelled", [True, False])
def test_against_the_whole_matrix(modelled):
    matrix, q = turned(STIFF)
    asked = []

    def product(x):
        asked.append(x.shape[1])
        return matrix @ x

    model = near(matrix, 1e-3) if modelled else None
    start = np.random.default_rng(2).normal(size=(90, 2))
    if model is not None:
        start = np.linalg.eigh(model)[1][:, :2]
    found = lowest_pairs(product, start, 2, tolerance=1e-4, model=model)
    assert found.converged and found.residuals.max() <= 1e-4
    assert found.products == sum(asked) == found.basis.shape[1]
    np.testing.assert_allclose(found.values, [-2.0, -0.1], atol=1e-6)
    np.testing.assert_allclose(np.abs(np.diag(q[:, :2].T @ found.vectors)), 1, atol=1e-5)
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(found.products), atol=1e-12)
    np.testing.assert_allclose(found.images, matrix @ found.basis, atol=1e-10)
    if modelled:
        assert found.products < 15


def test_residuals_are_those_of_the_vectors_and_bound_the_error():
    matrix, _ = turned(STIFF)
    found = lowest_pairs(lambda x: matrix @ x, np.ones((90, 1)), 1, relative=0.1, model=near(matrix))
    x = found.vectors[:, 0]
    assert found.residuals[0] == pytest.approx(np.linalg.norm(matrix @ x - found.values[0] * x))
    assert found.residuals[0] <= 0.1 * abs(found.values[0])
    assert np.abs(STIFF - found.values[0]).min() <= found.residuals[0]


def test_what_is_deflated_is_not_found():
    matrix, q = turned(STIFF)
    found = lowest_pairs(lambda x: matrix @ x, q[:, :3].sum(1)[:, None], 1, tolerance=1e-5, deflated=q[:, :1])
    assert found.values[0] == pytest.approx(-0.1, abs=1e-6)
    np.testing.assert_allclose(q[:, 0] @ found.basis, 0, atol=1e-12)


def test_all_that_are_negative_if_that_is_wanted():
    matrix, _ = turned(STIFF)
    start = np.random.default_rng(0).normal(size=(90, 1))
    for negative, count in ((False, 1), (True, 2)):
        found = lowest_pairs(lambda x: matrix @ x, start, 1, tolerance=1e-3, negative=negative, model=matrix)
        assert len(found.values) >= count and found.converged


def test_the_end_of_the_products_and_of_the_space():
    """Too few products do not converge, and say so; all directions are exact; one more cannot be wanted."""
    matrix, _ = turned(np.arange(8.0) - 1)
    start = np.random.default_rng(0).normal(size=(8, 1))
    few = lowest_pairs(lambda x: matrix @ x, start, 2, tolerance=1e-9, most=4)
    assert not few.converged and few.products == 4 and few.residuals.max() > 1e-9
    whole = lowest_pairs(lambda x: matrix @ x, start, 8)
    assert whole.converged and whole.products == 8
    np.testing.assert_allclose(whole.values, np.arange(8.0) - 1, atol=1e-12)
    with pytest.raises(ValueError, match="9 eigenpairs of a space of 8 dimensions"):
        lowest_pairs(lambda x: matrix @ x, start, 9)


def test_a_start_that_is_an_eigenvector_or_nothing():
    matrix, q = turned(STIFF)
    stuck = lowest_pairs(lambda x: matrix @ x, q[:, 5:6], 2, tolerance=1e-4, model=near(matrix, 1e-3))
    np.testing.assert_allclose(stuck.values, [-2.0, -0.1], atol=1e-5)
    nothing = lowest_pairs(lambda x: matrix @ x, np.zeros((90, 1)), 1, tolerance=1e-3, model=matrix)
    assert nothing.values[0] == pytest.approx(-2.0, abs=1e-5)
