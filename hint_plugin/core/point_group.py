"""Which rotations and reflections turn a molecule into itself, or into another geometry of the same atoms.

A rotation about the centre is fixed by where it puts two atoms that are not in line with the centre, so that
all candidates can be tried: pairs of the same kinds and distances as one pair that has few like it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ROUNDS, _ROUNDING = 8, 1e-13
"""A: rotations that are fitted to a distorted molecule are those of the mean only nearly."""
_THIN = 0.03
"""Of the length: what is less wide, and not in line, has its turns about the axis badly determined."""
_SAME_TURN = 2.95
"""Trace of R^T R': rotations within about 13 degrees are one."""


def is_linear(positions: np.ndarray) -> bool:
    """Whether atoms are in line; [N, 3] about their centre."""
    singular = np.linalg.svd(positions, compute_uv=False)
    return bool(len(singular) < 2 or singular[1] < 1e-3 * singular[0])


def rotations_onto(
    positions: np.ndarray, target: np.ndarray, kinds: np.ndarray, tolerance: float, enough: int = 10**6
) -> list[np.ndarray]:
    """The rotations [3, 3] that put each atom on one of its kind in `target`, each on another.

    Args:
        positions: [N, 3], A, about the centre; not in line.
        target: [N, 3], of the same atoms in this order, about its centre: the molecule itself, its mirror
            image, another geometry of it.
        kinds: [N]; atoms of one kind may change places.
        tolerance: A, the farthest that an atom may be from its partner.
        enough: stop when so many are found.
    """
    radii, lengths = np.linalg.norm(positions, axis=1), np.linalg.norm(target, axis=1)
    first, second = _reference(positions, radii, kinds, tolerance)
    frame = _frame(positions[first], positions[second])
    apart = np.linalg.norm(target[:, None] - target[None], axis=2)
    wanted = np.linalg.norm(positions[first] - positions[second])
    fits = ((kinds == kinds[first]) & (abs(lengths - radii[first]) <= tolerance))[:, None]
    fits = fits & ((kinds == kinds[second]) & (abs(lengths - radii[second]) <= tolerance))[None]
    fits &= abs(apart - wanted) <= 2 * tolerance
    np.fill_diagonal(fits, False)
    found: list[np.ndarray] = []
    for a, b in np.argwhere(fits):
        guess = _frame(target[a], target[b]) @ frame.T
        rotation = _refined(guess, positions, target, kinds, tolerance)
        if rotation is not None and not any(np.trace(rotation.T @ known) > _SAME_TURN for known in found):
            found.append(rotation)
            if len(found) >= enough:
                break
    return found


def partners(target: np.ndarray, moved: np.ndarray, kinds: np.ndarray, tolerance: float) -> np.ndarray | None:
    """On which atom of its kind in `target` each atom of `moved` lies, no two on the same; None if one lies
    on none."""
    distances = np.linalg.norm(moved[:, None] - target[None], axis=2)
    distances[kinds[:, None] != kinds[None]] = np.inf
    nearest = distances.argmin(axis=1)
    near = distances[np.arange(len(kinds)), nearest] <= tolerance
    return nearest if near.all() and len(set(nearest.tolist())) == len(kinds) else None


