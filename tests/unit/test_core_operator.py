"""The Hessian as an operator, against numpy's dense algebra."""

import numpy as np
import pytest
import torch

from hint_plugin.core import operator as operators_module
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


@pytest.mark.parametrize("atoms", [[-1, 2], [2, -1], [0, N], [N, 0], [-1]])
def test_one_atom_that_does_not_exist_is_enough(reference, atoms):
    energy, x, _ = reference
    with pytest.raises(IndexError, match=rf"got atoms \{atoms}, wanted indices from 0 to {N - 1}"):
        HessianOperator.from_energy(energy, x).rows(atoms)


def test_first_and_last_atom_exist(reference):
    energy, x, h = reference
    found = HessianOperator.from_energy(energy, x).rows(torch.tensor([N - 1, 0]))
    np.testing.assert_allclose(found.numpy(), np.concatenate([h[-3:], h[:3]]), atol=1e-10)


def test_energies_of_several_parts_are_summed():
    """E_a = x_a^2 k_a / 2, one an atom."""
    k = torch.tensor([1.0, 3.0], dtype=torch.float64)
    operator = HessianOperator.from_energy(
        lambda y: 0.5 * k * y.square().sum(1), torch.ones(2, 3, dtype=torch.float64)
    )
    assert operator.dense().tolist() == np.diag([1.0, 1, 1, 3, 3, 3]).tolist()


def test_columns(reference):
    energy, x, h = reference
    found = HessianOperator.from_energy(energy, x).columns(4, 9)
    assert found.shape == (3 * N, 5)
    np.testing.assert_allclose(found.numpy(), h[:, 4:9], atol=1e-10)


def lopsided(y):
    """F = (-y_1 / 2, 0, 0) of an atom, which is no gradient: its matrix has one element, 1/2."""
    return torch.stack([-0.5 * y[:, 1], 0 * y[:, 1], 0 * y[:, 1]], dim=1)


