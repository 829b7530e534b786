"""The back end xtb (xtb-python) of the xTB engines: the library of the xtb program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree
from numpy.typing import NDArray
from xtb.interface import Calculator, Param, Results, XTBException

from hint_plugin.errors import EngineError
from hint_plugin.potentials.engine import ByDifferences, SinglePoint
from hint_plugin.potentials.engines.openmp import one_thread

if TYPE_CHECKING:
    from hint_plugin.potentials.engines.xtb import XTBOptions

_PARAMETERS = {"GFN1-xTB": Param.GFN1xTB, "GFN2-xTB": Param.GFN2xTB}
_CLOSEST = 0.3  # A; nearer atoms make the library abort the process or return NaN


class PreparedXTBPython(ByDifferences):
    """One molecule. Successive calls start from the density of the call before.

    Periodic cells are left to tblite: through this interface xtb 22.1 has no periodic GFN2-xTB, and for
    GFN1-xTB it returns a virial of zero.
    """

    def __init__(self, method: str, options: XTBOptions, atoms: Atoms, about: dict[str, Any]) -> None:
        self._atoms = atoms
        if atoms.pbc.any():
            raise EngineError("the back end xtb treats molecules; take --backend tblite for cells", "cell")
        if len(atoms) > 1:
            distances = atoms.get_all_distances() + 10 * np.eye(len(atoms))
            if distances.min() < _CLOSEST:
                raise EngineError(f"two atoms are too close: {distances.min():.2g} A apart", "geometry")
        self.provenance = about
        try:
            self._calculator = Calculator(
                _PARAMETERS[method],
                atoms.numbers,
                atoms.positions / Bohr,
                charge=float(about["charge"]),
                uhf=about["multiplicity"] - 1,
            )
            self._calculator.set_verbosity("muted")
            self._calculator.set_accuracy(options.accuracy)
            self._calculator.set_max_iterations(options.max_iterations)
            self._calculator.set_electronic_temperature(options.electronic_temperature)
        except XTBException as error:
            raise _refusal(error) from error
        self._last: Results | None = None

    def single_point(self, positions: NDArray | None = None) -> SinglePoint:
        """Energy, forces and dipole. Raises EngineError."""
        result = self._solve(self._atoms.positions if positions is None else positions)
        dipole = np.array(result.get_dipole()) * Bohr
        return SinglePoint(float(result.get_energy()) * Hartree, _forces(result), dipole=dipole)

    def forces_at(self, positions: NDArray) -> NDArray:
        """Forces [N, 3] in eV/A. Raises EngineError as `single_point` does."""
        return _forces(self._solve(positions))

    def _solve(self, positions: NDArray) -> Results:
        try:
            self._calculator.update(positions / Bohr)
            with one_thread():
                try:
                    self._last = self._calculator.singlepoint(self._last)
                except XTBException:
                    if self._last is None:
                        raise
                    self._last = self._calculator.singlepoint(None)  # once more, from the atomic guess
        except XTBException as error:
            self._last = None
            raise _refusal(error) from error
        if not np.isfinite(self._last.get_energy()):
            self._last = None
            raise EngineError("xtb: the energy is not a number", "scf")
        return self._last


def _forces(result: Results) -> NDArray:
    return -np.array(result.get_gradient()) * (Hartree / Bohr)


def _refusal(error: Exception) -> EngineError:
    message = " ".join(str(error).split())
    kind = "scf" if "converge" in message.lower() or "scf" in message.lower() else "program"
    return EngineError(f"xtb: {message}", kind)
