"""Crystals whose anharmonic phonons are known: springs, and quartic wells on a heavy lattice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from hint_plugin.science.anharmonic import Evaluated, ForceConstants

HBAR = units._hbar * 1e10 / np.sqrt(units._e * units._amu)


class Springs:
    """E = u H u / 2 of the supercell of `constants` in `ase.Atoms.repeat`'s order: an engine for `relax`."""

    def __init__(self, constants: ForceConstants) -> None:
        self.home, self.matrix = constants.supercell().positions, constants.matrix()
        self.calls = 0

    def displacements(self, frames: Sequence[Atoms]) -> NDArray:
        """[K, 3M], A."""
        self.calls += 1
        return np.array([(frame.positions - self.home).ravel() for frame in frames])

    def __call__(self, frames: Sequence[Atoms], report: object = None) -> Evaluated:
        u = self.displacements(frames)
        forces = -u @ self.matrix
        return Evaluated(-0.5 * (u * forces).sum(axis=1), forces.reshape(len(u), -1, 3), None)


def heavy_lattice(mass: float, repeats: tuple[int, int, int], curvature: float) -> ForceConstants:
    """Caesium-chloride structure: atoms of 1e6 amu on springs, in each cube an H of `mass` amu bound to them.

    H moves against the heavy atom of its own cell with `curvature` (eV/A^2) in each direction, and no H feels
    another: three Einstein modes at each q.
    """
    atoms = Atoms(
        "XeH", scaled_positions=[[0, 0, 0], [0.5] * 3], cell=[3.0] * 3, pbc=True, masses=[1e6, mass]
    )
    blocks = np.zeros((*repeats, 6, 6))
    eye, stiff = np.eye(3), 50.0
    for axis, count in enumerate(repeats):
        for step in (1, -1):
            neighbour = [0, 0, 0]
            neighbour[axis] = step % count
            blocks[0, 0, 0, :3, :3] += stiff * eye
            blocks[(*neighbour, slice(0, 3), slice(0, 3))] -= stiff * eye
    bond = np.array([[1, -1], [-1, 1]])
    blocks[0, 0, 0] += curvature * np.kron(bond, eye)
    return ForceConstants(atoms, blocks)


class QuarticWells(Springs):
    """`heavy_lattice` with `quartic` d^4 for each direction of each H against its heavy atom (eV/A^4)."""

    def __init__(self, constants: ForceConstants, quartic: float) -> None:
        super().__init__(constants)
        self.quartic = quartic

    def __call__(self, frames: Sequence[Atoms], report: object = None) -> Evaluated:
        found = super().__call__(frames)
        u = self.displacements(frames).reshape(len(frames), -1, 2, 3)
        d = u[:, :, 1] - u[:, :, 0]
        push = -4 * self.quartic * d**3
        more = np.stack([-push, push], axis=2).reshape(found.forces.shape)
        energies = found.energies + self.quartic * (d**4).sum(axis=(1, 2))
        return Evaluated(energies, found.forces + more, None)


def variational_energy(mass: float, curvature: float, quartic: float, temperature: float) -> float:
    """hbar w (eV) of the harmonic oscillator whose density minimises the free energy of k x^2 / 2 + l x^4.

    m w^2 = k + 12 l <x^2>_w: bisection on w.
    """
    low, high = 1e-6, 10.0
    for _ in range(200):
        energy = 0.5 * (low + high)
        thermal = 1.0 if temperature == 0 else 1 / np.tanh(energy / (2 * units.kB * temperature))
        square = HBAR**2 * thermal / (2 * mass * energy)
        if mass * (energy / HBAR) ** 2 < curvature + 12 * quartic * square:
            low = energy
        else:
            high = energy
    return energy