def test_the_whole_matrix_is_averaged_with_its_transpose_unless_it_is_asked_not_to():
    operator = HessianOperator.from_differences(lopsided, torch.zeros(1, 3, dtype=torch.float64))
    np.testing.assert_allclose(operator.dense(symmetrise=False).numpy(), [[0, 0.5, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(operator.dense().numpy(), [[0, 0.25, 0], [0.25, 0, 0], [0, 0, 0]])


def test_differences_have_the_step_that_is_asked_for_and_no_graph():
    """-dF/dx of x^3 at 0 by a step s is s^2."""
    k = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    for step, wanted in ((0.2, 0.04), (None, 1e-6)):
        operator = HessianOperator.from_differences(lambda y: -k * y**3, zero, step)
        found = operator.dense()
        assert not found.requires_grad and not operator.positions.requires_grad
        np.testing.assert_allclose(found.numpy(), wanted * np.eye(3))


def test_products_have_the_precision_of_the_positions(reference):
    energy, x, _ = reference
    for dtype in (torch.float32, torch.float64):
        operator = HessianOperator.from_energy(lambda y: energy(y.double()), x.to(dtype))
        assert operator.mv(torch.ones(N, 3, dtype=torch.float64)).dtype == dtype
        assert operator.dense().dtype == dtype
        values, modes = operator.lowest_modes(2, masses=torch.ones(N))
        assert values.dtype == modes.dtype == dtype


def diagonal(values) -> HessianOperator:
    """Atoms held in place: H is diagonal."""
    k = torch.as_tensor(values, dtype=torch.float64).reshape(-1, 3)
    return HessianOperator.from_energy(lambda y: 0.5 * (k * y.square()).sum(), torch.zeros_like(k))


@pytest.mark.parametrize(
    ("n_atoms", "count", "by_iterations"),
    [(4, 1, False), (5, 1, True), (5, 13, True), (5, 14, False), (5, 15, False), (1, 1, False)],
)
def test_which_matrices_are_diagonalised_whole(monkeypatch, n_atoms, count, by_iterations):
    """Those of up to four atoms, and where all eigenpairs but one are wanted, or all."""
    calls, lanczos = [], operators_module._lowest_eigenpairs

    def watched(product, size, wanted, tolerance, seed):
        calls.append((size, wanted, tolerance, seed))
        return lanczos(product, size, wanted, tolerance, seed)

    monkeypatch.setattr(operators_module, "_lowest_eigenpairs", watched)
    values = np.random.default_rng(0).uniform(-1, 3, 3 * n_atoms)
    found, modes = diagonal(values).lowest_modes(count, tolerance=1e-8, seed=5)
    assert calls == [(3 * n_atoms, count, 1e-8, 5)] * by_iterations
    np.testing.assert_allclose(found.numpy(), np.sort(values)[:count], atol=1e-6)
    assert modes.shape == (count, n_atoms, 3)
    wanted = np.eye(3 * n_atoms)[np.argsort(values)[:count]]
    np.testing.assert_allclose(abs(modes.reshape(count, -1).numpy()), wanted, atol=1e-3)


def test_modes_of_several_runs_are_orthonormal_whatever_the_tolerance():
    """Six zeros and then 0.01 to 1: three runs at least, each made orthogonal to those before."""
    values = np.r_[np.zeros(6), np.linspace(0.01, 1, 24)]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0]
    matrix = (turn * values) @ turn.T
    found, modes = operators_module._lowest_eigenpairs(lambda v: matrix @ v, 30, 2, 1e-3, 0)
    np.testing.assert_allclose(found, 0.0, atol=1e-3)
    np.testing.assert_allclose(modes.T @ modes, np.eye(2), atol=1e-12)


def test_one_mode_by_default_to_a_millionth_of_the_width(monkeypatch):
    calls, lanczos = [], operators_module._lowest_eigenpairs
    monkeypatch.setattr(operators_module, "_lowest_eigenpairs", lambda *a: calls.append(a[1:]) or lanczos(*a))
    found, modes = diagonal(np.arange(15.0)).lowest_modes()
    assert calls == [(15, 1, 1e-6, 0)] and found.shape == (1,) and modes.shape == (1, 5, 3)


SPECTRA = {
    "below zero": -1.0 - 0.05 * np.random.default_rng(1).random(18),
    "far below zero": -100 * np.random.default_rng(2).random(18),
    "one below": np.r_[-5.0, np.linspace(1, 2, 17)],
    "degenerate": np.r_[[-2.0] * 4, [0.0] * 6, np.linspace(1, 5, 8)],
    "all the same": np.full(18, 3.0),
    "zero": np.zeros(18),
    "stiff": np.r_[np.linspace(1e-2, 1, 9), np.linspace(100, 101, 9)],
}


@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.parametrize("kind", [name for name in SPECTRA if name != "zero"])
def test_lowest_modes_of_many_spectra(kind, count):
    """Of a turned diagonal matrix: every copy of a degenerate eigenvalue is found, and nothing else."""
    values = np.random.default_rng(3).permutation(SPECTRA[kind])
    turn = torch.as_tensor(np.linalg.qr(np.random.default_rng(4).normal(size=(18, 18)))[0])
    k = torch.as_tensor(values)
    operator = HessianOperator.from_energy(
        lambda y: 0.5 * (k * (turn.T @ y.reshape(-1)).square()).sum(), torch.zeros(6, 3, dtype=torch.float64)
    )
    found, modes = operator.lowest_modes(count)
    width = max(np.ptp(values), abs(values).max())
    np.testing.assert_allclose(found.numpy(), np.sort(values)[:count], atol=1e-5 * width)
    flat = modes.reshape(count, -1)
    np.testing.assert_allclose((flat @ flat.T).numpy(), np.eye(count), atol=1e-6)
    h = (turn @ torch.diag(k) @ turn.T).numpy()
    np.testing.assert_allclose(flat.numpy() @ h, found.numpy()[:, None] * flat.numpy(), atol=1e-4 * width)


def test_masses_weigh_the_matrix_of_small_systems_too():
    """k / m of each atom, and unit vectors as modes."""
    masses = torch.tensor([4.0, 1.0], dtype=torch.float32)
    found, modes = diagonal([1.0, 2, 3, 4, 5, 6]).lowest_modes(6, masses=masses)
    assert found.tolist() == pytest.approx([0.25, 0.5, 0.75, 4, 5, 6])
    np.testing.assert_allclose(abs(modes.reshape(6, 6).numpy()), np.eye(6), atol=1e-12)
