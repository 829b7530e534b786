"""Force constants of a crystal on a periodic supercell, and the harmonic quantum statistics that they define.

| symbol | variable | unit |
|---|---|---|
| Phi(0 k a, n k' b), of atom k of cell 0 and atom k' of cell n | `blocks` [n1, n2, n3, 3N, 3N] | eV/A^2 |
| D(q) = sum_n Phi(0, n) exp(2 pi i q.n), q = (h1/n1, h2/n2, h3/n3) | `at_q()` [n1, n2, n3, 3N, 3N] | eV/A^2 |
| w(q), of M^(-1/2) D(q) M^(-1/2); imaginary ones negative | `Modes.energies` [Q, 3N], hbar w | eV |
| e(q), orthonormal columns | `Modes.vectors` [Q, 3N, 3N] | 1 |
| 1 + 2 n_B(w, T) = coth(hbar w / 2 kT) | `Modes.occupation(T)` [Q, 3N] | 1 |
| Y(q) = M^(1/2) e 2w / (hbar (1 + 2n)) e' M^(1/2) = <u u'>^-1 | `Modes.precision(T)` [Q, 3N, 3N] | 1/A^2 |

Real space and q are joined by fast Fourier transforms: what is real there stays real, D(-q) = D(q)*. Atoms
of the supercell are in the order of `ase.Atoms.repeat`: cell by cell, the last index fastest, then by atom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from hint_plugin.data.structures.supercells import supercell
from hint_plugin.errors import DataError
from hint_plugin.science.lattice_units import CM_PER_EV, HBAR

AXES = (0, 1, 2)


@dataclass(frozen=True)
class ForceConstants:
    """A crystal at rest (or the centroids of its atoms) and what binds it.

    Attributes:
        atoms: the primitive cell, with masses (amu), moments, charges, ... (`data.structures.supercells`).
        blocks: see the table above; n1, n2, n3 is the supercell.
    """

    atoms: Atoms
    blocks: NDArray

    def __post_init__(self) -> None:
        n = 3 * len(self.atoms)
        if self.blocks.ndim != 5 or self.blocks.shape[3:] != (n, n):
            raise DataError(
                f"force constants of shape {self.blocks.shape} for {self.atoms.symbols}; "
                f"wanted (n1, n2, n3, {n}, {n})"
            )
        if not np.isfinite(self.blocks).all():
            raise DataError(f"the force constants of {self.atoms.symbols} hold NaN or infinity")

    @property
    def repeats(self) -> tuple[int, int, int]:
        """n1, n2, n3."""
        first, second, third = self.blocks.shape[:3]
        return first, second, third

    @property
    def cells(self) -> int:
        """How many primitive cells there are in the supercell."""
        return int(np.prod(self.repeats))

    def with_blocks(self, blocks: NDArray) -> ForceConstants:
        """The same crystal with other force constants."""
        return replace(self, blocks=blocks)

    def supercell(self) -> Atoms:
        """All atoms, in the order of `displacements`, with what those of the primitive cell carry."""
        return supercell(self.atoms, self.repeats)

    def at_q(self) -> NDArray:
        """D(q) [n1, n2, n3, 3N, 3N], complex and Hermitian."""
        return np.fft.ifftn(self.blocks, axes=AXES, norm="forward")

    def modes(self) -> Modes:
        """Frequencies and eigenvectors at the q points of the supercell."""
        masses = np.repeat(self.atoms.get_masses(), 3)
        root = np.sqrt(masses)
        weighted = self.at_q().reshape(-1, len(root), len(root)) / np.outer(root, root)
        values, vectors = np.linalg.eigh(0.5 * (weighted + weighted.conj().transpose(0, 2, 1)))
        rigid = np.zeros(values.shape, dtype=bool)
        translations = np.tile(np.eye(3), (len(self.atoms), 1)) * (root / np.sqrt(masses.sum() / 3))[:, None]
        overlap = (abs(translations.T @ vectors[0]) ** 2).sum(axis=0)
        rigid[0, np.argsort(overlap)[-3:]] = True
        energies = HBAR * np.sign(values) * np.sqrt(abs(values))
        return Modes(energies, vectors, rigid, masses)

    def frequencies(self) -> NDArray:
        """[Q, 3N] cm^-1, ascending at each q; imaginary ones negative."""
        return CM_PER_EV * self.modes().energies

    def matrix(self) -> NDArray:
        """The Hessian of the supercell [3 cells N, 3 cells N], eV/A^2."""
        grid = np.indices(self.repeats).reshape(3, -1).T
        apart = (grid[None] - grid[:, None]) % np.array(self.repeats)  # [from, to, 3]
        blocks = self.blocks[tuple(np.moveaxis(apart, 2, 0))]
        size = self.cells * self.blocks.shape[3]
        return blocks.transpose(0, 2, 1, 3).reshape(size, size)


@dataclass(frozen=True)
class Modes:
    """Independent oscillators; `rigid` marks the three translations at Gamma, left out of everything."""

    energies: NDArray
    vectors: NDArray
    rigid: NDArray
    masses: NDArray

    @property
    def stable(self) -> bool:
        """Whether every mode but the translations has a real frequency."""
        return bool((self.energies[~self.rigid] > 0).all())

    @property
    def lowest(self) -> float:
        """cm^-1, without the translations."""
        return float(CM_PER_EV * self.energies[~self.rigid].min())

    @property
    def highest(self) -> float:
        """cm^-1."""
        return float(CM_PER_EV * self.energies.max())

    def occupation(self, temperature: float) -> NDArray:
        """1 + 2 n_B [Q, 3N]; 1 at 0 K. Of `stable` modes only."""
        if temperature == 0:
            return np.ones_like(self.energies)
        with np.errstate(divide="ignore"):
            return 1.0 / np.tanh(self.energies / (2 * units.kB * temperature))

    def precision(self, temperature: float) -> NDArray:
        """Y(q) [Q, 3N, 3N], 1/A^2: the displacements of the atoms have the density exp(-u Y u / 2)."""
        factor = np.where(self.rigid, 0.0, 2 * self.energies / (HBAR**2 * self.occupation(temperature)))
        root = np.sqrt(self.masses)
        inner = (self.vectors * factor[:, None, :]) @ self.vectors.conj().transpose(0, 2, 1)
        return inner * np.outer(root, root)

    def widths(self, temperature: float) -> NDArray:
        """The standard deviation of each normal coordinate, in A amu^(1/2); 0 for translations."""
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = HBAR**2 * self.occupation(temperature) / (2 * self.energies)
        return np.sqrt(np.where(self.rigid, 0.0, variance))

    def root_covariance(self, temperature: float) -> NDArray:
        """A(q) [Q, 3N, 3N] in A, with A A' = <u u'>: white noise times A is a sample of the displacements."""
        spread = (self.vectors * self.widths(temperature)[:, None, :]) @ self.vectors.conj().transpose(
            0, 2, 1
        )
        return spread / np.sqrt(self.masses)[:, None]

    def free_energy(self, temperature: float) -> float:
        """eV of the whole supercell: hbar w / 2 + kT ln(1 - exp(-hbar w / kT)) over the modes."""
        energies = self.energies[~self.rigid]
        found = 0.5 * energies.sum()
        if temperature > 0:
            thermal = units.kB * temperature
            found += thermal * np.log(-np.expm1(-energies / thermal)).sum()
        return float(found)


def to_q(values: NDArray, repeats: tuple[int, int, int]) -> NDArray:
    """[K, 3 N cells] in real space -> [Q, K, 3N]: v(q) = sum_n v_n exp(-2 pi i q.n) / sqrt(cells)."""
    count = len(values)
    grid = values.reshape(count, *repeats, -1)
    found = np.fft.fftn(grid, axes=(1, 2, 3), norm="ortho")
    return np.ascontiguousarray(found.reshape(count, int(np.prod(repeats)), -1).transpose(1, 0, 2))


def from_q(values: NDArray, repeats: tuple[int, int, int]) -> NDArray:
    """The inverse of `to_q`, of what is real in real space."""
    cells, count, n = values.shape
    grid = values.transpose(1, 0, 2).reshape(count, *repeats, n)
    return np.fft.ifftn(grid, axes=(1, 2, 3), norm="ortho").real.reshape(count, cells * n)


def from_hessian(atoms: Atoms, repeats: tuple[int, int, int], hessian: Any) -> ForceConstants:
    """From the Hessian [3M, 3M] of `atoms.repeat(repeats)`, averaged over lattice translations.

    Raises:
        DataError: the Hessian has another shape, or holds NaN.
    """
    cells, n = int(np.prod(repeats)), 3 * len(atoms)
    if np.shape(hessian) != (cells * n, cells * n):
        raise DataError(
            f"a Hessian of shape {np.shape(hessian)} for {atoms.symbols} repeated {repeats}; "
            f"wanted {(cells * n, cells * n)}"
        )
    blocks = np.asarray(hessian, dtype=float).reshape(cells, n, cells, n).transpose(0, 2, 1, 3)
    grid = np.indices(repeats).reshape(3, -1).T
    apart = (grid[None] - grid[:, None]) % np.array(repeats)
    found = np.zeros((*repeats, n, n))
    np.add.at(found, tuple(np.moveaxis(apart, 2, 0)), blocks)
    return ForceConstants(atoms, found / cells)
