"""An ASE calculator of anybody as a potential: what it offers is asked once, the rest are differences."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import compare_atoms
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hint_plugin.errors import EngineError
from hint_plugin.potentials import differences
from hint_plugin.potentials.hessian_shapes import as_matrix
from hint_plugin.potentials.potential import BasePotential, Evaluation, Potential, as_probes
from hint_plugin.potentials.user_code import code_of, files_in

STEP = 1e-3
"""Length of a displacement for differences, A."""


class CalculatorPotential(BasePotential):
    """A calculator with or without `get_hessian(atoms)`, `get_hvp(atoms, v)`, `get_hessian_pattern(atoms)`.

    Hessians may have the shapes of `hessian_shapes`. Without them Hessians and products come from central
    differences of forces. Errors of the calculator pass through as they are.
    """

    def __init__(self, calculator: Any, step: float = STEP) -> None:
        self.calculator, self.step = calculator, step
        self.method = type(calculator).__name__
        self._own_hessian = getattr(calculator, "get_hessian", None)
        self._own_products = getattr(calculator, "get_hvp", None)
        self._own_pattern = getattr(calculator, "get_hessian_pattern", None)
        self._last: tuple[Atoms, NDArray] | None = None
        self.exact = self._own_hessian is not None or self._own_products is not None
        self.electrons = ("charge", "multiplicity")  # whether they count is the calculator's business

    def evaluate(self, frames: Sequence[Atoms]) -> list[Evaluation]:
        """See `Potential.evaluate`; one after the other."""
        return [self._one(atoms) for atoms in frames]

    def hessian(self, atoms: Atoms) -> NDArray:
        """See `Potential.hessian`."""
        n = 3 * len(atoms)
        if self._own_hessian is not None:
            return self._kept(atoms)
        if self._own_products is not None:
            units = np.eye(n).reshape(n, -1, 3)
            matrix = np.asarray(self._own_products(atoms, units), dtype=float).reshape(n, n)
            return 0.5 * (matrix + matrix.T)
        return differences.hessian(self._forces_of(atoms), atoms.positions, self.step).matrix

    def hvp(self, atoms: Atoms, v: NDArray) -> NDArray:
        """See `Potential.hvp`."""
        if self._own_products is not None:
            return np.asarray(self._own_products(atoms, v), dtype=float).reshape(np.shape(v))
        if self._own_hessian is not None:
            return super().hvp(atoms, v)
        found = differences.hvp(self._forces_of(atoms), atoms.positions, as_probes(atoms, v), self.step)
        return np.asarray(found, dtype=float).reshape(np.shape(v))

    def products_at(self, atoms: Atoms) -> Callable[[NDArray], NDArray]:
        """See `BasePotential.products_at`."""
        return lambda v: self.hvp(atoms, v)

    def hessian_pattern(self, atoms: Atoms) -> csr_matrix | None:
        """See `Potential.hessian_pattern`; of the calculator, where it knows."""
        return None if self._own_pattern is None else self._own_pattern(atoms)

    def provenance(self, atoms: Atoms | None = None) -> dict[str, Any]:
        """The class of the calculator, its `parameters` where it has them, and hashes of the user's own code
        and files (`user_code`)."""
        found = {"engine": "calculator", "method": f"{type(self.calculator).__module__}:{self.method}"}
        parameters = dict(getattr(self.calculator, "parameters", None) or {})
        told = {
            "parameters": ", ".join(f"{key}={_in_short(value)}" for key, value in sorted(parameters.items())),
            "code": code_of(type(self.calculator)),
            "files": files_in(parameters),
        }
        return found | {name: value for name, value in told.items() if value}

    def _kept(self, atoms: Atoms) -> NDArray:
        """The calculator's Hessian, once for each structure: products of one structure come in blocks."""
        if self._last is None or compare_atoms(self._last[0], atoms):
            self._last = (atoms.copy(), as_matrix(self.calculator.get_hessian(atoms), len(atoms)))
        return self._last[1]

    def _one(self, atoms: Atoms) -> Evaluation:
        frame = atoms.copy()
        frame.set_constraint()  # it would hide forces, and some kinds add to energies
        frame.calc = self.calculator
        known = getattr(self.calculator, "implemented_properties", ())
        stress = None
        if frame.pbc.all() and "stress" in known:
            stress = voigt_6_to_full_3x3_stress(frame.get_stress())
        forces = np.array(frame.get_forces(), dtype=float)
        return Evaluation(float(frame.get_potential_energy()), forces, stress)

    def _forces_of(self, atoms: Atoms) -> Any:
        frame = atoms.copy()
        frame.set_constraint()

        def forces(positions: NDArray) -> NDArray:
            frame.positions, frame.calc = positions, self.calculator
            found = np.array(frame.get_forces(), dtype=float)
            if not np.isfinite(found).all():
                raise EngineError(f"{self.method} returns forces that are NaN or infinite", "program")
            return found

        return forces


def _in_short(value: Any) -> str:
    """A value of a parameter; a long one by its hash."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    text = repr(value)
    return text if len(text) <= 100 else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def as_potential(calculator: Any) -> Potential:
    """The potential behind an ASE calculator: that of a `HintCalculator`, else a `CalculatorPotential`."""
    own = getattr(calculator, "potential", None)
    return own if isinstance(own, Potential) else CalculatorPotential(calculator)
