"""An engine of `hint label` as a potential: quantum chemistry where a model is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray
from scipy.sparse import bsr_matrix, csr_matrix

from hint_plugin.data.labels.single_point import SinglePoint
from hint_plugin.data.structures.electrons import ELECTRON_INFO
from hint_plugin.potentials import differences
from hint_plugin.potentials.engine import Engine, Prepared, make_labels
from hint_plugin.potentials.potential import BasePotential, Evaluation, Potential, as_probes


class EnginePotential(BasePotential):
    """Energies, forces, stresses, dipoles and Hessians of an engine.

    Charge and multiplicity come from `atoms.info["charge"]` and `atoms.info["spin"]` (2S + 1), and from other
    keys for the same (`structures.electrons`), else from the engine's options. H v is exact where the engine
    has exact products, else it comes from central differences of forces.

    Args:
        engine: of `make_engine`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.method = engine.method
        self.electrons = ("charge", "multiplicity")  # the engine refuses those that it does not know

    @property
    def one_by_one(self) -> bool:
        """Whether the engine takes one structure after the other: it has no `single_points`."""
        return not hasattr(self.engine, "single_points")

    def evaluate(self, frames: Sequence[Atoms]) -> list[Evaluation]:
        """See `Potential.evaluate`; together where the engine has `single_points`.

        Raises EngineError: one cannot be treated, or did not converge.
        """
        if not self.one_by_one:
            points = self.engine.single_points(frames)  # type: ignore[attr-defined]
            return [_evaluation(point) for point in points]
        evaluate = self.following()
        return [evaluate(atoms) for atoms in frames]

    def hessian(self, atoms: Atoms) -> NDArray:
        """See `Potential.hessian`. Raises EngineError."""
        label = make_labels(self.engine, atoms.copy(), "full").hessian
        assert label is not None
        return np.asarray(label.hessian, dtype=float)

    def hvp(self, atoms: Atoms, v: NDArray) -> NDArray:
        """See `Potential.hvp`. Raises EngineError."""
        structure, probes = atoms.copy(), as_probes(atoms, v)
        prepared = self.engine.prepare(structure)
        found = prepared.products(probes)
        if found is None:
            found = differences.hvp(prepared.forces_at, structure.positions, probes, self.engine.step)
        return np.asarray(found, dtype=float).reshape(np.shape(v))

    def products_at(self, atoms: Atoms) -> Callable[[NDArray], NDArray]:
        """v [K, N, 3] -> H v, for many calls at one geometry, set up once. Raises EngineError, both."""
        structure = atoms.copy()
        prepared = self.engine.prepare(structure)

        def products(v: NDArray) -> NDArray:
            found = prepared.products(v)
            if found is None:
                found = differences.hvp(prepared.forces_at, structure.positions, v, self.engine.step)
            return np.asarray(found, dtype=float).reshape(v.shape)

        return products

    def has_products(self, atoms: Atoms) -> bool:
        """Whether H v is exact, and not made of differences of forces. Raises EngineError."""
        return self.engine.prepare(atoms.copy()).products(np.zeros((1, len(atoms), 3))) is not None

    def third_at(self, atoms: Atoms) -> Callable[[NDArray], NDArray] | None:
        """See `BasePotential.third_at`; of the engine `model`, where its model has it. Raises EngineError."""
        found = getattr(self.engine.prepare(atoms.copy()), "third", None)
        return None if found is None else found()

    def rows(self, atoms: Atoms, chosen: Sequence[int]) -> NDArray:
        """See `Potential.rows`; 6m forces where the engine has no exact products. The block of the chosen
        atoms is symmetrised. Raises EngineError."""
        label = make_labels(self.engine, atoms.copy(), "rows", row_atoms=chosen).hessian
        assert label is not None and label.atoms is not None
        order = np.searchsorted(label.atoms, np.asarray(chosen, dtype=np.int64))
        blocks = np.asarray(label.hessian, dtype=float).reshape(len(label.atoms), 3, -1)
        return blocks[order].reshape(3 * len(order), -1)

    def hessian_pattern(self, atoms: Atoms) -> csr_matrix | None:
        """See `Potential.hessian_pattern`."""
        return self.engine.prepare(atoms.copy()).hessian_pattern()

    def sparse_hessian(self, atoms: Atoms) -> bsr_matrix:
        """See `Potential.sparse_hessian`. Raises EngineError."""
        found = self.engine.prepare(atoms.copy()).sparse_hessian()
        return super().sparse_hessian(atoms) if found is None else found

    def following(self) -> Callable[[Atoms], Evaluation]:
        """While only positions change, the engine starts from the density of the point before."""
        return _Following(self.engine)

    def provenance(self, atoms: Atoms | None = None) -> dict[str, Any]:
        """What labels tell about how they were made. Raises EngineError as the engine does."""
        found = self.engine.provenance()
        if atoms is None:
            return found
        return {**found, **self.engine.of_structure(getattr(self.engine, "options", None), atoms)}

    def fresh(self) -> Potential:
        """Itself: what an engine keeps of a structure is in `following`."""
        return self


class _Following:
    """One structure after the other; a new start of the engine where more than positions have changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._prepared: Prepared | None = None
        self._system: Atoms | None = None

    def __call__(self, atoms: Atoms) -> Evaluation:
        if self._prepared is None or self._system is None or not _same_system(self._system, atoms):
            self._prepared, self._system = None, None
            self._prepared = self._engine.prepare(atoms.copy())
            self._system = atoms.copy()
        return _evaluation(self._prepared.single_point(atoms.positions.copy()))


def _same_system(one: Atoms, other: Atoms) -> bool:
    """Whether two structures differ in their positions alone."""
    return (
        np.array_equal(one.numbers, other.numbers)
        and np.array_equal(one.cell.array, other.cell.array)
        and np.array_equal(one.pbc, other.pbc)
        and np.array_equal(one.get_initial_charges(), other.get_initial_charges())
        and np.array_equal(one.get_initial_magnetic_moments(), other.get_initial_magnetic_moments())
        and all(one.info.get(key) == other.info.get(key) for key in ELECTRON_INFO)
    )


def _evaluation(point: SinglePoint) -> Evaluation:
    stress = None if point.stress is None else voigt_6_to_full_3x3_stress(point.stress)
    return Evaluation(point.energy, np.asarray(point.forces, dtype=float), stress, dipole=point.dipole)
