"""An engine as an ASE calculator with `get_hessian`: what everything in `hint_plugin.science` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from numpy.typing import NDArray
from scipy.sparse import bsr_matrix, csr_matrix

from hint_plugin.data.structures.electrons import ELECTRON_KEYS
from hint_plugin.potentials import differences
from hint_plugin.potentials.engine import Engine, Prepared, make_labels

_SAME_SYSTEM = ("positions",)  # what may change without a new start of the engine


class EngineCalculator(Calculator):
    """Energies, forces, stresses, dipoles and Hessians of an engine of `hint label`, for ASE.

        atoms.calc = EngineCalculator(make_engine("gfn2-xtb"))
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_dipole_moment()
        atoms.calc.get_hessian(atoms)

    Charge and multiplicity come from `atoms.info["charge"]` and `atoms.info["spin"]` (2S + 1), and from other
    keys for the same (`data.structures.electrons`), else from the engine's options. While only positions
    change, the engine starts from the density of the point before.

    Args:
        engine: of `make_engine`.
    """

    implemented_properties = [  # noqa: RUF012  (as ASE declares it)
        "energy",
        "free_energy",
        "forces",
        "stress",
        "dipole",
    ]

    def __init__(self, engine: Engine, **options: Any) -> None:
        super().__init__(**options)
        self.engine = engine
        self._prepared: Prepared | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """ASE's door: fills `results`.

        Raises:
            EngineError: the engine cannot treat the structure, or did not converge.
            PropertyNotImplementedError: it has no stress or dipole for this structure.
        """
        super().calculate(atoms, properties, system_changes)
        structure = self._structure(None)
        if self._prepared is None or any(change not in _SAME_SYSTEM for change in system_changes):
            self._prepared = self.engine.prepare(structure.copy())
        found = self._prepared.single_point(structure.positions.copy())
        self.results = {"energy": found.energy, "free_energy": found.energy, "forces": found.forces}
        for name, value in (("stress", found.stress), ("dipole", found.dipole)):
            if value is not None:
                self.results[name] = value
            elif name in properties:
                raise PropertyNotImplementedError(
                    f"{self.engine.method} has no {name} for {structure.symbols}"
                )

    def provenance(self, atoms: Atoms) -> dict[str, Any]:
        """What labels of a structure tell about how they were made. Raises EngineError as the engine does."""
        of_structure = self.engine.of_structure(getattr(self.engine, "options", None), atoms)
        return {**self.engine.provenance(), **of_structure}

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed; ASE's own does not look at the electrons in `info`."""
        changes: list[str] = super().check_state(atoms, tol=tol)
        if self.atoms is not None and _electrons(self.atoms) != _electrons(atoms):
            changes.append("electrons")
        return changes

    def get_hessian(self, atoms: Atoms | None = None) -> NDArray:
        """d2E/dx dx [3N, 3N], eV/A^2, row-major (atom, axis), symmetric. Raises EngineError."""
        label = make_labels(self.engine, self._structure(atoms).copy(), "full").hessian
        assert label is not None
        return np.asarray(label.hessian, dtype=float)

    def get_hvp(self, atoms: Atoms | None, v: NDArray) -> NDArray:
        """H v for v [N, 3] or [3N], or K of them; shaped like v. Exact where the engine has exact products or
        derivatives, else by central differences of forces. Raises EngineError."""
        structure = self._structure(atoms).copy()
        probes = np.asarray(v, dtype=float).reshape(-1, len(structure), 3)
        prepared = self.engine.prepare(structure)
        found = prepared.products(probes)
        if found is None:
            found = differences.hvp(prepared.forces_at, structure.positions, probes, self.engine.step)
        return np.asarray(found, dtype=float).reshape(np.shape(v))

    def get_hessian_pattern(self, atoms: Atoms | None = None) -> csr_matrix | None:
        """[N, N] boolean: the 3 x 3 blocks of the Hessian that can differ from zero; None: not known."""
        prepared = self.engine.prepare(self._structure(atoms).copy())
        pattern = getattr(prepared, "hessian_pattern", None)
        return None if pattern is None else pattern()

    def get_sparse_hessian(self, atoms: Atoms | None = None) -> bsr_matrix:
        """The Hessian in blocks of 3 x 3, of few products where the pattern is known. Raises EngineError."""
        prepared = self.engine.prepare(self._structure(atoms).copy())
        sparse = getattr(prepared, "sparse_hessian", None)
        found = None if sparse is None else sparse()
        return bsr_matrix(self.get_hessian(atoms), blocksize=(3, 3)) if found is None else found

    def _structure(self, atoms: Atoms | None) -> Atoms:
        chosen = atoms if atoms is not None else self.atoms
        if chosen is None:
            raise ValueError("EngineCalculator: no structure; pass atoms")
        return chosen


def _electrons(atoms: Atoms) -> tuple[Any, ...]:
    return tuple(atoms.info.get(key) for key in ELECTRON_KEYS)