def _reference(
    positions: np.ndarray, radii: np.ndarray, kinds: np.ndarray, tolerance: float
) -> tuple[int, int]:
    """Two atoms, not in line with the centre, of which there are few like them."""
    same = (kinds[:, None] == kinds[None]) & (abs(radii[:, None] - radii[None]) <= tolerance)
    alike = same.sum(axis=1)
    sines = np.linalg.norm(np.cross(positions[:, None], positions[None]), axis=2)
    good = (sines > 0.2 * radii[:, None] * radii[None]) & (np.minimum(radii[:, None], radii[None]) > 0.3)
    if good.any():
        cost = np.where(good, alike[:, None] * alike[None], np.iinfo(np.int64).max)
        first, second = np.unravel_index(int(cost.argmin()), cost.shape)
    else:  # a nearly linear molecule: the pair that is least in line
        first, second = np.unravel_index(int(sines.argmax()), sines.shape)
    return int(first), int(second)


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A right-handed frame [3, 3], columns, of two vectors."""
    x = first / np.linalg.norm(first)
    z = np.cross(first, second)
    z = z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _refined(
    rotation: np.ndarray, positions: np.ndarray, target: np.ndarray, kinds: np.ndarray, tolerance: float
) -> np.ndarray | None:
    """The rotation nearest to a guess that turns the molecule into `target`, or None.

    Two atoms off their places by the tolerance turn the far end of a molecule by more: all atoms decide.
    """
    chosen = partners(target, positions @ rotation.T, kinds, 4 * tolerance)
    if chosen is None:
        return None
    u, _, vt = np.linalg.svd(target[chosen].T @ positions)  # W. Kabsch, Acta Cryst. A 32, 922 (1976)
    best = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return best if partners(target, positions @ best.T, kinds, tolerance) is not None else None


@dataclass(frozen=True)
class PointGroup:
    """The rotations and reflections of a molecule about its centre.

    Attributes:
        matrices: R [G, 3, 3], orthogonal.
        images: p [G, N]: the operation puts atom i on the place of atom p[i].
        asymmetry: A, the farthest that an operation puts an atom off that place.
    """

    matrices: np.ndarray
    images: np.ndarray
    asymmetry: float

    @property
    def proper(self) -> PointGroup:
        """Its rotations, without what mirrors."""
        chosen = np.linalg.det(self.matrices) > 0
        return PointGroup(self.matrices[chosen], self.images[chosen], self.asymmetry)

    def turned(self, number: int, vectors: np.ndarray) -> np.ndarray:
        """D v of vectors v [N, 3, K]: those of atom i, turned, are those of atom p[i]."""
        found = np.empty_like(vectors)
        found[self.images[number]] = np.einsum("ab,ibk->iak", self.matrices[number], vectors)
        return found

    def summed(self, matrix: np.ndarray) -> np.ndarray:
        """sum_g D M D^T of M [3N, 3N]."""
        n = self.images.shape[1]
        found = np.zeros((3 * n, 3 * n))
        for turn, image in zip(self.matrices, self.images, strict=True):
            left = (turn @ matrix.reshape(n, 3, 3 * n)).reshape(-1, 3)
            where = (3 * image[:, None] + np.arange(3)).ravel()
            found[np.ix_(where, where)] += (left @ turn.T).reshape(3 * n, 3 * n)
        return found


def point_group(positions: np.ndarray, kinds: np.ndarray, tolerance: float) -> PointGroup | None:
    """The point group of a molecule; None where it has no symmetry, or none that is certain.

    Of atoms in line, whose group is infinite, that of threefold turns about the axis: D3d or C3v has the same
    modes of three kinds, along the axis and a pair across.

    Args:
        positions: [N, 3], A.
        kinds: [N]; atoms of one kind may change places.
        tolerance: A, the farthest that an operation may put an atom off its partner.
    """
    if len(positions) < 2:
        return None
    x = positions - positions.mean(axis=0)
    sizes = np.linalg.svd(x, compute_uv=False)
    if len(sizes) < 2 or sizes[1] < _THIN * sizes[0]:
        matrices = _of_a_line(x, kinds, tolerance)
    else:
        matrices = [
            *rotations_onto(x, x, kinds, tolerance),
            *(-turn for turn in rotations_onto(x, -x, kinds, tolerance)),
        ]
    if len(matrices) < 2:
        return None
    images = [partners(x, x @ turn.T, kinds, tolerance) for turn in matrices]
    found = np.array(matrices)
    if any(image is None for image in images) or not _is_group(found):
        return None
    off = [
        np.linalg.norm(x[image] - x @ turn.T, axis=1).max() for turn, image in zip(found, images, strict=True)
    ]
    return PointGroup(found, np.array(images), float(max(off)))


def symmetrised(positions: np.ndarray, kinds: np.ndarray, tolerance: float) -> np.ndarray | None:
    """The nearest positions [N, 3], A, whose operations put atoms on each other to rounding: the mean of all
    that the operations make of them. None where no operation is within the tolerance.

    Args:
        positions, kinds, tolerance: see `point_group`.
    """
    centre = positions.mean(axis=0)
    x = positions - centre
    for _ in range(_ROUNDS):
        group = point_group(x, kinds, tolerance)
        if group is None:
            return None
        if group.asymmetry < _ROUNDING:
            break
        x = np.mean(
            [x[image] @ turn for turn, image in zip(group.matrices, group.images, strict=True)], axis=0
        )
    return np.asarray(x + centre)


def _of_a_line(x: np.ndarray, kinds: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """D3d or C3v about the axis; nothing of atoms that are only nearly in line."""
    axis = x[np.linalg.norm(x, axis=1).argmax()]
    axis = axis / np.linalg.norm(axis)
    if np.linalg.norm(x - np.outer(x @ axis, axis), axis=1).max() > tolerance:
        return []
    across = np.linalg.svd(axis[None])[2][1]
    third = np.cross(axis, across)
    frame, found = np.stack([axis, across, third], axis=1), []
    for k in range(3):
        c, s = np.cos(2 * np.pi * k / 3), np.sin(2 * np.pi * k / 3)
        for sign in (1, -1):
            found.append(frame @ np.array([[1, 0, 0], [0, c, -s * sign], [0, s, c * sign]]) @ frame.T)
    if partners(x, -x, kinds, tolerance) is not None:
        found += [-turn for turn in found]
    return found


def _is_group(matrices: np.ndarray) -> bool:
    """Whether products of operations are operations."""
    products = np.einsum("iab,jbc->ijac", matrices, matrices).reshape(-1, 9)
    return bool((products @ matrices.reshape(-1, 9).T).max(axis=1).min() > 3 - 1e-4)
