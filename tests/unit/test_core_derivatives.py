"""Whether energies, forces and H v belong together, on surfaces whose derivatives are known."""

from __future__ import annotations

import math

import pytest
import torch

from hint_plugin.core import derivatives
from hint_plugin.core.derivatives import (
    GRADIENT_TOLERANCE,
    TOLERANCE,
    Deviation,
    force_deviation,
    gradient_deviation,
    product_deviation,
)

X = torch.tensor([[0.3, -0.2, 0.5], [1.0, 0.7, -0.4]], dtype=torch.float64)


def quartic(factor: float = 1.0, shift: float = 0.0, dtype: torch.dtype = torch.float64):
    """E = sum x^4 / 4 + shift, and F = -factor x^3."""

    def evaluate(x):
        y = x.to(dtype)
        return (y**4).sum() / 4 + shift, -factor * y**3

    return evaluate


def test_right_forces_agree():
    found = force_deviation(quartic(), X, torch.float64)
    assert found is not None and found.relative < 1e-9 and found.agrees(torch.float64)
    single = force_deviation(quartic(dtype=torch.float32), X, torch.float32)
    assert single is not None and single.agrees(torch.float32)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 3.3, -1.0, math.nan])
def test_wrong_forces_do_not(factor):
    """Half of them differ by themselves from the differences, and so on; NaN agrees with nothing."""
    found = force_deviation(quartic(factor), X, torch.float64)
    assert found is not None and not found.agrees(torch.float64) and not found.agrees(torch.float32)
    if not math.isnan(factor):
        assert found.relative == pytest.approx(abs(1 - 1 / factor), rel=1e-6)


def test_at_a_minimum_too():
    """Where forces vanish, right and wrong ones look alike: the comparison is made beside it."""
    zero = torch.zeros_like(X)
    right, wrong = (force_deviation(quartic(factor), zero, torch.float64) for factor in (1.0, 2.0))
    assert right is not None and right.agrees(torch.float64)
    assert wrong is not None and not wrong.agrees(torch.float32)


def test_rounding_of_large_energies_is_no_fault():
    """1e4 eV in float32 have steps of 0.001 eV: much is forgiven, and with more nothing could be seen."""
    found = force_deviation(quartic(shift=-6.7e3, dtype=torch.float32), X, torch.float32)
    assert found is not None and found.rounding > TOLERANCE[torch.float32] and found.agrees(torch.float32)
    wrong = force_deviation(quartic(2.0, shift=-6.7e3, dtype=torch.float32), X, torch.float32)
    assert wrong is not None and not wrong.agrees(torch.float32)
    assert force_deviation(quartic(shift=-1e5, dtype=torch.float32), X, torch.float32) is None


