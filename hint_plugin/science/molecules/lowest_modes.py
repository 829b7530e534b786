"""Saddles of many atoms without the whole Hessian: its lowest modes from products H v.

Sella moves on a model of the Hessian in its internal coordinates, which steps of the search improve. Where
it would ask for the exact matrix, the lowest modes of it are found by Davidson's iteration
(`hint_plugin.core.davidson`) with that model as preconditioner, outside of translations and rotations. All
products that this took correct the model (Sella's multi-secant update). With B = dq/dx, of pseudoinverse B+,
and the gradient g in internal coordinates q:

    H_q s = B+^T (H_x v - C v),    s = B v,    C = sum_k g_k d2q_k/dx dx,    H_x of the model = B^T H_q B + C

E. D. Hermes, K. Sargsyan, H. N. Najm, J. Zador, J. Chem. Theory Comput. 15, 6536 (2019) do the same with
differences of gradients in place of products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.core.davidson import lowest_pairs
from hint_plugin.core.spectra import SADDLE_THRESHOLD, rigid_basis, wavenumbers

DENSE_ATOMS = 50
"""Up to so many atoms saddle searches compute the whole Hessian."""
_SEARCH = 0.1  # |r| / |theta| on the way, as Sella has it
RESIDUAL = 2e-4
"""eV/(A^2 amu), of the modes at the end: a frequency of 0 is then above -7.4 cm^-1, which counts as real."""


@dataclass(frozen=True)
class FewModes:
    """The lowest vibrations of a molecule, by iteration; ascending, imaginary ones as negative frequencies.

    `frequencies` [k] cm^-1; `displacements` [k, N, 3], Cartesian, of norm 1; `force` [k, N, 3] eV/A^2, H
    times each of them; `residuals` [k] eV/(A^2 amu), of the Eckart-projected mass-weighted Hessian, which are
    above `RESIDUAL` where it did not converge; `products`: how many H v the whole search took until here.
    """

    frequencies: NDArray
    displacements: NDArray
    force: NDArray
    residuals: NDArray
    products: int

    @property
    def imaginary(self) -> NDArray:
        """Frequencies below `SADDLE_THRESHOLD`, cm^-1 (negative)."""
        return self.frequencies[self.frequencies < SADDLE_THRESHOLD]

    @property
    def kind(self) -> str:
        """Of a stationary point; more modes than were looked for may be imaginary where all of these are."""
        if self.residuals.max() > RESIDUAL:
            return "point whose lowest modes have not converged"
        order = len(self.imaginary)
        return ("minimum", "transition state", "saddle of order 2 or higher")[min(order, 2)]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "frequencies": self.frequencies.tolist(),
            "lowest_frequencies_only": True,
            "imaginary_modes": len(self.imaginary),
            "residuals": self.residuals.tolist(),
            "products": self.products,
        }


class ByProducts:
    """What a saddle search asks instead of the whole Hessian.

    Attributes:
        products: how many H v were computed.

    Args:
        calculator: with `products_at(atoms)` or `get_hvp(atoms, v)`.
    """

    def __init__(self, calculator: Any) -> None:
        self._calculator, self.products = calculator, 0
        self._pes: Any = None
        self._mode: NDArray | None = None

    @staticmethod
    def known(calculator: Any) -> bool:
        """Whether a calculator has products."""
        return hasattr(calculator, "products_at") or hasattr(calculator, "get_hvp")

    def adapted(self, sella: type) -> Any:
        """Sella's optimiser, which asks here for curvature."""
        by_products = self

        class Adapted(sella):
            def initialize_pes(self, *arguments: Any, **options: Any) -> None:
                super().initialize_pes(*arguments, **options)
                by_products._pes = pes = self.pes
                pes.diag = lambda **_: by_products.update(pes)

        return Adapted

    def update(self, pes: Any) -> None:
        """Correct the model of Sella's `InternalPES` where it is, by products along its lowest modes."""
        gradient, jacobian, coupling = _curvilinear(pes)
        model = jacobian.T @ np.asarray(pes.H.asarray()) @ jacobian + coupling
        rigid = _rigid(pes.atoms, np.ones(len(pes.atoms)))
        start = np.column_stack([gradient if self._mode is None else self._mode, _lowest(model, rigid, 1)])
        found = lowest_pairs(
            self._product(pes.atoms, np.ones(len(start))),
            start,
            relative=_SEARCH,
            negative=True,
            deflated=rigid,
            model=model,
        )
        self._mode = found.vectors[:, 0]
        y = np.linalg.eigh(found.basis.T @ found.images)[1]  # Ritz vectors, the lowest first
        basis, images = found.basis @ y, found.images @ y
        pes.H.update(jacobian @ basis, np.linalg.pinv(jacobian).T @ (images - coupling @ basis))
        pes.first_diag = False

    def modes(self, atoms: Atoms, count: int = 2) -> FewModes:
        """The lowest vibrations where the search has ended. Raises what the calculator raises."""
        masses = atoms.get_masses()
        scale, rigid = 1 / np.sqrt(np.repeat(masses, 3)), _rigid(atoms, masses)
        model = None
        if self._pes is not None:
            _, jacobian, coupling = _curvilinear(self._pes)
            model = jacobian.T @ np.asarray(self._pes.H.asarray()) @ jacobian + coupling
            model = scale[:, None] * model * scale
        start = np.random.default_rng(0).normal(size=(3 * len(atoms), 1))  # sees what the model does not know
        if model is not None:
            start = np.column_stack([_lowest(model, rigid, count + 1), start])
        if self._mode is not None:
            start = np.column_stack([self._mode / scale, start])
        found = lowest_pairs(
            self._product(atoms, scale), start, count, tolerance=RESIDUAL, deflated=rigid, model=model
        )
        cartesian = scale[:, None] * found.vectors
        norms = np.linalg.norm(cartesian, axis=0)
        weighted = found.values * found.vectors / scale[:, None]  # H x = lambda M x
        shape = (count, len(atoms), 3)
        return FewModes(
            frequencies=wavenumbers(torch.as_tensor(found.values)).numpy(),
            displacements=(cartesian / norms).T.reshape(shape),
            force=(weighted / norms).T.reshape(shape),
            residuals=found.residuals,
            products=self.products,
        )

    def _product(self, atoms: Atoms, scale: NDArray) -> Callable[[NDArray], NDArray]:
        """X [3N, m] -> S H S X, S being diagonal."""
        structure, at = atoms.copy(), getattr(self._calculator, "products_at", None)
        ask = at(structure) if at else lambda v: self._calculator.get_hvp(structure, v)

        def product(x: NDArray) -> NDArray:
            self.products += x.shape[1]
            probes = (scale[:, None] * x).T.reshape(x.shape[1], -1, 3)
            return scale[:, None] * np.asarray(ask(probes), dtype=float).reshape(x.shape[1], -1).T

        return product


def _curvilinear(pes: Any) -> tuple[NDArray, NDArray, NDArray]:
    """The Cartesian gradient [3N], B [M, 3N] and C [3N, 3N] of Sella's coordinates, without dummy atoms."""
    n, g = 3 * len(pes.atoms), pes.get_g()
    jacobian = np.asarray(pes.int.jacobian())[:, :n]
    return g @ jacobian, jacobian, np.asarray(pes.int.hessian().ldot(g))[:n, :n]


def _rigid(atoms: Atoms, masses: NDArray) -> NDArray:
    """[3N, r], orthonormal translations and rotations."""
    return np.asarray(rigid_basis(torch.as_tensor(atoms.positions), torch.as_tensor(masses)))


def _lowest(model: NDArray, rigid: NDArray, count: int) -> NDArray:
    """[3N, count], the lowest eigenvectors of a model outside of rigid motion."""
    away = 1e3 * float(np.abs(model).max()) * rigid @ rigid.T
    kept = model - rigid @ (rigid.T @ model)
    kept = kept - (kept @ rigid) @ rigid.T
    return np.asarray(np.linalg.eigh(0.5 * (kept + kept.T) + away)[1][:, :count])
