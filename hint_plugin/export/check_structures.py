"""Structures of given elements on which a fresh artifact is compared with its checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii


def check_frames(species: Sequence[str], cutoff: float, seed: int = 0) -> list[Atoms]:
    """Clusters, a triclinic cell smaller than the cutoff, a slab, a pair, and atoms without neighbours.

    Atoms are placed at random, no two closer than 0.85 of the sum of their covalent radii; every element
    occurs.
    """
    rng = np.random.default_rng(seed)
    numbers = np.array([atomic_numbers[s] for s in species])
    mean = float(covalent_radii[numbers].mean())
    frames = []
    for count in (len(species), 12):
        chosen = np.concatenate([numbers, rng.choice(numbers, count)])[: max(count, len(numbers))]
        frames.append(_placed(rng.permutation(chosen), np.zeros((3, 3)), rng, False))
    edge = min(2.4 * mean * 8 ** (1 / 3), 0.9 * cutoff)
    cell = edge * np.array([[1.0, 0, 0], [0.2, 0.95, 0], [-0.15, 0.1, 1.05]])
    frames.append(_placed(rng.choice(numbers, 4), cell, rng, True))
    slab = _placed(rng.choice(numbers, 4), cell, rng, [True, True, False])
    frames.append(slab)
    first = int(numbers[0])
    frames.append(Atoms([first, int(numbers[-1])], [[0, 0, 0], [0.2, 0.1, 2.2 * mean]]))
    frames.append(Atoms([first, first], [[0, 0, 0], [0, 0, 3 * cutoff]]))
    return frames


def _placed(numbers: np.ndarray, cell: np.ndarray, rng: np.random.Generator, pbc: bool | list[bool]) -> Atoms:
    """Atoms one after the other where there is room; if there is none, it grows or they get closer."""
    periodic = bool(np.any(pbc))
    side = 2.4 * float(covalent_radii[numbers].mean()) * len(numbers) ** (1 / 3)
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ cell if periodic else np.zeros((1, 3))
    positions = np.zeros((0, 3))
    closest = 0.85
    while len(positions) < len(numbers):
        trials = rng.random((200, 3)) @ (cell if periodic else side * np.eye(3))
        apart = trials[:, None, None] - positions[None, :, None] + images
        wanted = covalent_radii[numbers[: len(positions)]] + covalent_radii[numbers[len(positions)]]
        room = (np.linalg.norm(apart, axis=-1).min(axis=-1) / wanted).min(axis=1, initial=np.inf)
        if room.max() >= closest:
            positions = np.vstack([positions, trials[room.argmax()]])
        elif periodic:
            closest *= 0.97
        else:
            side *= 1.05
    return Atoms(numbers, positions, cell=cell if periodic else None, pbc=pbc)
