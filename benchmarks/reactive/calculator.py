"""GFN2-xTB for geometries that are labelled later: what ASE asks of a calculator, and no more.

ASE's own base class compares all that a structure has at each question, which takes a quarter of the time
of a small molecule's forces; here positions are what changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.labelling import make_engine
from hint_plugin.potentials.engine_potential import EnginePotential
from hint_plugin.potentials.potential import Evaluation

FINE, ROUGH = 0.01, 1.0  #: of the SCF: for stationary points; for paths, bands and dynamics


class GFN2:
    """Of one molecule after the other; the density of the point before is the next one's start.

    Args:
        accuracy: of the SCF; 1 is tblite's own, smaller is tighter.
    """

    def __init__(self, accuracy: float = FINE) -> None:
        self._potential = EnginePotential(make_engine("gfn2-xtb", accuracy=accuracy))
        self._evaluate = self._potential.following()
        self._known: tuple[NDArray, NDArray, Evaluation] | None = None

    def get_potential_energy(self, atoms: Atoms, force_consistent: bool = False) -> float:
        """eV. Raises EngineError."""
        return self._at(atoms).energy

    def get_forces(self, atoms: Atoms) -> NDArray:
        """[N, 3], eV/A. Raises EngineError."""
        return np.array(self._at(atoms).forces)

    def get_hessian(self, atoms: Atoms) -> NDArray:
        """[3N, 3N], eV/A^2. Raises EngineError."""
        return self._potential.hessian(atoms)

    def _at(self, atoms: Atoms) -> Any:
        known = self._known
        if known is None or not (
            np.array_equal(known[0], atoms.numbers) and np.array_equal(known[1], atoms.positions)
        ):
            self._known = None
            self._known = atoms.numbers.copy(), atoms.positions.copy(), self._evaluate(atoms)
        assert self._known is not None
        return self._known[2]
