"""The Hessian of a potential at one geometry as a linear operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from hint_plugin.core.hvp import EnergyFunction, ForceFunction, hvp_by_difference, many_hvps


class HessianOperator:
    """v -> H v at fixed positions; symmetric, [3N, 3N], row-major (atom, axis), eV/A^2.

    The graph of the forces is built once and kept; products are backward passes through it, several to a pass
    for small structures. Nothing of size 3N x 3N is made unless `dense` is asked for.

    Build it by one of

    * ``HessianOperator.from_energy(energy, positions)``: an energy function,
    * ``HessianOperator.from_forces(forces, positions)``: forces with a graph to the leaf ``positions``,
    * ``HessianOperator.from_differences(force_function, positions)``: any forces, by central differences.
    """

    def __init__(
        self,
        positions: Tensor,
        *,
        forces: Tensor | None = None,
        force_function: ForceFunction | None = None,
        step: float | None = None,
    ) -> None:
        if (forces is None) == (force_function is None):
            raise ValueError("HessianOperator: give either forces with a graph or a force function")
        self.positions = positions
        self._forces = forces
        self._force_function = force_function
        self._step = step

    @classmethod
    def from_energy(cls, energy: EnergyFunction, positions: Tensor) -> HessianOperator:
        """From an energy function positions [N, 3] -> energy (eV)."""
        leaf = positions.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(energy(leaf).sum(), leaf, create_graph=True)
        return cls(leaf, forces=-gradient)

    @classmethod
    def from_forces(cls, forces: Tensor, positions: Tensor) -> HessianOperator:
        """From forces [N, 3] (eV/A) that carry a graph to the leaf ``positions`` [N, 3]."""
        return cls(positions, forces=forces)

    @classmethod
    def from_differences(
        cls, force_function: ForceFunction, positions: Tensor, step: float | None = None
    ) -> HessianOperator:
        """From a function positions -> forces without further derivatives; ``step`` in A."""
        return cls(positions.detach(), force_function=force_function, step=step)

    @property
    def shape(self) -> tuple[int, int]:
        """(3N, 3N)."""
        size = self.positions.numel()
        return size, size

    def mv(self, v: Tensor) -> Tensor:
        """H v for v of shape [N, 3] or [3N], or K of them, [K, N, 3] or [K, 3N]; shaped like v."""
        n = self.positions.shape[0]
        probes = v.reshape(-1, n, 3).to(self.positions)
        if self._forces is not None:
            products = many_hvps(self._forces, self.positions, probes)
        else:
            assert self._force_function is not None
            products = hvp_by_difference(
                self._force_function, self.positions, probes, step=self._step
            ).detach()
        return products.reshape(v.shape)

    def columns(self, start: int, stop: int) -> Tensor:
        """Columns start..stop of H as [3N, stop - start]."""
        size = self.shape[0]
        identity = torch.zeros((stop - start, size), dtype=self.positions.dtype, device=self.positions.device)
        identity[torch.arange(stop - start), torch.arange(start, stop)] = 1.0
        return self.mv(identity).T

    def dense(self, *, chunk: int = 64, symmetrise: bool = True) -> Tensor:
        """The whole matrix [3N, 3N], ``chunk`` columns at a time; averaged with its transpose by default."""
        size = self.shape[0]
        matrix = torch.empty((size, size), dtype=self.positions.dtype, device=self.positions.device)
        for start in range(0, size, chunk):
            stop = min(start + chunk, size)
            matrix[:, start:stop] = self.columns(start, stop)
        return 0.5 * (matrix + matrix.T) if symmetrise else matrix

    def rows(self, atoms: Sequence[int] | Tensor) -> Tensor:
        """The rows [3m, 3N] of m atoms (by symmetry, their columns), without the rest of the matrix.

        Raises:
            IndexError: an atom that does not exist.
        """
        index = torch.as_tensor(atoms, dtype=torch.long)
        n = self.positions.shape[0]
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= n):
            raise IndexError(f"rows: got atoms {index.tolist()}, wanted indices from 0 to {n - 1}")
        return torch.cat([self.columns(3 * int(a), 3 * int(a) + 3).T for a in index], dim=0)

    def lowest_modes(
        self, count: int = 1, *, masses: Tensor | None = None, tolerance: float = 1e-6, seed: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The ``count`` lowest eigenpairs by Lanczos iterations (ARPACK), from products alone.

        Args:
            count: number of eigenpairs, < 3N - 1 (all of them come from `dense` when 3N is small).
            masses: [N] amu; with them, of the mass-weighted matrix M^-1/2 H M^-1/2.
            tolerance: accuracy of the eigenvalues, relative to the width of the spectrum.
            seed: of the start vector.

        Returns:
            eigenvalues [count] ascending and orthonormal eigenvectors [count, N, 3], in the operator's dtype.
        """
        size = self.shape[0]
        scale = np.ones(size)
        if masses is not None:
            scale = 1.0 / np.sqrt(np.repeat(masses.detach().cpu().numpy().astype(float), 3))

        def product(v: np.ndarray) -> np.ndarray:
            w = self.mv(
                torch.as_tensor(scale * v.ravel(), dtype=self.positions.dtype, device=self.positions.device)
            )
            return scale * w.detach().cpu().numpy().astype(float)

        if count >= size - 1 or size <= 12:
            matrix = scale[:, None] * self.dense().detach().cpu().numpy().astype(float) * scale[None, :]
            values, vectors = np.linalg.eigh(matrix)
        else:
            values, vectors = _lowest_eigenpairs(product, size, count, tolerance, seed)
        modes = torch.as_tensor(np.ascontiguousarray(vectors[:, :count].T)).reshape(-1, size // 3, 3)
        return torch.as_tensor(values[:count]).to(self.positions), modes.to(self.positions)


def _lowest_eigenpairs(
    product: Callable[[np.ndarray], np.ndarray], size: int, count: int, tolerance: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` lowest eigenpairs of a symmetric operator, every copy of a degenerate one included.

    A Lanczos run sees one vector of each eigenspace (translations, rotations: six). So the spectrum is moved
    below zero (which also makes ARPACK's relative tolerance one of the spectrum's width), the eigenpairs
    found are moved to its top, and runs follow until nothing lower turns up.
    """
    rng = np.random.default_rng(seed)
    options = {"tol": tolerance, "ncv": min(size, max(4 * count, 20))}
    whole = LinearOperator((size, size), matvec=product, dtype=float)
    start = rng.standard_normal(size)
    top = float(eigsh(whole, k=1, which="LA", tol=1e-2, v0=start, return_eigenvectors=False)[0])
    top += 0.1 * abs(top)
    values, vectors = np.empty(0), np.empty((size, 0))
    while len(values) < size:

        def deflated(v: np.ndarray, values: np.ndarray = values, vectors: np.ndarray = vectors) -> np.ndarray:
            moved: np.ndarray = product(v) - top * v + vectors @ ((top - values) * (vectors.T @ v))
            return moved

        operator = LinearOperator((size, size), matvec=deflated, dtype=float)
        new, directions = eigsh(operator, k=count, which="SA", v0=rng.standard_normal(size), **options)
        new += top
        if len(values) >= count and new.min() >= values[count - 1] - tolerance * abs(top):
            break
        directions, _ = np.linalg.qr(directions - vectors @ (vectors.T @ directions))
        values, vectors = np.concatenate([values, new]), np.hstack([vectors, directions])
        order = np.argsort(values)
        values, vectors = values[order], vectors[:, order]
    return values[:count], vectors[:, :count]
