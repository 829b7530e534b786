"""Do energies, forces and H v of a model belong together? Each is compared by differences.

A model can be trained with forces that are no derivative of its energy (a head of their own, a kernel with a
wrong backward pass), and with products H v that are no derivative of its forces (a kernel without a third
derivative). Neither shows in a loss that falls.

| symbol | equation | variable |
|---|---|---|
| F . d | -[8 (E(x + h d) - E(x - h d)) - (E(x + 2 h d) - E(x - 2 h d))] / 12 h, an error of order h^4 | |
| x | the positions, each atom moved by up to `SHIFT`: at a minimum F is zero and nothing would be seen | |
| d | F / abs(F): the direction in which F says most | ``direction`` |
| H v | [F(x - h v) - F(x + h v)] / 2h, see `hint_plugin.core.hvp.hvp_by_difference` | ``wanted`` |
| g . u | [L(p + h u) - L(p - h u)] / 2h, g the gradient of L = (H v)^2 to the parameters, u = g / abs(g) | |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hint_plugin.core.hvp import DIFFERENCE_STEP

#: Positions [n, 3] -> total energy (any shape, summed) and forces [n, 3].
EnergyAndForces = Callable[[Tensor], tuple[Tensor, Tensor]]

#: Largest relative deviation, by the precision of the model. In double precision the error of the differences
#: themselves reaches 3e-4 (an untrained Allegro); rounding of float32 forces gives up to 1e-2 on stiff
#: molecules; a wrong derivative gives 0.1 and more.
TOLERANCE = {torch.float64: 5e-3, torch.float32: 5e-2}

#: A: how far an atom is moved from where it was before forces are compared with energies.
SHIFT = 0.05

#: The same for the gradient to the parameters, whose difference is taken over `CHANGE` of the value.
GRADIENT_TOLERANCE = {torch.float64: 2e-2, torch.float32: 0.15}
CHANGE = 0.01

#: Rounding errors of an energy that are forgiven, and the relative deviation from which they hide a fault.
ROUNDINGS, HIDES = 3.0, 0.3


@dataclass(frozen=True)
class Deviation:
    """How far something is from its differences.

    Attributes:
        relative: abs(found - wanted) / abs(wanted).
        rounding: the relative deviation that the rounding of the energies may give by itself.
    """

    relative: float
    rounding: float = 0.0

    def agrees(self, precision: torch.dtype, tolerance: Mapping[torch.dtype, float] = TOLERANCE) -> bool:
        """Whether a model that computes in `precision` may show it; NaN does not agree."""
        return self.relative <= tolerance[precision] + ROUNDINGS * self.rounding


def product_deviation(products: Tensor, wanted: Tensor) -> Deviation | None:
    """Of products H v from differences of forces, both [K, n, 3]; None where there is nothing to compare.

    That is so where both vanish: the atoms do not feel each other.
    """
    products, wanted = products.detach(), wanted.detach()
    scale = float(wanted.norm())
    if scale == 0.0 and float(products.norm()) == 0.0:
        return None
    floor = 1e-3 * wanted.numel() ** 0.5
    return Deviation(float((products - wanted).norm()) / max(scale, floor))


def force_deviation(evaluate: EnergyAndForces, positions: Tensor, precision: torch.dtype) -> Deviation | None:
    """Of forces from differences of energies; None where there is nothing to compare.

    That is so where there are no forces, and where the rounding of large energies would hide a wrong one.

    Args:
        evaluate: energy and forces of the structures at other positions.
        positions: [n, 3], A.
        precision: in which the model computes; its positions may have another dtype.
    """
    moved = positions.detach() + _shift(positions)
    energy, forces = (x.detach() for x in evaluate(moved))
    size = float(forces.norm())
    if size == 0.0:
        return None
    direction = forces / size
    h = DIFFERENCE_STEP[precision] / float(torch.linalg.vector_norm(direction, dim=-1).max())

    def energy_at(steps: int) -> float:
        return float(evaluate(moved + steps * h * direction)[0].detach().double().sum())

    near, far = energy_at(1) - energy_at(-1), energy_at(2) - energy_at(-2)
    wanted = -(8 * near - far) / (12 * h)
    rounding = torch.finfo(energy.dtype).eps * float(energy.abs().double().sum()) / (h * size)
    return None if ROUNDINGS * rounding >= HIDES else Deviation(abs(size - wanted) / size, rounding)


def gradient_deviation(value: Callable[[], Tensor], parameters: Sequence[Tensor]) -> Deviation | None:
    """Of the gradient of a number to the parameters from a difference along this gradient.

    A kernel can have a right H v and a wrong derivative of it: the third derivative of PyTorch's `layer_norm`
    is such a one. The parameters are afterwards what they were.

    Args:
        value: a number with its graph, made anew at each call.
        parameters: those that are trained.

    Returns:
        None where the number or its gradient vanishes.

    Raises:
        RuntimeError: what a kernel without the derivative raises.
    """
    number = value()
    if not parameters or not number.requires_grad:
        return None
    found = torch.autograd.grad(number, list(parameters), allow_unused=True)
    gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    size = float(torch.stack([g.double().square().sum() for g in gradients]).sum().sqrt())
    level = abs(float(number.detach().double()))
    if size == 0.0 or level == 0.0:
        return None
    before = [p.detach().clone() for p in parameters]
    h = CHANGE * level / size

    def at(distance: float) -> float:
        with torch.no_grad():
            for p, old, g in zip(parameters, before, gradients, strict=True):
                p.copy_(old + (distance / size) * g)
        return float(value().detach().double())

    try:
        wanted = (at(h) - at(-h)) / (2 * h)
    finally:
        with torch.no_grad():
            for p, old in zip(parameters, before, strict=True):
                p.copy_(old)
    return Deviation(abs(size - wanted) / size)


def _shift(positions: Tensor) -> Tensor:
    """Displacements of up to `SHIFT` along each axis, the same ones every time."""
    generator = torch.Generator().manual_seed(0)
    random = torch.rand(positions.shape, generator=generator, dtype=torch.float64)
    return (SHIFT * (2 * random - 1)).to(positions)
