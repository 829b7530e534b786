"""The rotational symmetry number of a molecule."""

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

SYMMETRY_TOLERANCE = 0.1
"""A: an atom this near to where a rotation puts another counts as there. Geometries optimised by different
methods, or without symmetry, differ by less; two conformers by more."""


def symmetry_number(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE, linear: bool = False) -> int:
    """How many proper rotations turn the molecule into itself: 1 for CHFClBr, 2 for water, 12 for CH4.

    sigma of the rotational partition function (D. A. McQuarrie, Statistical Mechanics (1976), ch. 8); of a
    linear molecule 2 with a centre of inversion and 1 without. A rotation about the centre of mass is fixed
    by where it puts two atoms that are not in line with the centre, so that all candidates can be tried:
    pairs of the same elements and distances as one pair that has few like it.

    Args:
        atoms: a molecule; its masses count, so an isotope lowers the symmetry.
        tolerance: A.
        linear: it counts as linear, although its atoms are not quite in line.
    """
    positions = atoms.positions - atoms.get_center_of_mass()
    kinds = _kinds(atoms)
    if len(atoms) == 1:
        return 1
    if linear or _is_linear(positions):
        return 2 if _partners(positions, -positions, kinds, tolerance) is not None else 1
    return max(1, len(_rotations_onto(positions, positions, kinds, tolerance)))


def is_chiral(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE) -> bool:
    """Whether no rotation turns a molecule into its mirror image, so that it has an enantiomer.

    Args:
        atoms: a molecule; its masses count: CHDTOH is chiral.
        tolerance: A.
    """
    positions = atoms.positions - atoms.get_center_of_mass()
    if len(atoms) < 4 or _is_linear(positions):
        return False
    return not _rotations_onto(positions, -positions, _kinds(atoms), tolerance, enough=1)


def _rotations_onto(
    positions: NDArray, target: NDArray, kinds: NDArray, tolerance: float, enough: int = 10**6
) -> list[NDArray]:
    """The rotations that put each atom on one of its kind in `target`: the molecule, or its mirror image."""
    radii = np.linalg.norm(positions, axis=1)
    first, second = _reference(positions, radii, kinds, tolerance)
    frame = _frame(positions[first], positions[second])
    found: list[NDArray] = []
    for a, b in itertools.permutations(range(len(positions)), 2):
        if kinds[a] != kinds[first] or kinds[b] != kinds[second]:
            continue
        lengths = (radii[a] - radii[first], radii[b] - radii[second])
        apart = np.linalg.norm(positions[a] - positions[b])
        if max(map(abs, lengths)) > tolerance:
            continue
        if abs(apart - np.linalg.norm(positions[first] - positions[second])) > 2 * tolerance:
            continue
        guess = _frame(target[a], target[b]) @ frame.T
        rotation = _refined(guess, positions, target, kinds, tolerance)
        if rotation is not None and not any(
            np.trace(rotation.T @ known) > 2.95
            for known in found  # within about 13 degrees
        ):
            found.append(rotation)
            if len(found) >= enough:
                break
    return found


def _kinds(atoms: Atoms) -> NDArray:
    pairs = np.stack([atoms.numbers, np.round(atoms.get_masses(), 3)], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].ravel()


def _is_linear(positions: NDArray) -> bool:
    singular = np.linalg.svd(positions, compute_uv=False)
    return bool(len(singular) < 2 or singular[1] < 1e-3 * singular[0])


def _reference(positions: NDArray, radii: NDArray, kinds: NDArray, tolerance: float) -> tuple[int, int]:
    """Two atoms, not in line with the centre, of which there are few like them."""
    same = (kinds[:, None] == kinds[None]) & (abs(radii[:, None] - radii[None]) <= tolerance)
    alike = same.sum(axis=1)
    best = None
    for a, b in itertools.permutations(range(len(kinds)), 2):
        sine = np.linalg.norm(np.cross(positions[a], positions[b]))
        if sine > 0.2 * radii[a] * radii[b] and min(radii[a], radii[b]) > 0.3:
            cost = alike[a] * alike[b]
            if best is None or cost < best[0]:
                best = (cost, a, b)
    if best is None:  # a nearly linear molecule: the pair that is least in line
        pairs = itertools.permutations(range(len(kinds)), 2)
        return max(pairs, key=lambda p: float(np.linalg.norm(np.cross(positions[p[0]], positions[p[1]]))))
    return best[1], best[2]


def _frame(first: NDArray, second: NDArray) -> NDArray:
    """A right-handed frame [3, 3], columns, of two vectors."""
    x = first / np.linalg.norm(first)
    z = np.cross(first, second)
    z = z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _refined(
    rotation: NDArray, positions: NDArray, target: NDArray, kinds: NDArray, tolerance: float
) -> NDArray | None:
    """The rotation nearest to a guess that turns the molecule into `target`, or None.

    Two atoms off their places by the tolerance turn the far end of a molecule by more: all atoms decide.
    """
    partners = _partners(target, positions @ rotation.T, kinds, 4 * tolerance)
    if partners is None:
        return None
    u, _, vt = np.linalg.svd(target[partners].T @ positions)  # W. Kabsch, Acta Cryst. A 32, 922 (1976)
    best = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return best if _partners(target, positions @ best.T, kinds, tolerance) is not None else None


def _partners(positions: NDArray, moved: NDArray, kinds: NDArray, tolerance: float) -> NDArray | None:
    """On which atom of its kind each moved atom lies, no two on the same; None if one lies on none."""
    distances = np.linalg.norm(moved[:, None] - positions[None], axis=2)
    distances[kinds[:, None] != kinds[None]] = np.inf
    nearest = distances.argmin(axis=1)
    near = distances[np.arange(len(kinds)), nearest] <= tolerance
    return nearest if near.all() and len(set(nearest.tolist())) == len(kinds) else None
