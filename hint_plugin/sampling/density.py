"""Weighted local density: how far each point is from its neighbours, and a choice weighted by that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def weighted_order(weights: NDArray[np.floating], n: int, seed: int) -> NDArray[np.int64]:
    """The first `n` points of a weighted draw without replacement, in the order they are drawn.

    The n largest of log w_i + G_i, with independent Gumbel numbers G_i, are distributed as n successive
    draws, each with probabilities w_i / sum of the w that are left. `numpy.random.Generator.choice` with
    `replace=False` and `p` draws the same way (Efraimidis and Spirakis, Inf. Process. Lett. 97, 181 (2006);
    Kool, van Hoof, Welling, arXiv:1903.06059). Any first part of the order is such a draw itself.

    Args:
        weights: [points], not negative. Points of weight 0 come last, in random order.
        n: how many.
        seed: of the random numbers.

    Returns:
        [n] indices.
    """
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore"):
        keys = np.log(np.asarray(weights, dtype=np.float64)) + rng.gumbel(size=len(weights))
    last = rng.random(len(weights))  # decides among the keys that are all -inf
    if n < len(keys) // 10:
        candidates = np.argpartition(keys, -n)[-n:]
        candidates = np.flatnonzero(keys >= keys[candidates].min())
    else:
        candidates = np.arange(len(keys))
    return candidates[np.lexsort((last[candidates], keys[candidates]))[::-1]][:n]


def random_order(points: int, n: int, seed: int) -> NDArray[np.int64]:
    """`n` different points, all equally probable, in the order they are drawn."""
    return np.random.default_rng(seed).permutation(points)[:n]


def farthest_order(
    features: NDArray[np.float32], n: int, seed: int, *, block: int = 16384
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Farthest-point sampling (Gonzalez, Theor. Comput. Sci. 38, 293 (1985)), exact, in n passes.

    The first point is random; each next one is the point whose distance to the chosen ones,
    min_j |x_i - x_j|, is largest. Work is n times points times dimension; memory is that of `block` points.

    Args:
        features: [points, dimension].
        n: how many.
        seed: of the first point.
        block: points taken at a time.

    Returns:
        [n] indices in the order of choice;
        [n] distances to those chosen before (the first: 0);
        the radius of the cover, max_i min_j |x_i - x_j| over all i and the chosen j.
    """
    points = len(features)
    order = np.empty(n, dtype=np.int64)
    distance = np.zeros(n)
    nearest = np.full(points, np.inf)
    order[0] = np.random.default_rng(seed).integers(points)
    for i in range(n):
        if i:
            order[i] = nearest.argmax()
            distance[i] = np.sqrt(nearest[order[i]])
        chosen = np.asarray(features[order[i]])
        for start in range(0, points, block):
            difference = features[start : start + block] - chosen
            squared = np.einsum("ij,ij->i", difference, difference)
            np.minimum(nearest[start : start + block], squared, out=nearest[start : start + block])
        nearest[order[i]] = -1.0  # never again, also where duplicates leave only zeros
    return order, distance, float(np.sqrt(max(nearest.max(), 0.0)))
