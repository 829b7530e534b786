"""The back end tblite of the xTB engines, by its own Python interface.

`accuracy=1e-3` tightens the SCF until the asymmetry of a Hessian (2e-4 eV/A^2 at h = 0.001 A) is mostly the
truncation of the differences; 1e-4 takes a tenth longer and leaves the largest error as it is, 1e-2 makes it
five times larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree, kB
from numpy.typing import NDArray
from tblite.exceptions import TBLiteRuntimeError, TBLiteTypeError, TBLiteValueError
from tblite.interface import Calculator, Result

from hint_plugin.errors import EngineError
from hint_plugin.potentials.engine import ByDifferences, SinglePoint
from hint_plugin.potentials.engines.openmp import one_thread
from hint_plugin.potentials.engines.xtb import dielectric_constant

if TYPE_CHECKING:
    from hint_plugin.potentials.engines.xtb import XTBOptions

_TBLITE_ERRORS = (TBLiteRuntimeError, TBLiteTypeError, TBLiteValueError)


class PreparedTBLite(ByDifferences):
    """One structure. Successive calls start from the density of the call before."""

    def __init__(self, method: str, options: XTBOptions, atoms: Atoms, about: dict[str, Any]) -> None:
        self._atoms = atoms
        self._cell = atoms.cell.array / Bohr if atoms.pbc.all() else None
        self.provenance = about
        try:
            self._calculator = Calculator(
                method,
                atoms.numbers,
                atoms.positions / Bohr,
                charge=float(about["charge"]),
                uhf=about["multiplicity"] - 1,
                lattice=self._cell,
                periodic=None if self._cell is None else np.array([True, True, True]),
            )
            self._calculator.set("verbosity", 0)
            self._calculator.set("accuracy", options.accuracy)
            self._calculator.set("max-iter", options.max_iterations)
            self._calculator.set("temperature", options.electronic_temperature * kB / Hartree)
            if options.solvent is not None:
                _add_solvent(self._calculator, options)
        except _TBLITE_ERRORS as error:
            raise _refusal(error) from error
        self._last: Result | None = None

    def single_point(self, positions: NDArray | None = None) -> SinglePoint:
        """Energy, forces, dipole of a molecule, and stress = virial / volume of a periodic cell.

        Raises:
            EngineError: the SCF did not converge, or atoms are on top of each other.
        """
        result = self._solve(self._atoms.positions if positions is None else positions)
        forces = -result.get("gradient") * (Hartree / Bohr)
        stress = None
        if self._cell is not None:
            tensor = result.get("virial") * Hartree / self._atoms.get_volume()
            stress = (0.5 * (tensor + tensor.T))[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        dipole = result.get("dipole") * Bohr if self._cell is None else None
        return SinglePoint(float(result.get("energy")) * Hartree, forces, stress, dipole)

    def forces_at(self, positions: NDArray) -> NDArray:
        """Forces [N, 3] in eV/A. Raises EngineError as `single_point` does."""
        return -self._solve(positions).get("gradient") * (Hartree / Bohr)

    def _solve(self, positions: NDArray) -> Result:
        try:
            self._calculator.update(positions / Bohr, self._cell)
            with one_thread():
                self._last = self._converge()
        except _TBLITE_ERRORS as error:
            raise _refusal(error) from error
        return self._last

    def _converge(self) -> Result:
        try:
            return self._calculator.singlepoint(self._last)
        except TBLiteRuntimeError:
            if self._last is None:
                raise
            self._last = None  # it was updated in place, and is spoilt
            return self._calculator.singlepoint(None)  # once more, from the atomic guess


def knows_solvent(method: str, options: XTBOptions) -> bool:
    """Whether tblite has parameters for the solvent, tried on H2."""
    calculator = Calculator(method, np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.4]]))
    calculator.set("verbosity", 0)
    try:
        _add_solvent(calculator, options)
    except _TBLITE_ERRORS:
        return False
    return True


def _add_solvent(calculator: Calculator, options: XTBOptions) -> None:
    """Raises what tblite raises where it has no parameters."""
    assert options.solvent is not None
    if options.solvation != "ddx":
        calculator.add(f"{options.solvation}-solvation", options.solvent)
        return
    constant = dielectric_constant(options.solvent)
    calculator.add("ddX-solvation", options.solvent if constant is None else constant, "cosmo")


def _refusal(error: Exception) -> EngineError:
    message = str(error)
    kind = "scf" if "converge" in message else "geometry" if "close" in message else "program"
    return EngineError(f"tblite: {message}", kind)
