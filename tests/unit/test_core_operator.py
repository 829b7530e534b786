"""The Hessian as an operator, against numpy's dense algebra."""

import numpy as np
import pytest
import torch

from hint_plugin.core.operator import HessianOperator

N = 12


def potential(seed=0):
    """Springs between all pairs, anharmonic, with a soft direction."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, 3, generator=generator, dtype=torch.float64) * 2
    i, j = torch.triu_indices(N, N, 1)
    stiffness = torch.rand(len(i), generator=generator, dtype=torch.float64)

    def energy(y):
        r = (y[i] - y[j]).norm(dim=-1)
        rest = (x[i] - x[j]).norm(dim=-1)
        return (stiffness * ((r - rest).square() + 0.1 * (r - rest).pow(3))).sum()

    return energy, x + 0.05 * torch.randn(N, 3, generator=generator, dtype=torch.float64)


def forces_of(energy, y):
    leaf = y.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(energy(leaf), leaf, create_graph=True)
    return -gradient, leaf


@pytest.fixture(scope="module")
def reference():
    energy, x = potential()
    flat = torch.func.hessian(lambda y: energy(y.reshape(-1, 3)))(x.reshape(-1))
    return energy, x, flat.numpy()


def operators(energy, x):
    forces, leaf = forces_of(energy, x)
    return {
        "energy": HessianOperator.from_energy(energy, x),
        "forces": HessianOperator.from_forces(forces, leaf),
        "differences": HessianOperator.from_differences(lambda y: forces_of(energy, y)[0].detach(), x),
    }


@pytest.mark.parametrize("way", ["energy", "forces", "differences"])
def test_dense_rows_and_products(reference, way):
    energy, x, h = reference
    operator = operators(energy, x)[way]
    tolerance = 1e-5 if way == "differences" else 1e-10
    assert operator.shape == h.shape
    for chunk in (1, 7, 64):
        np.testing.assert_allclose(operator.dense(chunk=chunk).numpy(), h, atol=tolerance)
    np.testing.assert_allclose(
        operator.rows([5, 0]).numpy(), np.concatenate([h[15:18], h[0:3]]), atol=tolerance
    )
    v = torch.randn(2, N, 3, dtype=torch.float64)
    wanted = v.reshape(2, -1).numpy() @ h
    for shaped in (v, v.reshape(2, -1)):
        found = operator.mv(shaped)
        assert found.shape == shaped.shape
        np.testing.assert_allclose(found.reshape(2, -1).numpy(), wanted, atol=10 * tolerance)
    single = operator.mv(v[0])
    assert single.shape == (N, 3)
    np.testing.assert_allclose(single.reshape(-1).numpy(), wanted[0], atol=10 * tolerance)


def test_rows_of_atoms_that_do_not_exist(reference):
    energy, x, _ = reference
    with pytest.raises(IndexError, match=f"indices from 0 to {N - 1}"):
        HessianOperator.from_energy(energy, x).rows([N])


@pytest.mark.parametrize("count", [1, 4, 3 * N - 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_lowest_modes_against_eigh(reference, count, weighted):
    energy, x, h = reference
    masses = torch.linspace(1, 30, N, dtype=torch.float64) if weighted else None
    values, modes = HessianOperator.from_energy(energy, x).lowest_modes(count, masses=masses)
    if masses is not None:
        scale = 1 / np.sqrt(np.repeat(masses.numpy(), 3))
        h = scale[:, None] * h * scale
    wanted, vectors = np.linalg.eigh(h)
    assert modes.shape == (count, N, 3)
    np.testing.assert_allclose(values.numpy(), wanted[:count], atol=1e-5 * abs(wanted).max())
    flat = modes.reshape(count, -1).numpy()
    np.testing.assert_allclose(flat @ flat.T, np.eye(count), atol=1e-6)
    np.testing.assert_allclose(flat @ h, wanted[:count, None] * flat, atol=1e-4 * abs(wanted).max())
    if wanted[1] - wanted[0] > 1e-3 * abs(wanted).max():
        assert abs(flat[0] @ vectors[:, 0]) == pytest.approx(1, abs=1e-4)


def test_small_systems_take_the_dense_way():
    operator = HessianOperator.from_energy(lambda y: (y[0] - y[1]).square().sum(), torch.randn(2, 3).double())
    values, _ = operator.lowest_modes(6)
    np.testing.assert_allclose(values.numpy(), [0, 0, 0, 4, 4, 4], atol=1e-12)


def test_exactly_one_source_is_needed():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="either"):
        HessianOperator(x)
    with pytest.raises(ValueError, match="either"):
        HessianOperator(x, forces=x, force_function=lambda y: y)
