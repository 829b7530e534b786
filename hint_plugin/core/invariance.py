"""The exact Hessian of a molecule from 3N - 6 products H v: what rigid motions do to it is known.

An energy that no translation and no rotation changes fixes the products with them (the gradient g turns
with the molecule, g(Qx) = Q g(x); differentiated with respect to Q):

    H t = 0,    H (w x r) = w x g

| symbol | variable | shape |
|---|---|---|
| R, orthonormal translations and rotations (unit masses) | `rigid` | [3N, r] |
| B, the rest of the space | `rest` | [3N, 3N - r] |
| G = H R, from g | `known` | [3N, r] |
| H B, computed | `products` | [3N, 3N - r] |

    H = B (B^T H B) B^T + [R (R^T H B) B^T + transpose] + R (R^T G) R^T

so that only the block R^T H R comes from g, and R^T H B, which is computed, has to be G^T B: an energy that a
rotation does change is found out, without one product more, and its rigid motions are computed like the rest.
A molecule has r = 6, a linear one 5, an atom 3; a periodic system 3, since its lattice does not turn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hint_plugin.core.operator import HessianOperator

BROKEN = {torch.float64: 1e-8, torch.float32: 1e-4}
"""Of the largest product: what R^T H B may differ from G^T B. Rounding leaves 1e-13 and 1e-6; constants of
a model that were made in float32 and run in float64 leave 1e-8."""
_THIN = 0.05
"""Of the largest: rotations that move a molecule by less are computed. Of a nearly linear one the turn
about the axis would multiply the rounding of g."""


def invariant_hessian(operator: HessianOperator, forces: Tensor, *, periodic: bool = False) -> Tensor:
    """The Hessian [3N, 3N], eV/A^2, symmetric, of an energy that does not change with translations and
    rotations.

    The numbers of `HessianOperator.dense`, to rounding; 3N - 6 products in place of 3N (water 3 and not 9),
    or 3N where rotations turn out to change the energy.

    Args:
        operator: v -> H v at the operator's positions.
        forces: F [N, 3] there, eV/A.
        periodic: translations only.

    Raises:
        ValueError: forces of another shape than the positions.
    """
    if forces.shape != operator.positions.shape:
        raise ValueError(
            f"forces of shape {tuple(forces.shape)}; wanted that of the positions "
            f"{tuple(operator.positions.shape)}"
        )
    positions, gradient = operator.positions.detach().double(), -forces.detach().double()
    rigid, known = _rigid_products(positions, gradient, periodic)
    rest = torch.linalg.qr(rigid, mode="complete")[0][:, rigid.shape[1] :]
    products = _products(operator, rest)
    coupling = rigid.T @ products
    limit = BROKEN[operator.positions.dtype] * float(products.abs().max()) if products.numel() else 0.0
    if products.numel() and not float((coupling - known.T @ rest).abs().max()) <= limit:
        known = _products(operator, rigid)
    mixed = rigid @ coupling @ rest.T
    matrix = rest @ (rest.T @ products) @ rest.T + mixed + mixed.T + rigid @ (rigid.T @ known) @ rigid.T
    return (0.5 * (matrix + matrix.T)).to(operator.positions.dtype)


def _products(operator: HessianOperator, directions: Tensor) -> Tensor:
    """H v for the columns of directions [3N, k], in float64."""
    if not directions.shape[1]:
        return directions
    probes = directions.T.reshape(directions.shape[1], -1, 3).to(operator.positions.dtype)
    return operator.mv(probes).detach().double().reshape(directions.shape[1], -1).T


def _rigid_products(positions: Tensor, gradient: Tensor, periodic: bool) -> tuple[Tensor, Tensor]:
    """R [3N, r] and G = H R [3N, r]."""
    n = len(positions)
    axes = torch.eye(3, dtype=positions.dtype, device=positions.device)
    translations = axes.repeat(n, 1) / n**0.5
    still = torch.zeros_like(translations)
    if periodic:
        return translations, still
    apart = positions - positions.mean(0)
    turned, turning = (
        torch.linalg.cross(axes[:, None, :], x[None], dim=-1).reshape(3, -1).T for x in (apart, gradient)
    )
    left, sizes, right = torch.linalg.svd(turned, full_matrices=False)
    kept = sizes > _THIN * sizes.max().clamp_min(1e-6)
    rotations = left[:, kept]
    products = turning @ right.T[:, kept] / sizes[kept]
    return torch.cat([translations, rotations], dim=1), torch.cat([still, products], dim=1)
