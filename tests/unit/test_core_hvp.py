"""H v in its three ways, against closed forms and torch.func.hessian."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hint_plugin.core.hvp import (
    DIFFERENCE_STEP,
    difference_scale,
    hessians_from_forces,
    hvp_by_difference,
    hvp_from_energy,
    hvp_from_forces,
)

#: Products of the analytic ways agree to rounding; differences to the truncation of step^2.
RTOL = {"analytic": 1e-12, "difference": 1e-5}


def quadratic(n_atoms, seed=0):
    """(energy, Hessian) of x A x / 2 with a random symmetric A."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(3 * n_atoms, 3 * n_atoms, generator=generator, dtype=torch.float64)
    a = 0.5 * (a + a.T)
    return (lambda x: 0.5 * x.reshape(-1) @ a.to(x) @ x.reshape(-1)), a


def quartic(x):
    """A bond-like energy: sum over pairs of (r^2 - 1)^2 and a three-body product."""
    i, j = torch.triu_indices(len(x), len(x), 1)
    squared = (x[i] - x[j]).square().sum(-1)
    return (squared - 1).square().sum() + 0.1 * squared.prod()


def forces_of(energy, x):
    leaf = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(energy(leaf), leaf, create_graph=True)
    return -gradient, leaf


def positions(n_atoms=4, seed=1):
    return torch.randn(n_atoms, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def probes(count, n_atoms, seed=2):
    return torch.randn(count, n_atoms, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(energy, x):
    size = x.numel()
    return torch.func.hessian(lambda flat: energy(flat.reshape(-1, 3)))(x.reshape(-1)).reshape(size, size)


@settings(max_examples=20, deadline=None)
@given(n_atoms=st.integers(1, 6), count=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_quadratic_gives_its_matrix(n_atoms, count, seed):
    energy, a = quadratic(n_atoms, seed)
    x, v = positions(n_atoms, seed), probes(count, n_atoms, seed)
    wanted = (v.reshape(count, -1) @ a).reshape(v.shape)
    forces, leaf = forces_of(energy, x)
    torch.testing.assert_close(hvp_from_forces(forces, leaf, v), wanted)
    for mode in ("reverse", "forward"):
        torch.testing.assert_close(hvp_from_energy(energy, x, v, mode=mode), wanted)

    def force_function(y):
        return -(y.reshape(-1) @ a).reshape(-1, 3)

    # no truncation error on a quadratic: only the rounding of F over the step is left
    torch.testing.assert_close(hvp_by_difference(force_function, x, v), wanted, atol=1e-9, rtol=1e-9)


def test_ways_agree_with_torch_func_hessian():
    x, v = positions(), probes(3, 4)
    wanted = (v.reshape(3, -1) @ dense(quartic, x)).reshape(v.shape)
    forces, leaf = forces_of(quartic, x)
    scale = float(wanted.abs().max())
    for found in (
        hvp_from_forces(forces, leaf, v),
        hvp_from_energy(quartic, x, v, mode="reverse"),
        hvp_from_energy(quartic, x, v, mode="forward"),
    ):
        assert float((found - wanted).detach().abs().max()) < RTOL["analytic"] * scale
    found = hvp_by_difference(lambda y: forces_of(quartic, y)[0].detach(), x, v)
    assert float((found - wanted).detach().abs().max()) < RTOL["difference"] * scale


def test_probes_of_any_length_are_displaced_by_the_step():
    v = torch.cat([probes(2, 3), 1e6 * probes(2, 3, seed=5)], dim=1)
    ptr = torch.tensor([0, 3, 6])
    moved = (difference_scale(v, ptr, 0.01) * v).norm(dim=-1).reshape(2, 2, 3)
    torch.testing.assert_close(moved.amax(-1), torch.full((2, 2), 0.01, dtype=torch.float64))
    assert torch.isfinite(difference_scale(torch.zeros(1, 3, 3), None, 0.01) * torch.zeros(1, 3, 3)).all()


def error_of_differences(dtype, step):
    """Relative error of H v of a Morse pair chain, whose constants are those of a C-H bond."""

    def energy(x):
        r = (x[1:] - x[:-1]).norm(dim=-1)
        return 4.5 * (1 - torch.exp(-1.9 * (r - 1.09))).square().sum()

    chain = torch.tensor([[0.0, 0, 0], [1.1, 0.1, 0], [1.9, 0.9, 0.1], [2.9, 1.0, -0.2]], dtype=torch.float64)
    v = probes(4, 4)
    exact = hvp_from_energy(energy, chain, v)

    def forces(x):
        return forces_of(energy, x)[0].detach()

    found = hvp_by_difference(forces, chain.to(dtype), v, step=step)
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_default_step_is_near_the_best(dtype):
    """The best step balances truncation and rounding; the default has at most ten times its error."""
    steps = [10**-k for k in (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5)]
    errors = [error_of_differences(dtype, step) for step in steps]
    default = error_of_differences(dtype, DIFFERENCE_STEP[dtype])
    assert default < {torch.float32: 1e-3, torch.float64: 1e-5}[dtype]
    if dtype == torch.float32:
        assert default < 10 * min(errors)
        assert errors[-1] > default  # too small a step drowns in rounding


def test_error_of_differences_falls_with_the_square_of_the_step():
    ratio = error_of_differences(torch.float64, 1e-2) / error_of_differences(torch.float64, 1e-3)
    assert ratio == pytest.approx(100, rel=0.05)


def test_all_hessians_of_a_batch():
    x = torch.cat([positions(2), positions(4, seed=3), positions(1, seed=4)])
    ptr = torch.tensor([0, 2, 6, 7])
    parts = [x[a:b] for a, b in zip(ptr[:-1], ptr[1:], strict=True)]
    forces, leaf = forces_of(lambda y: sum(quartic(y[a:b]) for a, b in ((0, 2), (2, 6))), x)
    found = hessians_from_forces(forces, leaf, ptr)
    torch.testing.assert_close(found[0], dense(quartic, parts[0]))
    torch.testing.assert_close(found[1], dense(quartic, parts[1]))
    assert not found[2].any()
    assert not any(h.requires_grad for h in found)


def test_products_can_be_trained():
    """d/dk of |H v|^2 for E = k x^4 / 12: H = k x^2, so the derivative is 2 k (x^2 v)^2."""
    k = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    x, v = positions(2), probes(1, 2)
    forces, leaf = forces_of(lambda y: k * y.pow(4).sum() / 12, x)
    hvp_from_forces(forces, leaf, v).square().sum().backward()
    assert float(k.grad) == pytest.approx(float(2 * 1.5 * (x.square() * v[0]).square().sum()))


def test_forces_without_a_graph_or_with_other_shapes_are_refused():
    x = positions(2)
    with pytest.raises(ValueError, match="create_graph=True"):
        hvp_from_forces(torch.zeros(2, 3), x, probes(1, 2))
    forces, leaf = forces_of(quartic, x)
    with pytest.raises(ValueError, match=r"wanted forces \[n, 3\]"):
        hvp_from_forces(forces, leaf, probes(1, 3))
    with pytest.raises(ValueError, match="unknown mode"):
        hvp_from_energy(quartic, x, probes(1, 2), mode="sideways")


def test_forces_that_do_not_depend_on_the_positions_give_zero():
    leaf = positions(2).requires_grad_(True)
    constant = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    assert not hvp_from_forces(constant * 1.0, leaf, probes(2, 2)).any()
