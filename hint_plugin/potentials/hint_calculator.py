"""The ASE calculator of an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.sparse import bsr_matrix, csr_matrix

from hint_plugin.errors import DataError
from hint_plugin.potentials.artifact_potential import Evaluation, Potential


class HintCalculator(Calculator):
    """Energies, forces, stresses and exact Hessians of an artifact, for ASE.

        atoms.calc = HintCalculator("model.hint.pt")
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc.get_hessian(atoms)

    Args:
        model: path of an artifact, name of one that comes with HINT (`hint model list`), or a loaded
            `Potential`, which several calculators may share.
        device: of torch, "cpu" or "cuda".
        dtype: "float32" or "float64"; None keeps the model's own.
        skin: A; the neighbour list is kept until an atom has moved by half of it.
        trust: take a ``.hint.pt2``, too, which is machine code: whoever made it can do what you can.

    The first structure outside of what the model was trained on is told by a `TrainingDomainWarning`, where
    the artifact knows its training.

    Raises:
        DataError, UnknownVersionError, OptionsError: see `hint_plugin.artifact.scripted.load_artifact`.
    """

    implemented_properties = [  # noqa: RUF012  (as ASE declares it)
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self,
        model: str | Path | Potential,
        *,
        device: str = "cpu",
        dtype: str | None = None,
        skin: float = 1.0,
        trust: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.potential = (
            model
            if isinstance(model, Potential)
            else Potential(model, device=device, dtype=dtype, skin=skin, trust=trust)
        )

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """ASE's door: fills `results`.

        Raises:
            DataError: the structure cannot be computed, or the result is not finite.
        """
        super().calculate(atoms, properties, system_changes)
        (found,) = self.potential.evaluate([self._structure(None)])
        if not (np.isfinite(found.energies).all() and np.isfinite(found.forces).all()):
            raise DataError(
                f"{self.potential.path.name} gives no finite energy or forces for "
                f"{self._structure(None).symbols}: atoms are on top of each other, or far too near"
            )
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "energies": found.energies,
            "forces": found.forces,
        }
        if found.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(found.stress)
        elif "stress" in properties:
            raise PropertyNotImplementedError("stress: the structure is not periodic in all three directions")

    def get_hessian(self, atoms: Atoms | None = None) -> np.ndarray:
        """d2E/dx dx [3N, 3N], eV/A^2, row-major (atom, axis), exact and symmetric."""
        return self.potential.hessian(self._structure(atoms))

    def get_hvp(self, atoms: Atoms | None, v: np.ndarray) -> np.ndarray:
        """H v for v [N, 3] or [3N], or K of them; shaped like v."""
        return self.potential.hvp(self._structure(atoms), v)

    def get_sparse_hessian(self, atoms: Atoms | None = None) -> bsr_matrix:
        """The same matrix in blocks of 3 x 3; the number of products does not grow with the system."""
        return self.potential.sparse_hessian(self._structure(atoms))

    def get_hessian_pattern(self, atoms: Atoms | None = None) -> csr_matrix:
        """[N, N] boolean: which of these blocks can differ from zero."""
        return self.potential.hessian_pattern(self._structure(atoms))

    def evaluate(self, frames: Sequence[Atoms]) -> list[Evaluation]:
        """Many structures at once: several times faster than one by one where they are small."""
        return self.potential.evaluate(frames)

    def _structure(self, atoms: Atoms | None) -> Atoms:
        chosen = atoms if atoms is not None else self.atoms
        if chosen is None:
            raise ValueError("HintCalculator: no structure; pass atoms")
        return chosen
