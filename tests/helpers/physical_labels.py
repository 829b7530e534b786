"""Random labels that obey physics: those of a pair potential, whatever its numbers."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import get_distances


def pair_label(atoms: Atoms, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """H [3N, 3N] and forces [N, 3] of E = sum phi(r_ij), with random slopes and curvatures.

    With u = r_ij / r: H_ij = -(phi'' u u^T + phi'/r (1 - u u^T)), F_i = sum_j phi' u. Near
    pairs are as stiff as bonds.
    """
    n = len(atoms)
    vectors, distances = get_distances(atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    matrix, forces = np.zeros((n, 3, n, 3)), np.zeros((n, 3))
    for i in range(n):
        for j in range(i):
            r, u = distances[i, j], vectors[i, j] / distances[i, j]
            curvature = rng.uniform(20, 40) if r < 1.9 else rng.uniform(0, 0.5)
            slope = 0.05 * curvature * rng.normal()
            along = np.outer(u, u)
            block = curvature * along + slope / r * (np.eye(3) - along)
            matrix[i, :, j] -= block
            matrix[j, :, i] -= block.T
            matrix[i, :, i] += block
            matrix[j, :, j] += block
            forces[i] += slope * u
            forces[j] -= slope * u
    return matrix.reshape(3 * n, 3 * n), forces
