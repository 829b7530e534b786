"""H v in its three ways, against closed forms and torch.func.hessian."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hint_plugin.core import hvp
from hint_plugin.core.hvp import (
    DIFFERENCE_STEP,
    cubic_products,
    difference_scale,
    hessians_from_forces,
    hvp_by_difference,
    hvp_from_energy,
    hvp_from_forces,
    many_hvps,
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


def test_many_products_without_a_graph_of_the_forces_are_refused():
    with pytest.raises(ValueError, match="create_graph=True"):
        many_hvps(torch.zeros(2, 3), positions(2), probes(1, 2))


class Alone(torch.autograd.Function):
    """x^3, as an operation that knows no batch of directions."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        seen.append(grad.sum().item())  # torch.vmap refuses to make a number of several
        return 3 * x**2 * grad


seen: list[float] = []


@pytest.mark.parametrize("count", [1, 2, 5])
def test_operations_that_cannot_be_batched_get_one_probe_after_the_other(count):
    """F = -x^3: H v = 3 x^2 v."""
    x, v = positions(3).requires_grad_(), probes(count, 3)
    seen.clear()
    found = many_hvps(-Alone.apply(x), x, v)
    torch.testing.assert_close(found, 3 * x.detach() ** 2 * v)
    assert not found.requires_grad
    assert seen == pytest.approx([float(one.sum()) for one in v])  # each once


def passes(monkeypatch, n_atoms: int, count: int) -> list[int]:
    """Probes in each pass backward."""
    found, grad = [], torch.autograd.grad

    def watched(*arguments, grad_outputs, **options):
        found.append(len(grad_outputs) if options["is_grads_batched"] else 1)
        return grad(*arguments, grad_outputs=grad_outputs, **options)

    x = positions(n_atoms).requires_grad_()
    forces = -(x**3)
    with monkeypatch.context() as patch:
        patch.setattr(torch.autograd, "grad", watched)
        products = many_hvps(forces, x, probes(count, n_atoms))
    torch.testing.assert_close(products, 3 * x.detach() ** 2 * probes(count, n_atoms))
    return found


@pytest.mark.parametrize(
    ("n_atoms", "count", "wanted"),
    [
        (1, 601, [600, 1]),  # 600 atoms in a pass
        (150, 9, [4, 4, 1]),
        (151, 6, [3, 3]),
        (300, 4, [2, 2]),
        (301, 3, [1, 1, 1]),
        (601, 2, [1, 1]),
    ],
)
def test_probes_share_a_pass_backward_up_to_600_atoms(monkeypatch, n_atoms, count, wanted):
    assert passes(monkeypatch, n_atoms, count) == wanted


@pytest.mark.parametrize(
    ("error", "count", "tries"),
    [(RuntimeError, 1, 1), (RuntimeError, 2, 2), (torch.OutOfMemoryError, 2, 1)],
)
def test_an_error_of_one_probe_or_of_memory_is_no_reason_to_try_again(monkeypatch, error, count, tries):
    x, calls = positions(2).requires_grad_(), []
    forces = -(x**3)

    def failing(*_, **__):
        calls.append(1)
        raise error("no")

    monkeypatch.setattr(torch.autograd, "grad", failing)
    with pytest.raises(error, match="no"):
        many_hvps(forces, x, probes(count, 2))
    assert len(calls) == tries


def test_many_products_of_forces_that_do_not_depend_on_the_positions_are_zero():
    leaf = positions(2).requires_grad_(True)
    constant = torch.ones(2, 3, dtype=torch.float64, requires_grad=True) * 1.0
    for count in (1, 3):
        assert torch.equal(many_hvps(constant, leaf, probes(count, 2)), torch.zeros(count, 2, 3).double())


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_the_graph_of_products_is_kept_where_it_is_asked_for(mode):
    """E = k x^4 / 12 of two structures: H v = k x^2 v; d/dk of the sum of H v is that of x^2 v."""
    k = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    x, v = positions(2), probes(2, 2)

    def energies(y):
        return k * y.pow(4).sum(-1) / 12  # one an atom: their sum is differentiated

    found = hvp_from_energy(energies, x, v, mode=mode, create_graph=True)
    torch.testing.assert_close(found.detach(), 1.5 * x**2 * v)
    (slope,) = torch.autograd.grad(found.sum(), k)
    assert float(slope) == pytest.approx(float((x**2 * v).sum()))
    without = hvp_from_energy(energies, x, v, mode=mode)
    torch.testing.assert_close(without, 1.5 * x**2 * v)
    assert not without.requires_grad


def test_the_default_mode_is_reverse():
    """Forward mode would stop at this operation, which has no jvp."""
    x, v = positions(2), probes(1, 2)
    found = hvp_from_energy(lambda y: (y * Alone.apply(y)).sum(), x, v)
    torch.testing.assert_close(found, 12 * x**2 * v)


@pytest.mark.parametrize("keep", [True, False])
def test_the_graph_of_the_forces_is_kept_where_it_is_asked_for(keep):
    forces, x = forces_of(quartic, positions(2))
    first = hvp_from_forces(forces, x, probes(3, 2), create_graph=False, retain_graph=keep)
    assert not first.requires_grad
    if keep:
        again = hvp_from_forces(forces, x, probes(3, 2))
        assert torch.equal(first, again) and again.requires_grad
        hvp_from_forces(forces, x, probes(3, 2), create_graph=False)  # kept by default
        torch.testing.assert_close(many_hvps(forces, x, probes(3, 2)), first)
        torch.testing.assert_close(many_hvps(forces, x, probes(3, 2)), first)
    else:
        with pytest.raises(RuntimeError, match="second time"):
            hvp_from_forces(forces, x, probes(3, 2))


