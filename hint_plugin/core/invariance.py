"""The exact Hessian of a molecule from few products H v: what rigid motions and symmetry do to it is known.

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

Of a symmetric molecule, H B comes from the few products of `symmetry_products`. One more, with a random
direction, has to be what H B says: an energy that does not have the symmetry of the molecule is found out,
with a `SymmetryWarning`, and the 3N - 6 products are computed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hint_plugin.core.hvp import hessians_from_forces
from hint_plugin.core.operator import HessianOperator
from hint_plugin.core.point_group import PointGroup, point_group
from hint_plugin.core.symmetry_products import probes_of, products_on
from hint_plugin.errors import SymmetryWarning

INVARIANCE_SAVES = 100
"""Atoms: of more, six products in 3N are nothing."""
BROKEN = {torch.float64: 1e-8, torch.float32: 1e-4}
"""Of the largest product: what R^T H B may differ from G^T B. Rounding leaves 1e-13 and 1e-6; constants of
a model that were made in float32 and run in float64 leave 1e-8."""
SYMMETRIC = {torch.float64: 2e-8, torch.float32: 1e-6}
"""A: within this an operation has to put atoms on each other. Coordinates of eight decimals are, and change
the Hessian by a few 1e-8 of it; those of a float32 model are rounded to 1e-6 anyway."""
_STEEP = 20.0
"""1/A: by how much of itself, at most, H changes with a displacement (of a Morse bond 3 a = 6)."""
_THIN = 0.05
"""Of the largest: rotations that move a molecule by less are computed. Of a nearly linear one the turn
about the axis would multiply the rounding of g."""


def invariant_hessian(
    operator: HessianOperator, forces: Tensor, *, periodic: bool = False, kinds: np.ndarray | None = None
) -> Tensor:
    """The Hessian [3N, 3N], eV/A^2, symmetric, of an energy that does not change with translations and
    rotations.

    The numbers of `HessianOperator.dense`, to rounding; 3N - 6 products in place of 3N (water 3 and not 9),
    or 3N where rotations turn out to change the energy. Of a symmetric molecule fewer: benzene 3, methane 2.

    Args:
        operator: v -> H v at the operator's positions.
        forces: F [N, 3] there, eV/A.
        periodic: translations only.
        kinds: [N], the elements: the point group of a molecule is used; None: it is not.

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
    products = None
    if kinds is not None and not periodic:
        products = _by_symmetry(operator, rest, np.asarray(kinds))
    if products is None:
        products = _products(operator, rest)
    coupling = rigid.T @ products
    limit = BROKEN[operator.positions.dtype] * float(products.abs().max()) if products.numel() else 0.0
    if products.numel() and not float((coupling - known.T @ rest).abs().max()) <= limit:
        known = _products(operator, rigid)
    mixed = rigid @ coupling @ rest.T
    matrix = rest @ (rest.T @ products) @ rest.T + mixed + mixed.T + rigid @ (rigid.T @ known) @ rigid.T
    return (0.5 * (matrix + matrix.T)).to(operator.positions.dtype)


def invariant_hessians(
    forces: Tensor,
    positions: Tensor,
    ptr: Tensor,
    kinds: Sequence[np.ndarray],
    periodic: Sequence[bool],
) -> list[Tensor]:
    """The Hessians of the structures of a batch, as `hessians_from_forces`; of one alone by
    `invariant_hessian`. Structures of a batch share their products, which rigid motions of one do not.

    Args:
        forces: with a graph to the leaf `positions`, both [sum N, 3].
        ptr: where each structure starts, and the end.
        kinds, periodic: of each structure, see `invariant_hessian`.
    """
    if len(kinds) == 1 and len(kinds[0]) <= INVARIANCE_SAVES:
        operator = HessianOperator.from_forces(forces, positions)
        return [invariant_hessian(operator, forces, periodic=periodic[0], kinds=kinds[0])]
    return hessians_from_forces(forces, positions, ptr)


def _by_symmetry(operator: HessianOperator, rest: Tensor, kinds: np.ndarray) -> Tensor | None:
    """H B of B = `rest` from the products that the point group leaves, or its rotations alone; None where
    that saves nothing, or where the energy does not have this symmetry."""
    x = operator.positions.detach().double().cpu().numpy()
    group = point_group(x, kinds, SYMMETRIC[operator.positions.dtype])
    if group is None:
        return None
    wrong = ""
    for tried in (group, group.proper):
        if len(tried.matrices) < 2 or (wrong and len(tried.matrices) == len(group.matrices)):
            break
        found, error = _by_group(operator, rest.cpu().numpy(), tried)
        if found is None:
            break
        if error <= BROKEN[operator.positions.dtype] + _STEEP * tried.asymmetry:
            if wrong:
                _tell(f"{wrong}. Only its {len(tried.matrices)} rotations are used: mirror images differ")
            return torch.as_tensor(found, device=rest.device)
        wrong = wrong or (
            f"the energy does not have the symmetry of the molecule: by its {len(tried.matrices)} operations "
            f"a product H v is off by {error:.1e} of its size"
        )
    if wrong:
        _tell(
            f"{wrong}. The Hessian is computed without them; look for what in the potential depends on the "
            "direction (a field, a grid, axes)"
        )
    return None


def _tell(text: str) -> None:
    warnings.warn(text, SymmetryWarning, stacklevel=4)


def _by_group(
    operator: HessianOperator, space: np.ndarray, group: PointGroup
) -> tuple[np.ndarray | None, float]:
    """H B of B = `space`, and by how much of its size a product with a random direction differs from it;
    (None, 0) where that takes as many products as B has columns."""
    probes = probes_of(group, space)
    if probes is None or probes.shape[1] + 1 >= space.shape[1]:
        return None, 0.0
    signs = np.random.default_rng(0).choice([-1.0, 1.0], space.shape[1])
    asked = torch.as_tensor(np.column_stack([probes, space @ signs]), device=operator.positions.device)
    seen = _products(operator, asked).cpu().numpy()
    found = products_on(group, probes, seen[:, :-1], space)
    size = max(float(np.abs(seen).max()), 1e-300)
    return found, float(np.abs(seen[:, -1] - found @ signs).max()) / size


def _products(operator: HessianOperator, directions: Tensor) -> Tensor:
    """H v for the columns of directions [3N, k], in float64."""
    if not directions.shape[1]:
        return directions
    probes = directions.T.reshape(directions.shape[1], -1, 3).to(operator.positions.dtype)
    return operator.mv(probes).detach().double().reshape(directions.shape[1], -1).T


def _rigid_products(positions: Tensor, gradient: Tensor, periodic: bool) -> tuple[Tensor, Tensor]:
    """R [3N, r] and G = H R [3N, r]."""
    n = len(positions)
    axes = torch.diag(positions.new_ones(3))
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
