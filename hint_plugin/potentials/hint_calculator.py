"""The ASE calculator of every potential: models, engines, and calculators of others that lack Hessians."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.sparse import bsr_matrix, csr_matrix

from hint_plugin.data.structures.electrons import ELECTRON_INFO
from hint_plugin.errors import DataError
from hint_plugin.potentials.artifact_potential import ArtifactPotential
from hint_plugin.potentials.engine import Engine
from hint_plugin.potentials.engine_potential import EnginePotential
from hint_plugin.potentials.partial_hessian import partial_hessian
from hint_plugin.potentials.potential import Evaluation, Potential


class HintCalculator(Calculator):
    """Energies, forces, stresses, dipoles and Hessians of a potential, for ASE.

        atoms.calc = HintCalculator("model.hint.pt")
        atoms.calc = HintCalculator(open_potential("gfn2-xtb"))
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc.get_hessian(atoms)

    Args:
        model: path of an artifact, name of one that comes with HINT (`hint model list`), or a potential (of
            `open_potential`), which several calculators may share.
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
        "dipole",
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
        self.potential: Any = (
            ArtifactPotential(model, device=device, dtype=dtype, skin=skin, trust=trust)
            if isinstance(model, str | Path)
            else model
        )
        self._evaluate: Callable[[Atoms], Evaluation] = self.potential.following()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """ASE's door: fills `results`.

        Raises:
            DataError: the structure cannot be computed, or the result is not finite.
            EngineError: an engine cannot treat the structure, or did not converge.
            PropertyNotImplementedError: it has no stress or dipole for this structure.
        """
        super().calculate(atoms, properties, system_changes)
        structure = self._structure(None)
        found = self._evaluate(structure)
        self._refuse_infinite(found, str(structure.symbols))
        self.results = {"energy": found.energy, "free_energy": found.energy, "forces": found.forces}
        stress = None if found.stress is None else full_3x3_to_voigt_6_stress(found.stress)
        for name, value in (("energies", found.energies), ("stress", stress), ("dipole", found.dipole)):
            if value is not None:
                self.results[name] = value
            elif name in properties:
                raise PropertyNotImplementedError(self._lacking(name, structure))

    def _lacking(self, name: str, structure: Atoms) -> str:
        if name == "stress" and not structure.pbc.all():
            return "stress: the structure is not periodic in all three directions"
        return f"{self.potential.method} has no {name} for {structure.symbols}"

    def provenance(self, atoms: Atoms | None = None) -> dict[str, Any]:
        """How the numbers are made, and what belongs to one structure. Raises EngineError as engines do."""
        return dict(self.potential.provenance(atoms))

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed; ASE's own does not look at the electrons in `info`."""
        changes: list[str] = super().check_state(atoms, tol=tol)
        if self.atoms is not None and _electrons(self.atoms) != _electrons(atoms):
            changes.append("electrons")
        return changes

    def get_hessian(self, atoms: Atoms | None = None) -> np.ndarray:
        """d2E/dx dx [3N, 3N], eV/A^2, symmetric: element (3a + i, 3b + j) is of atom a, axis i, and b, j.

        The whole matrix, whatever constraints the atoms have: see `get_partial_hessian`. Other packages use
        other shapes, which `hint_plugin.potentials.hessian_shapes` gives and takes.
        """
        return np.asarray(self.potential.hessian(self._structure(atoms)))

    def get_rows(self, atoms: Atoms | None, chosen: Sequence[int]) -> np.ndarray:
        """H[A, :] [3m, 3N], eV/A^2, of the m atoms A: 3m products."""
        return np.asarray(self.potential.rows(self._structure(atoms), chosen))

    def get_partial_hessian(self, atoms: Atoms | None = None) -> np.ndarray:
        """H_cc [n, n], eV/A^2, symmetric, of the n coordinates c that FixAtoms and FixCartesian leave free,
        in ascending order 3a + axis; 3 products for each atom that moves.

        Raises:
            DataError: other constraints, or all atoms are held.
        """
        return partial_hessian(self._structure(atoms), self)

    def get_hvp(self, atoms: Atoms | None, v: np.ndarray) -> np.ndarray:
        """H v for v [N, 3] or [3N], or K of them; shaped like v."""
        return np.asarray(self.potential.hvp(self._structure(atoms), v))

    def products_at(self, atoms: Atoms | None = None) -> Callable[[np.ndarray], np.ndarray]:
        """v [K, N, 3] -> H v, for many calls at one geometry: what they have in common is computed once."""
        structure = self._structure(atoms)
        at = getattr(self.potential, "products_at", None)
        return at(structure) if at else lambda v: np.asarray(self.potential.hvp(structure, v))

    def get_sparse_hessian(self, atoms: Atoms | None = None) -> bsr_matrix:
        """The same matrix in blocks of 3 x 3; the number of products does not grow with the system where the
        potential knows its reach."""
        return self.potential.sparse_hessian(self._structure(atoms))

    def get_hessian_pattern(self, atoms: Atoms | None = None) -> csr_matrix | None:
        """[N, N] boolean: which of these blocks can differ from zero; None: not known."""
        return self.potential.hessian_pattern(self._structure(atoms))

    def evaluate(self, frames: Sequence[Atoms]) -> list[Evaluation]:
        """Many structures at once, in their order; a small model is several times faster than one by one.

        An engine that cannot (`EnginePotential.one_by_one`) takes one after the other, each started from the
        one before, as in `calculate`. `results` are left as they are.

        Raises:
            DataError, EngineError: as `calculate`; the message says which structure gives nothing finite.
        """
        if getattr(self.potential, "one_by_one", False):
            found = [self._evaluate(atoms) for atoms in frames]
        else:
            found = self.potential.evaluate(frames)
        for number, (one, atoms) in enumerate(zip(found, frames, strict=True)):
            self._refuse_infinite(one, f"structure {number} of {len(frames)} ({atoms.symbols})")
        return found

    def _refuse_infinite(self, found: Evaluation, name: str) -> None:
        if not (np.isfinite(found.energy) and np.isfinite(found.forces).all()):
            raise DataError(
                f"{self.potential.method} gives no finite energy or forces for {name}: atoms are on top of "
                "each other, or far too near"
            )

    def _structure(self, atoms: Atoms | None) -> Atoms:
        chosen = atoms if atoms is not None else self.atoms
        if chosen is None:
            raise ValueError("HintCalculator: no structure; pass atoms")
        return chosen


class EngineCalculator(HintCalculator):
    """`HintCalculator` of an engine, by the name it had in version 0.1.

        atoms.calc = EngineCalculator(make_engine("gfn2-xtb"))

    Args:
        engine: of `make_engine`.
    """

    def __init__(self, engine: Engine, **options: Any) -> None:
        super().__init__(EnginePotential(engine), **options)
        self.engine = engine


def _electrons(atoms: Atoms) -> tuple[Any, ...]:
    return tuple(atoms.info.get(key) for key in ELECTRON_INFO)
