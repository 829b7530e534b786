"""Numbers that two structures share only if they are the same but for rotation, order and last digits.

Sums over smooth functions of distances are blind where it matters for phonons: at an atom whose site has an
inversion, or another symmetry without a preferred direction, their first derivative is zero, and a step of
0.01 A changes them by 1e-4 or less. Singular values of the atom's surroundings have no such derivative: they
are zero at the symmetric site and grow as |u|. And sorting does the same for equal atoms of which some come
nearer to the displaced one and some go away.

Of each atom i, with d the distance and n the unit vector to a neighbour j nearer than R = 5 A (images too)
and q_j a number of its element,

| symbol | values | what it sees to first order |
|---|---|---|
| eigenvalues of T_k = sum_j q_j g_k(d) n n^T, k = 1, 2, 3 | 9 | distances, strain |
| singular values of [V_1 V_2 V_3], V_k = sum_j q_j g_k(d) n | 3 | displacements, bending |
| singular values of [a_12 a_13 a_23], a_kl the axial vector of [T_k, T_l] | 3 | shear |
| mean of the distances to all others (molecules alone) | 1 | fragments farther apart than R |

    g_k(d) = (1 - (d/R)^2)^2 {1, cos 2d, sin 2d}

(with sine and cosine the parts of all neighbours cannot cancel in each of them).

All are invariant under rotation, reflection and translation, and change no faster than the positions do
(Weyl's inequality): noise of 1e-8 A stays as small. For each element the values are sorted (which keeps that,
and makes the order of atoms no matter) and summed with fixed random weights, one set of weights for each of
`PROJECTIONS` numbers: a structure of any size has as many numbers.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

CUTOFF = 5.0
"""A, of an atom's surroundings."""
PROJECTIONS = 4
_RADIAL = 3
_WAVE = 2.0  # 1/A
_EMPHASIS = (
    3.0  # of the vectors: the weakest signal, at sites with an inversion, gains on the noise of the rest
)
_FEATURES = 16
_BLOCK = 1024  # rows of the table of weights are made in blocks, so that a longer one begins alike

Array = NDArray[np.float64]


def fingerprint(
    atoms: Atoms, periodic: bool, i: NDArray, j: NDArray, distances: Array, vectors: Array
) -> Array:
    """The numbers of a structure, [PROJECTIONS]; see the module's text.

    Args:
        atoms: the structure.
        periodic: neighbours include images.
        i, j, distances, vectors: all pairs in both directions, r_j - r_i (A); within `CUTOFF` if periodic.
    """
    features = _surroundings(atoms, i, j, distances, vectors)
    if not periodic:
        n = max(len(atoms) - 1, 1)
        features[:, -1] = np.bincount(i, distances, len(atoms)) / n
    total = np.zeros(PROJECTIONS)
    for z in np.unique(atoms.numbers):
        ranked = np.sort(features[atoms.numbers == z], axis=0)
        total += ranked.reshape(-1) @ _weights(int(z), len(ranked)).reshape(-1, PROJECTIONS)
    return total


def _surroundings(atoms: Atoms, i: NDArray, j: NDArray, distances: Array, vectors: Array) -> Array:
    """[N, _FEATURES]; the last column is left zero."""
    n = len(atoms)
    near = distances < CUTOFF
    i, j, d = i[near], j[near], distances[near]
    unit = vectors[near] / np.maximum(d, 1e-9)[:, None]
    charge = 0.5 + (atoms.numbers[j] * 0.6180339887) % 1.0
    envelope = charge * (1 - (d / CUTOFF) ** 2) ** 2
    a, b = np.triu_indices(3)
    radial = np.stack([envelope, envelope * np.cos(_WAVE * d), envelope * np.sin(_WAVE * d)], axis=1)
    # sums over the neighbours of each atom, [N, 3 of n and 6 of n n^T, k]
    terms = np.concatenate([unit, unit[:, a] * unit[:, b]], axis=1)
    width = terms.shape[1] * _RADIAL
    place = i[:, None] * width + np.arange(width)
    values = (terms[:, :, None] * radial[:, None]).reshape(-1)
    sums = np.bincount(place.reshape(-1), values, n * width).reshape(n, -1, _RADIAL)
    tensors = np.empty((n, _RADIAL, 3, 3))
    tensors[..., a, b] = sums[:, 3:].transpose(0, 2, 1)
    tensors[..., b, a] = tensors[..., a, b]
    product = tensors[:, (0, 0, 1)] @ tensors[:, (1, 2, 2)]
    commutator = product - product.swapaxes(2, 3)
    axial = commutator[:, :, (1, 2, 0), (2, 0, 1)]
    features = np.zeros((n, _FEATURES))
    features[:, :9] = np.linalg.eigvalsh(tensors).reshape(n, 9)
    features[:, 9:12] = _EMPHASIS * np.linalg.svd(sums[:, :3], compute_uv=False)
    features[:, 12:15] = np.linalg.svd(axial, compute_uv=False)
    return features


def _weights(z: int, count: int) -> Array:
    """[count, _FEATURES, PROJECTIONS] of the ranks of an element, always the same."""
    blocks = [_block(z, number) for number in range(-(-count // _BLOCK))]
    return (blocks[0] if len(blocks) == 1 else np.concatenate(blocks))[:count]


@cache
def _block(z: int, number: int) -> Array:
    return np.random.default_rng([z, number]).standard_normal((_BLOCK, _FEATURES, PROJECTIONS))