def test_products():
    v = torch.randn(2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    product = 3 * X**2 * v
    assert product_deviation(product, product) == Deviation(0.0)
    found = product_deviation(1.5 * product, product)
    assert found is not None and found.relative == pytest.approx(0.5)
    lost = product_deviation(0 * product, product)  # a kernel that gives no gradient
    assert lost is not None and not lost.agrees(torch.float32)


def test_nothing_to_compare_is_no_agreement():
    zero = torch.zeros(2, 2, 3)
    assert product_deviation(zero, zero) is None
    assert force_deviation(lambda x: (x.sum() * 0, x * 0), X, torch.float64) is None


def test_what_a_precision_may_show():
    for precision, allowed in ((torch.float64, 5e-3), (torch.float32, 5e-2)):
        assert Deviation(0.99 * allowed).agrees(precision) and not Deviation(1.01 * allowed).agrees(precision)
        assert Deviation(allowed + 0.029, rounding=0.01).agrees(precision)  # three roundings are forgiven
        assert not Deviation(allowed + 0.031, rounding=0.01).agrees(precision)


def test_small_products_are_measured_against_a_floor():
    """A thousandth of an eV/A^2 in each of twelve components, whatever there is less."""
    wanted = torch.full((2, 2, 3), 1e-6, dtype=torch.float64)
    found = product_deviation(3 * wanted, wanted)
    assert found is not None and found.relative == pytest.approx(2e-6 / 1e-3)
    alone = product_deviation(1e-3 + 0 * wanted, 0 * wanted)  # where nothing was wanted
    assert alone is not None and alone.relative == pytest.approx(1.0)


def test_energies_of_several_structures_are_summed():
    """One energy an atom, and its rounding that of their sizes together."""

    def evaluate(x):
        return (x**4).sum(-1) / 4, -(x**3)

    found = force_deviation(evaluate, X, torch.float64)
    assert found is not None and found.relative < 1e-9 and found.agrees(torch.float64)


def test_atoms_are_moved_by_up_to_a_twentieth_of_an_angstrom():
    """Along each axis, both ways, the same every time; then by one and two steps along the forces."""
    zero, seen = torch.zeros(200, 3, dtype=torch.float64), []

    def evaluate(x):
        seen.append(x.clone())
        return (x**2).sum() / 2, -x

    found = force_deviation(evaluate, zero, torch.float64)
    assert found is not None and found.relative < 1e-8
    first, *steps = seen
    assert 0.049 < float(first.max()) < 0.05 and -0.05 < float(first.min()) < -0.049
    assert abs(float(first.mean())) < 0.005
    largest = sorted(float((x - first).norm(dim=-1).max()) for x in steps)
    assert largest == pytest.approx([1e-3, 1e-3, 2e-3, 2e-3])
    force_deviation(evaluate, zero, torch.float64)
    assert torch.equal(seen[5], first)


@pytest.mark.parametrize(("precision", "step"), [(torch.float64, 1e-3), (torch.float32, 1e-2)])
def test_error_and_rounding_of_the_differences(precision, step):
    """h^4 / 30 of the fifth derivative along d, which is 24 sum d^5 for E = sum x^5 / 5; eps E / (h F)."""
    x = torch.full((1, 3), 0.2, dtype=torch.float64)

    def evaluate(y):
        return (y**5).sum(-1) / 5 - 3, -(y**4)

    found = force_deviation(evaluate, x, precision)
    energy, forces = evaluate(x + derivatives._shift(x))
    size = float(forces.norm())
    rounding = torch.finfo(torch.float64).eps * float(energy.abs()) / (step * size)
    error = 0.8 * step**4 * float(((forces / size).abs() ** 5).sum()) / size
    assert found.rounding == pytest.approx(rounding)
    assert found.relative == pytest.approx(error, rel=1e-2, abs=3 * rounding)


def test_from_which_rounding_on_nothing_is_compared():
    """Three roundings of a tenth hide what is looked for."""

    def at(shift):
        def evaluate(x):
            return torch.tensor(shift, dtype=torch.float64) + (x**2).sum() / 2, -x

        return force_deviation(evaluate, 100.0 * torch.ones(1, 3), torch.float64)

    # eps E / (h F) with F = 173 eV/A: 0.1 at E = 0.1 * 1e-3 * 173 / 2.2e-16
    edge = 0.1 * 1e-3 * 100 * math.sqrt(3) / torch.finfo(torch.float64).eps
    assert at(1.01 * edge) is None
    found = at(0.98 * edge)
    assert found is not None and found.rounding == pytest.approx(0.098, rel=1e-2)


def test_products_of_different_size_on_both_sides():
    """The deviation is relative to what is wanted, and is seen from both sides."""
    wanted = torch.full((1, 4, 3), 2.0)
    for factor, deviation in ((3.0, 2.0), (0.0, 1.0), (-1.0, 2.0)):
        found = product_deviation(factor * wanted, wanted)
        assert found is not None and found.relative == pytest.approx(deviation) and found.rounding == 0.0
    assert product_deviation(0 * wanted, wanted).relative == 1.0
    nothing = product_deviation(wanted.requires_grad_(), 0 * wanted)
    assert nothing is not None and nothing.relative == pytest.approx(2 / 1e-3)


# the gradient to the parameters -----------------------------------------------------------------------------


def number_of(parameters: list[torch.Tensor], lost: float = 0.0):
    """A number of degree four in the parameters; a part of its gradient may be lost."""

    def value() -> torch.Tensor:
        a, b = parameters
        number = (a.square().sum() * b.exp().sum() + a.pow(4).sum()).square()
        return (1 - lost) * number + lost * number.detach()

    return value


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("lost", "wrong"), [(0.0, 0.0), (0.5, 1.0), (0.2, 0.25), (-0.5, 1 / 3)])
def test_a_gradient_and_its_difference(dtype, lost, wrong):
    """abs(g - d) / g with d the difference; one that is lost by a half is off by one, and is refused."""
    random = torch.Generator().manual_seed(1)
    parameters = [torch.randn(n, generator=random).to(dtype).requires_grad_() for n in (3, 2)]
    before = [p.detach().clone() for p in parameters]
    found = gradient_deviation(number_of(parameters, lost), parameters)
    assert found.relative == pytest.approx(wrong, abs=2e-3 if dtype == torch.float64 else 2e-2)
    assert found.agrees(dtype, GRADIENT_TOLERANCE) is (lost == 0.0)
    assert all(torch.equal(p, old) for p, old in zip(parameters, before, strict=True))


def test_no_gradient_to_compare():
    zero = torch.zeros(3, requires_grad=True)
    assert gradient_deviation(lambda: zero.square().sum(), [zero]) is None
    assert gradient_deviation(lambda: torch.ones(()), [zero]) is None
    assert gradient_deviation(lambda: zero.sum() + 1, []) is None


def test_parameters_stay_whatever_happens():
    parameter = torch.ones(2, requires_grad=True)
    calls = []

    def value() -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no memory")
        return parameter.square().sum()

    with pytest.raises(RuntimeError, match="no memory"):
        gradient_deviation(value, [parameter])
    assert parameter.tolist() == [1.0, 1.0]
