"""The lowest eigenpairs of a symmetric operator by Davidson's iteration, from products alone.

In a growing orthonormal basis V the operator A is V^T A V, with eigenpairs theta, y; x = V y are its Ritz
vectors, and their residuals r = A x - theta x. While a wanted |r| is above the tolerance, the basis grows by

    t = - K r + a K x,    a = (x . K r) / (x . K x),    K = (M - theta)^-1

M being a model of A that is cheap to invert (E. R. Davidson, J. Comput. Phys. 17, 87 (1975); the second
term, which keeps t orthogonal to x, is that of J. Olsen, P. Jorgensen, J. Simons, Chem. Phys. Lett. 169, 463
(1990)).
Without a model t = r: Lanczos's basis. An eigenvalue lies within |r| of each theta. That nothing lower exists
is not proved by any method of products: a mode that is orthogonal to the whole basis is not seen.

| symbol | variable |
|---|---|
| A | `product`, outside of the space of `deflated` |
| M | `model` |
| V, A V | `LowestPairs.basis`, `LowestPairs.images` |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_NEW = 1e-8  # of a normalised direction, outside of the basis: below, it brings nothing


@dataclass(frozen=True)
class LowestPairs:
    """The lowest eigenpairs that were found.

    Attributes:
        values: [k], ascending.
        vectors: [n, k], orthonormal, and orthogonal to what was deflated.
        residuals: [k], |A x - theta x|.
        converged: whether all residuals are within the tolerance.
        basis: [n, p], orthonormal.
        images: [n, p], the products with the basis, before anything is deflated.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    converged: bool
    basis: np.ndarray
    images: np.ndarray

    @property
    def products(self) -> int:
        """How many products were asked for."""
        return int(self.basis.shape[1])


def lowest_pairs(
    product: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    count: int = 1,
    *,
    tolerance: float = 0.0,
    relative: float = 0.0,
    negative: bool = False,
    deflated: np.ndarray | None = None,
    model: np.ndarray | None = None,
    most: int | None = None,
    seed: int = 0,
) -> LowestPairs:
    """The `count` lowest eigenpairs of a symmetric operator of size n.

    Args:
        product: X [n, m] -> A X [n, m].
        start: [n, m], directions to begin with; m of at least `count` is best.
        count: how many, at most n less what is deflated.
        tolerance: of |r|.
        relative: of |r| / |theta|; the larger of the two counts.
        negative: want all whose theta is below zero, too.
        deflated: [n, d], orthonormal: nothing is looked for in its space.
        model: [n, n], symmetric, about A; None: none is known.
        most: products, at most; None: as many as the space has dimensions.
        seed: of the random directions that are taken where nothing else is new.

    Raises:
        ValueError: there are fewer than `count` directions.
    """
    n = len(start)
    away = np.zeros((n, 0)) if deflated is None else deflated
    size = n - away.shape[1]
    if not 1 <= count <= size:
        raise ValueError(
            f"{count} eigenpairs of a space of {size} dimensions; wanted at least 1, at most {size}"
        )
    rng, limit = np.random.default_rng(seed), size if most is None else min(size, max(most, count))
    improve = _improvement(model, away)
    basis, images = np.zeros((n, 0)), np.zeros((n, 0))
    new = _outside(start, away, basis)
    while True:
        while basis.shape[1] + new.shape[1] < count or not new.shape[1]:
            new = np.hstack([new, _outside(rng.normal(size=(n, 1)), away, np.hstack([basis, new]))])
        new = new[:, : limit - basis.shape[1]]
        basis, images = np.hstack([basis, new]), np.hstack([images, product(new)])
        projected = basis.T @ images
        values, y = np.linalg.eigh(0.5 * (projected + projected.T))
        wanted = max(count, int((values < 0).sum())) if negative else count
        values, y = values[:wanted], y[:, :wanted]
        vectors, there = basis @ y, images @ y
        rest = there - away @ (away.T @ there) - vectors * values
        residuals = np.linalg.norm(rest, axis=0)
        open_ = residuals > np.maximum(tolerance, relative * np.abs(values))
        if not open_.any() or basis.shape[1] >= limit:
            done = not open_.any() or basis.shape[1] >= size
            return LowestPairs(values, vectors, residuals, done, basis, images)
        steps = [improve(vectors[:, k], rest[:, k], values[k]) for k in np.flatnonzero(open_)]
        new = _outside(np.array(steps).T, away, basis)


def _improvement(
    model: np.ndarray | None, away: np.ndarray
) -> Callable[[np.ndarray, np.ndarray, float], np.ndarray]:
    """(x, r, theta) -> t."""
    if model is None:
        return lambda x, r, theta: r
    kept = model - away @ (away.T @ model)
    kept = kept - (kept @ away) @ away.T
    levels, states = np.linalg.eigh(0.5 * (kept + kept.T))
    least = 1e-3 * float(np.abs(levels).max())

    def improve(x: np.ndarray, r: np.ndarray, theta: float) -> np.ndarray:
        gaps = levels - theta
        gaps = np.where(np.abs(gaps) < least, np.copysign(least, gaps), gaps)
        along, on = states.T @ r, states.T @ x
        share = float((on / gaps) @ on)
        a = float((on / gaps) @ along) / share if abs(share) > 1e-12 else 0.0
        return np.asarray(states @ ((a * on - along) / gaps))

    return improve


def _outside(directions: np.ndarray, away: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """An orthonormal basis of what directions [n, m] bring that is new."""
    known = np.hstack([away, basis])
    found = np.zeros((len(directions), 0))
    for direction in directions.T:
        length = np.linalg.norm(direction)
        if not np.isfinite(length) or length == 0:
            continue
        t, everything = direction / length, np.hstack([known, found])
        for _ in range(2):  # once loses digits
            t = t - everything @ (everything.T @ t)
        if (left := np.linalg.norm(t)) > _NEW:
            t = t / left
            t = t - everything @ (everything.T @ t)
            found = np.hstack([found, (t / np.linalg.norm(t))[:, None]])
    return found