def test_steps_of_each_probe_and_structure():
    """h = step over the farthest move of a structure's atoms; of short probes as of long ones."""
    v = torch.zeros(2, 3, 3, dtype=torch.float64)
    v[0, 0], v[0, 1, 2], v[0, 2, 1] = torch.tensor([3e-4, 0, 4e-4]), 1e-4, 0.25
    v[1, 0, 0], v[1, 1, 0], v[1, 2, 2] = 1.0, -8.0, 5.0
    found = difference_scale(v, torch.tensor([0, 2, 3]), 0.01)
    wanted = [[0.01 / 5e-4, 0.01 / 5e-4, 0.01 / 0.25], [0.01 / 8, 0.01 / 8, 0.01 / 5]]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64).unsqueeze(-1))
    alone = difference_scale(v, None, 0.01)
    wanted = [[0.01 / 0.25] * 3, [0.01 / 8] * 3]
    torch.testing.assert_close(alone, torch.tensor(wanted, dtype=torch.float64).unsqueeze(-1))


def test_differences_displace_by_the_step_of_their_precision():
    """By 0.001 A in double, by 0.01 A in single precision, or by what is asked for; both ways."""
    for dtype, step, wanted in (
        (torch.float64, None, 1e-3),
        (torch.float32, None, 1e-2),
        (torch.float64, 0.2, 0.2),
    ):
        x, moved = torch.zeros(2, 3, dtype=dtype), []

        def forces(y, moved=moved):
            moved.append(y)
            return -2.0 * y

        v = torch.tensor([[[0.0, 3, 0], [4, 0, 0]]], dtype=torch.float64)
        found = hvp_by_difference(forces, x, v, step=step)
        torch.testing.assert_close(found, (2 * v).to(dtype))
        assert sorted(float(y[1, 0]) for y in moved) == pytest.approx([-wanted, wanted])
        assert sorted(float(y[0, 1]) for y in moved) == pytest.approx([-0.75 * wanted, 0.75 * wanted])


def test_differences_of_several_structures_have_their_own_steps():
    """F = -x^3 at 0: the difference of a probe of size v is h^2 v^3, with h v of the step."""
    x, ptr = torch.zeros(2, 3, dtype=torch.float64), torch.tensor([0, 1, 2])
    v = torch.zeros(1, 2, 3, dtype=torch.float64)
    v[0, 0, 0], v[0, 1, 0] = 1.0, 100.0
    found = hvp_by_difference(lambda y: -(y**3), x, v, step=0.1, ptr=ptr)[0, :, 0]
    assert found.tolist() == pytest.approx([0.1**2, 0.1**2 * 100])


def test_third_derivatives():
    """Against the difference of products; zero of a quadratic energy, whose H v does not depend on x."""
    x = positions(4)
    forces, leaf = forces_of(quartic, x)
    v = positions(8, seed=5).reshape(2, 4, 3)
    found = cubic_products(forces, leaf, v)
    ahead, behind = (
        torch.stack([hvp_from_energy(quartic, x + sign * 1e-4 * one, one[None])[0] for one in v])
        for sign in (1, -1)
    )
    torch.testing.assert_close(found, (ahead - behind) / 2e-4, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(cubic_products(forces, leaf, 2 * v), 4 * found)
    energy, _ = quadratic(4)
    assert not cubic_products(*forces_of(energy, x), v).any()


def test_no_structure_has_no_hessian():
    x = torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)
    assert hessians_from_forces(-(x**3), x, torch.tensor([0])) == []


def test_hessians_of_structures_larger_than_a_pass(monkeypatch):
    """Blocks of columns: of 3 and 5 atoms together two probes fit into a pass of 16 atoms."""
    monkeypatch.setattr(hvp, "ATOMS_TOGETHER", 16)
    x, ptr = torch.cat([positions(3), positions(5, seed=3)]), torch.tensor([0, 3, 8])
    forces, leaf = forces_of(lambda y: quartic(y[:3]) + quartic(y[3:]), x)
    first, second = hessians_from_forces(forces, leaf, ptr)
    torch.testing.assert_close(first, dense(quartic, x[:3]))
    torch.testing.assert_close(second, dense(quartic, x[3:]))


def test_hessians_are_not_symmetrised():
    """F = (-x y, 0, 0) of an atom is no gradient: -dF/dx has y and x in its first row alone."""
    x = torch.tensor([[2.0, 5.0, 1.0]], dtype=torch.float64, requires_grad=True)
    forces = torch.stack([-x[:, 0] * x[:, 1], 0 * x[:, 1], 0 * x[:, 2]], dim=1)
    (found,) = hessians_from_forces(forces, x, torch.tensor([0, 1]))
    # products are those of the transpose, as reverse mode gives them
    assert found.T.tolist() in ([[5.0, 0, 0], [2.0, 0, 0], [0, 0, 0]], [[5.0, 2.0, 0], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 3), (2, 3)), ((2, 3), (3, 3), (1, 3, 3)), ((3, 3), (2, 3), (1, 2, 3))]
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    of_forces, of_positions, of_probes = (torch.zeros(shape, requires_grad=True) for shape in shapes)
    with pytest.raises(
        ValueError, match=r"wanted forces \[n, 3\], positions \[n, 3\] and probes \[K, n, 3\]"
    ):
        hvp_from_forces(of_forces, of_positions, of_probes)
