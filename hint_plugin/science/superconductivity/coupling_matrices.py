"""Electron-phonon matrices of Quantum ESPRESSO, recombined with any force constants and masses.

ph.x with `electron_phonon = 'interpolated'` writes, for every q of a star, the Fermi-surface sum

    G_ij(q) = sum_k sum_mn <k m|dV/du_i|k+q n>* <k m|dV/du_j|k+q n> delta(e_km) delta(e_k+qn)

over Cartesian displacements: no mass and no phonon is in it. With N_F the density of states at the Fermi
level (a spin), C(q) the force constants in reciprocal space, z = e / sqrt(M), C z = w^2 M z:

    Lambda(q) = G(q) / (2 N_F)                      [1/bohr^2 -> eV/A^2 with the Ry of C]
    lambda_qv = z' Lambda z / w_qv^2 = z' G z / (2 N_F w_qv^2)
    gamma_qv  = pi N_F lambda_qv w_qv^2             (the linewidth)
    sum_v lambda_qv = Tr[Lambda(q) C(q)^-1]

so Lambda has the unit of C, and lambda does not know the masses where C does not. (QE: PHonon elphon.f90 and
matdyn.f90; P. B. Allen, Phys. Rev. B 6, 2577 (1972).) Between the q points both matrices go by Fourier
interpolation (`interpolation`), as in q2r.x and matdyn.x.

| symbol | variable | unit |
|---|---|---|
| Lambda(q) | `coupling` [Q, 3n, 3n] | eV/A^2 |
| C(q) | `force_constants` [Q, 3n, 3n], not divided by masses | eV/A^2 |
| M | `masses` [n] | amu |
| w_qv | `energies` [Q, 3n], negative where imaginary | eV |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from hint_plugin.errors import DataError
from hint_plugin.science.lattice_units import HBAR
from hint_plugin.science.superconductivity.interpolation import (
    dense_grid,
    grid_of,
    interpolate,
    on_grid,
    weights_of,
    without_translations,
    without_translations_at,
)
from hint_plugin.science.superconductivity.mode_couplings import ModeCouplings

BATCH = 2000  # q points at a time: bounded memory


@dataclass(frozen=True)
class ElectronPhononMatrices:
    """What ph.x knows of the electrons, at one broadening.

    Attributes:
        q: [Q, 3] in 2 pi / alat, all stars complete.
        coupling: [Q, 3n, 3n] complex Hermitian, Lambda(q) in eV/A^2.
        density_of_states: at the Fermi level, per spin, Ry and cell.
        fermi_energy: Ry.
        broadening: of the two delta functions, Ry.
    """

    q: NDArray
    coupling: NDArray
    density_of_states: float
    fermi_energy: float
    broadening: float

    def couplings(
        self,
        force_constants: ArrayLike,
        masses: ArrayLike,
        sum_rule: bool = False,
        weights: ArrayLike | None = None,
    ) -> ModeCouplings:
        """lambda_qv with these force constants, on the q points of the files.

        Args:
            force_constants: [Q, 3n, 3n], C(q) in eV/A^2 without masses, in the order of `self.q`, with
                phases of lattice vectors only, C_ij(q) = sum_R Phi(0i, Rj) exp(i q.R), as in QE's dyn files.
            masses: [n], amu.
            sum_rule: project translations out of both matrices at Gamma, as for `interpolated`.
            weights: [Q], of the q points; equal if not given. `grid_weights` has them, and tells whether the
                points are whole.

        Raises:
            DataError: other shapes, or numbers that are not finite.
        """
        both = self.coupling, np.asarray(force_constants)
        if sum_rule and both[1].shape == self.coupling.shape:
            both = without_translations_at(self.q, both[0]), without_translations_at(self.q, both[1])
        return mode_couplings(*both, masses, weights)

    def grid_weights(self, cell: ArrayLike, alat: float, grid: tuple[int, int, int] | None = None) -> NDArray:
        """[Q], which part of the grid each q point stands for; they add up to 1.

        Args:
            cell: [3, 3], rows, A.
            alat: A, the unit of `self.q`.
            grid: that the points have to make up; if not given, the smallest one that has them.

        Raises:
            DataError: a star is missing, or there twice; another grid.
        """
        return weights_of(*grid_of(self.q, np.asarray(cell, dtype=float), alat, grid))

    def interpolated(
        self,
        force_constants: ArrayLike,
        atoms: Atoms,
        alat: float,
        grid: tuple[int, int, int],
        masses: ArrayLike | None = None,
        sum_rule: bool = True,
    ) -> ModeCouplings:
        """lambda_qv on a denser grid, both matrices Fourier-interpolated: what matdyn.x does with la2F.

        Args:
            force_constants: [Q, 3n, 3n], C(q) in eV/A^2, as for `couplings`.
            atoms: the primitive cell.
            alat: A, the unit of `self.q`.
            grid: numbers of q points.
            masses: [n], amu; those of `atoms` if not given.
            sum_rule: project translations out of both matrices at Gamma (matdyn's asr = 'crystal').

        Raises:
            DataError: the q points are no whole grid; shapes that do not fit.
        """
        size = (*self.coupling.shape[:2], 3 * len(atoms))
        if np.shape(force_constants) != self.coupling.shape or self.coupling.shape != size:
            raise DataError(
                f"force constants of shape {np.shape(force_constants)} and {len(atoms)} atoms for "
                f"electron-phonon matrices of shape {self.coupling.shape}. Are they of one crystal?"
            )
        m = atoms.get_masses() if masses is None else np.asarray(masses, dtype=float)
        cell = atoms.cell.array
        parts = []
        for matrices in (self.coupling, np.asarray(force_constants)):
            whole = on_grid(self.q, matrices, cell, alat)
            parts.append(without_translations(whole) if sum_rule else whole)
        q = dense_grid(grid)
        batches = []
        for at in range(0, len(q), BATCH):
            coupling, constants = (
                interpolate(part, cell, atoms.positions, q[at : at + BATCH]) for part in parts
            )
            batches.append(mode_couplings(coupling, constants, m))
        energies = np.concatenate([batch.energies for batch in batches])
        lambdas = np.concatenate([batch.lambdas for batch in batches])
        return ModeCouplings(energies, lambdas, np.full(len(q), 1.0 / len(q)))


def mode_couplings(
    coupling: ArrayLike, force_constants: ArrayLike, masses: ArrayLike, weights: ArrayLike | None = None
) -> ModeCouplings:
    """w_qv and lambda_qv = z' Lambda z / w_qv^2 of each mode.

    Args:
        coupling: [Q, 3n, 3n], Lambda(q), eV/A^2.
        force_constants: [Q, 3n, 3n], C(q), eV/A^2.
        masses: [n], amu.
        weights: [Q]; equal if not given.

    Raises:
        DataError: other shapes, or numbers that are not finite.
    """
    lam, c, m = np.asarray(coupling), np.asarray(force_constants), np.asarray(masses, dtype=float)
    if lam.ndim != 3 or c.shape != lam.shape or lam.shape[1:] != (3 * m.size, 3 * m.size):
        raise DataError(
            f"force constants of shape {c.shape} and {m.size} masses for electron-phonon matrices of shape "
            f"{lam.shape}; wanted one [3n, 3n] for each q, and n masses"
        )
    if not (np.isfinite(lam).all() and np.isfinite(c).all() and np.isfinite(m).all() and (m > 0).all()):
        raise DataError(
            "force constants, electron-phonon matrices or masses are not finite, or a mass is not > 0"
        )
    scale = 1.0 / np.sqrt(np.repeat(m, 3))
    dynamical = scale[:, None] * c * scale
    squares, modes = np.linalg.eigh(0.5 * (dynamical + dynamical.conj().swapaxes(1, 2)))
    z = scale[:, None] * modes
    strengths = np.einsum("qav,qab,qbv->qv", z.conj(), lam, z, optimize=True).real
    with np.errstate(divide="ignore", invalid="ignore"):
        lambdas = np.where(squares == 0.0, 0.0, strengths / squares)
    energies = np.sign(squares) * np.sqrt(np.abs(squares)) * HBAR
    share = np.full(len(lam), 1.0 / len(lam)) if weights is None else np.asarray(weights, dtype=float)
    return ModeCouplings(energies, lambdas, share / share.sum())
