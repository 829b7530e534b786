"""What a potential is: one protocol for artifacts, checkpoints, engines and ASE calculators.

Everything in `hint_plugin.science`, the label runs and the ASE calculator ask for this and nothing else;
`hint_plugin.potentials.open_potential` makes one of a name, a file or a calculator. A new one derives from
`BasePotential` and gives `evaluate` and `hessian`; `hint_plugin.testing` has the suite that it must pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from scipy.sparse import bsr_matrix, csr_matrix

from hint_plugin.core.metrics import Prediction
from hint_plugin.errors import OptionsError


@dataclass(frozen=True)
class Evaluation:
    """What a potential says of one structure of N atoms, in eV and A.

    Attributes:
        energy: eV.
        forces: [N, 3], eV/A.
        stress: [3, 3], eV/A^3, ASE's sign; None unless periodic in all directions, and where there is none.
        energies: of the atoms [N], eV, where the potential has them.
        virial: [3, 3], eV, -dE/d strain, where the potential has it.
        dipole: [3], e A, of a molecule, where the potential has one.
    """

    energy: float
    forces: NDArray
    stress: NDArray | None = None
    energies: NDArray | None = None
    virial: NDArray | None = None
    dipole: NDArray | None = None


@runtime_checkable
class Potential(Protocol):
    """Structures -> energies, forces, stresses, Hessians and their products.

    Attributes:
        method: what it is, for tables: the name of a file, or of a method.
        exact: whether H v comes from derivatives, and not from differences of forces.
        electrons: which of "charge" and "multiplicity" it takes into account.
    """

    method: str
    exact: bool
    electrons: tuple[str, ...]

    def evaluate(self, frames: Sequence[Atoms]) -> list[Evaluation]:
        """One `Evaluation` for each structure, in their order."""

    def predict(self, frames: Sequence[Atoms], hessian: bool = False) -> Iterator[Prediction]:
        """The same as tensors, in memory that does not grow; with `hessian` also the Hessians."""

    def hessian(self, atoms: Atoms) -> NDArray:
        """d2E/dx dx [3N, 3N], eV/A^2, row-major (atom, axis), symmetric."""

    def hvp(self, atoms: Atoms, v: NDArray) -> NDArray:
        """H v for v [N, 3] or [3N], or K of them; shaped like v, eV/A^2 x unit of v."""

    def rows(self, atoms: Atoms, chosen: Sequence[int]) -> NDArray:
        """H[A, :] [3m, 3N] of the m atoms A, eV/A^2."""

    def hessian_pattern(self, atoms: Atoms) -> csr_matrix | None:
        """[N, N] boolean: the 3 x 3 blocks of the Hessian that can differ from zero; None: not known."""

    def sparse_hessian(self, atoms: Atoms) -> bsr_matrix:
        """The Hessian in blocks of 3 x 3, of few products where the pattern is known."""

    def following(self) -> Callable[[Atoms], Evaluation]:
        """Evaluates one structure after the other, each started from the one before where that helps."""

    def provenance(self, atoms: Atoms | None = None) -> dict[str, Any]:
        """How its numbers are made, and what belongs to one structure (charge, k points) if it is given."""

    def fresh(self) -> Potential:
        """The same potential that knows of no structure before."""


class BasePotential(ABC):
    """A potential of `evaluate` and `hessian`; what follows from them is here."""

    method = "potential"
    exact = True
    electrons: tuple[str, ...] = ()

    @abstractmethod
    def evaluate(self, frames: Sequence[Atoms]) -> list[Evaluation]:
        """See `Potential.evaluate`."""

    @abstractmethod
    def hessian(self, atoms: Atoms) -> NDArray:
        """See `Potential.hessian`."""

    def predict(self, frames: Sequence[Atoms], hessian: bool = False) -> Iterator[Prediction]:
        """See `Potential.predict`; one structure at a time."""
        for atoms in frames:
            (found,) = self.evaluate([atoms])
            matrix = torch.as_tensor(self.hessian(atoms)) if hessian else None
            stress = None if found.stress is None else torch.as_tensor(found.stress)
            yield Prediction(found.energy, torch.as_tensor(found.forces), stress, matrix)

    def hvp(self, atoms: Atoms, v: NDArray) -> NDArray:
        """See `Potential.hvp`; by way of the Hessian."""
        probes = as_probes(atoms, v)
        return (probes.reshape(len(probes), -1) @ self.hessian(atoms)).reshape(np.shape(v))

    def products_at(self, atoms: Atoms) -> Callable[[NDArray], NDArray]:
        """v [K, N, 3] -> H v, for many calls at one geometry; here the Hessian is computed once."""
        matrix = np.asarray(self.hessian(atoms), dtype=float)
        return lambda v: (v.reshape(len(v), -1) @ matrix).reshape(v.shape)

    def third_at(self, atoms: Atoms) -> Callable[[NDArray], NDArray] | None:
        """v [K, N, 3] -> D^3E[v, v], eV/A^3 times the square of the unit of v, by a third differentiation;
        None: this potential has none."""
        return None

    def rows(self, atoms: Atoms, chosen: Sequence[int]) -> NDArray:
        """See `Potential.rows`; 3m products."""
        columns = (3 * np.asarray(chosen)[:, None] + np.arange(3)).ravel()
        units = np.eye(3 * len(atoms))[columns].reshape(len(columns), len(atoms), 3)
        return np.asarray(self.hvp(atoms, units), dtype=float).reshape(len(columns), -1)

    def hessian_pattern(self, atoms: Atoms) -> csr_matrix | None:
        """See `Potential.hessian_pattern`; not known."""
        return None

    def sparse_hessian(self, atoms: Atoms) -> bsr_matrix:
        """See `Potential.sparse_hessian`; of the whole matrix."""
        return bsr_matrix(self.hessian(atoms), blocksize=(3, 3))

    def following(self) -> Callable[[Atoms], Evaluation]:
        """See `Potential.following`; every structure from nothing."""
        return lambda atoms: self.evaluate([atoms])[0]

    def provenance(self, atoms: Atoms | None = None) -> dict[str, Any]:
        """See `Potential.provenance`; the method alone."""
        return {"method": self.method}

    def fresh(self) -> Potential:
        """See `Potential.fresh`; itself, since it keeps nothing."""
        return self


def as_probes(atoms: Atoms, v: NDArray) -> NDArray:
    """v as K directions [K, N, 3].

    Raises:
        OptionsError: v of another shape than [N, 3], [3N], or K of them.
    """
    v, n = np.asarray(v, dtype=float), len(atoms)
    if v.shape not in ((n, 3), (3 * n,)) and v.shape[1:] not in ((n, 3), (3 * n,)):
        raise OptionsError(f"v has shape {v.shape}; wanted ({n}, 3), ({3 * n},), or K of them")
    return v.reshape(-1, n, 3)
