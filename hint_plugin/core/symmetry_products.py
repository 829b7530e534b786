"""Products H v of a symmetric molecule, from few of them.

Each operation of the point group leaves the energy as it is, so that H D = D H with D v = the turned and
permuted v. From w = H v follows H D v = D w for all operations. The displacements fall into irreducible
representations (E. B. Wilson, J. C. Decius, P. C. Cross, Molecular Vibrations (1955), ch. 6); of one of d
dimensions that occurs m times, H is a symmetric m x m matrix, which m / d products show completely: d copies
of the representation share a product, each by another one of its rows.

| symbol | variable | shape |
|---|---|---|
| B, a space that no operation leaves | `space` | [3N, M] |
| U, B in copies of irreducible representations, those of one kind alike | `_Copies.basis` | [3N, d] each |
| V, in which each copy is once, with a row of its own | `probes_of` | [3N, K] |
| S = sum_g D V V^T D^T, |G| / d on each copy | `weights` | [3N, 3N] |
| H S = sum_g D (H V) V^T D^T | | [3N, 3N] |

K is 2 for benzene, whose 30 vibrations contain E1u three times and A1g twice, and 1 for methane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hint_plugin.core.point_group import PointGroup

_SAME_VALUE = 1e-6
"""Of the width of a spectrum: eigenvalues of one representation agree to rounding."""
_TRIES = 5
_WORST = 30.0
"""Largest condition of S: the dimensions, 1 to 5, make it 5."""


@dataclass(frozen=True)
class _Copies:
    """The copies of one irreducible representation over the real numbers.

    Attributes:
        basis: of each copy [3N, d], orthonormal; a group operation has the same matrix in all of them.
        shared: how many copies may share a product: d, or d / 2 of a pair of complex representations.
    """

    basis: list[np.ndarray]
    shared: int


def probes_of(group: PointGroup, space: np.ndarray) -> np.ndarray | None:
    """Directions V [3N, K], as few as there can be, whose products show H on `space`.

    Args:
        group: the operations.
        space: [3N, M], orthonormal; no operation leads out of it.

    Returns:
        None where the representations could not be told apart: the group is none of this space.
    """
    for seed in range(_TRIES):
        copies = _irreducible(group, space, np.random.default_rng(seed))
        if copies is None:
            continue
        count = max(-(-len(kind.basis) // kind.shared) for kind in copies)
        found = np.zeros((len(space), count))
        for kind in copies:
            for number, basis in enumerate(kind.basis):
                found[:, number // kind.shared] += basis[:, number % kind.shared]
        if np.linalg.cond(space.T @ weights(group, found) @ space) < _WORST:
            return found
    return None


def weights(group: PointGroup, probes: np.ndarray) -> np.ndarray:
    """S [3N, 3N]."""
    return group.summed(probes @ probes.T)


def products_on(group: PointGroup, probes: np.ndarray, products: np.ndarray, space: np.ndarray) -> np.ndarray:
    """H B [3N, M] of `space` B, from the products H V [3N, K] of `probes` V."""
    metric = space.T @ weights(group, probes) @ space
    found = group.summed(products @ probes.T) @ space
    return np.asarray(np.linalg.solve(metric, found.T).T)


def _irreducible(
    group: PointGroup, space: np.ndarray, generator: np.random.Generator
) -> list[_Copies] | None:
    """The space in copies of irreducible representations; None if this try has not told them apart.

    The eigenspaces of a random symmetric matrix that commutes with all operations are irreducible (J. D.
    Dixon, Math. Comp. 24, 707 (1970)); characters say which are alike.
    """
    random = generator.standard_normal((len(space), len(space)))
    commuting = space.T @ group.summed(random + random.T) @ space
    values, vectors = np.linalg.eigh(commuting)
    cuts = np.flatnonzero(np.diff(values) > _SAME_VALUE * max(float(np.ptp(values)), 1e-300)) + 1
    parts = np.split(space @ vectors, cuts, axis=1)
    shown = _matrices(group, parts)
    characters = np.array([np.trace(one, axis1=1, axis2=2) for one in shown])
    overlaps = characters @ characters.T / len(group.matrices)
    found, left = [], list(range(len(parts)))
    while left:
        first = left[0]
        alike = [k for k in left if overlaps[first, k] > 0.5]
        left = [k for k in left if k not in alike]
        size, norm = parts[first].shape[1], round(float(overlaps[first, first]))
        if norm not in (1, 2) or size % norm or any(parts[k].shape[1] != size for k in alike):
            return None
        basis = [parts[k] @ _turn(shown[k], shown[first], generator) for k in alike]
        found.append(_Copies(basis, size // norm))
    return found


def _matrices(group: PointGroup, parts: list[np.ndarray]) -> list[np.ndarray]:
    """The operations in subspaces [3N, d] that none leaves: [G, d, d] of each."""
    whole = np.concatenate(parts, axis=1)
    found = [np.empty((len(group.matrices), part.shape[1], part.shape[1])) for part in parts]
    for k in range(len(group.matrices)):
        moved = group.turned(k, whole.reshape(-1, 3, whole.shape[1])).reshape(whole.shape)
        start = 0
        for part, shown in zip(parts, found, strict=True):
            stop = start + part.shape[1]
            shown[k] = part.T @ moved[:, start:stop]
            start = stop
    return found


def _turn(mine: np.ndarray, first: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Q [d, d] with D_mine = Q D_first Q^T for all operations: what is left of a random matrix (Schur)."""
    random = generator.standard_normal(mine.shape[1:])
    left, _, right = np.linalg.svd(np.einsum("gab,bc,gdc->ad", mine, random, first))
    return np.asarray(left @ right)
