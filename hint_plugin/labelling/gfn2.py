"""GFN2-xTB by tblite's own Python interface.

GFN2-xTB: C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019).

Three choices make labels clean and quick. `accuracy=1e-3` tightens the SCF until the asymmetry of a Hessian
(2e-4 eV/A^2 at h = 0.001 A) is mostly the truncation of the differences; 1e-4 takes a tenth longer and leaves
the largest error as it is, 1e-2 makes it five times larger. Every displaced point starts from the density of
the point before it: about half the time, and the same Hessian to 3e-5 eV/A^2. And the last atom is not moved:
what it would tell follows from the others (`differences.hessian`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

from hint_plugin.errors import EngineError, MissingDependencyError
from hint_plugin.labelling.engine import SinglePoint

try:
    from tblite.exceptions import TBLiteRuntimeError, TBLiteTypeError, TBLiteValueError
    from tblite.interface import Calculator, Result
except ImportError as error:
    raise MissingDependencyError("GFN2-xTB needs tblite: pip install 'hint-mlip[label]'") from error

_TBLITE_ERRORS = (TBLiteRuntimeError, TBLiteTypeError, TBLiteValueError)
try:
    _OPENMP: ctypes.CDLL | None = ctypes.CDLL("libgomp.so.1")  # the one that tblite has loaded, on Linux
except OSError:
    _OPENMP = None

LARGEST_NUMBER = 86  # GFN2-xTB is parametrised up to radon


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep tblite to one thread, unless OMP_NUM_THREADS says otherwise.

    OpenMP takes all cores by default. On molecules of ten atoms two threads are 25 times slower than one, and
    200 times on a busy machine. The number is set for the time of a call: the OpenMP library may be shared
    with torch.
    """
    if _OPENMP is None or "OMP_NUM_THREADS" in os.environ:
        yield
        return
    before = _OPENMP.omp_get_max_threads()
    _OPENMP.omp_set_num_threads(1)
    try:
        yield
    finally:
        _OPENMP.omp_set_num_threads(before)


class GFN2xTB:
    """The engine `gfn2-xtb`.

    Charge and multiplicity come from the structure (`info["charge"]`, `info["multiplicity"]` or
    `info["spin"]`, both 2S + 1 as in MACE), else from the arguments. Structures are molecules or 3D-periodic;
    a periodic one is sampled at the Gamma point only, as tblite does.

    Args:
        charge: total charge in e, for structures that do not say.
        multiplicity: 2S + 1 for structures that do not say; None is the lowest the number of electrons
            allows.
        accuracy: tblite's SCF accuracy; 1 is its default, smaller is tighter.
        step: length of a displacement for differences, A.
        max_iterations: of the SCF.
    """

    name = "gfn2-xtb"
    method = "GFN2-xTB"
    translation_invariant = True  # no grid

    def __init__(
        self,
        charge: int = 0,
        multiplicity: int | None = None,
        accuracy: float = 1e-3,
        step: float = 1e-3,
        max_iterations: int = 250,
    ) -> None:
        self.charge, self.multiplicity = charge, multiplicity
        self.accuracy, self.step, self.max_iterations = accuracy, step, max_iterations

    def provenance(self) -> dict[str, Any]:
        """Names, version, accuracy and step."""
        return {
            "engine": self.name,
            "method": self.method,
            "engine_version": f"tblite {version('tblite')}",
            "accuracy": self.accuracy,
            "step": self.step,
        }

    def prepare(self, atoms: Atoms) -> PreparedGFN2:
        """Set tblite up for one structure.

        Raises:
            EngineError: elements beyond radon, partial periodicity, or an impossible charge or multiplicity.
        """
        if len(atoms) == 0:
            raise EngineError("a structure without atoms")
        if not np.isfinite(atoms.positions).all():
            raise EngineError("a position is NaN or infinite")
        if atoms.numbers.max() > LARGEST_NUMBER or atoms.numbers.min() < 1:
            raise EngineError(
                f"GFN2-xTB knows H to Rn; got atomic numbers {sorted(set(atoms.numbers.tolist()))}"
            )
        if atoms.pbc.any() and not atoms.pbc.all():
            raise EngineError(
                f"tblite treats molecules and 3D-periodic cells; got pbc = {atoms.pbc.tolist()}. For a slab "
                "or a wire set pbc to all true and leave vacuum, or to all false"
            )
        charge, multiplicity = self._electrons(atoms)
        return PreparedGFN2(self, atoms, charge, multiplicity)

    def _electrons(self, atoms: Atoms) -> tuple[int, int]:
        info = atoms.info
        charge = _whole(info.get("charge", self.charge), "charge")
        default = info.get("spin", self.multiplicity)
        wanted = info.get("multiplicity", default)
        electrons = int(atoms.numbers.sum()) - charge
        if electrons < 1:
            raise EngineError(f"charge {charge} leaves {electrons} electrons")
        multiplicity = 1 + electrons % 2 if wanted is None else _whole(wanted, "multiplicity (2S + 1)")
        if multiplicity < 1 or multiplicity > electrons + 1 or (electrons + multiplicity) % 2 == 0:
            raise EngineError(
                f"{electrons} electrons (charge {charge}) cannot have multiplicity {multiplicity}; wanted an "
                f"{'even' if electrons % 2 else 'odd'} number. Set info 'charge' and 'spin' (2S + 1)"
            )
        return charge, multiplicity


class PreparedGFN2:
    """GFN2-xTB for one structure. Successive calls start from the density of the call before."""

    def __init__(self, engine: GFN2xTB, atoms: Atoms, charge: int, multiplicity: int) -> None:
        self._atoms = atoms
        self._cell = atoms.cell.array / Bohr if atoms.pbc.all() else None
        self.provenance: dict[str, Any] = {"charge": charge, "multiplicity": multiplicity}
        if self._cell is not None:
            self.provenance["kpoints"] = "gamma"
        try:
            self._calculator = Calculator(
                engine.method,
                atoms.numbers,
                atoms.positions / Bohr,
                charge=float(charge),
                uhf=multiplicity - 1,
                lattice=self._cell,
                periodic=None if self._cell is None else np.array([True, True, True]),
            )
            self._calculator.set("verbosity", 0)
            self._calculator.set("accuracy", engine.accuracy)
            self._calculator.set("max-iter", engine.max_iterations)
        except _TBLITE_ERRORS as error:
            raise EngineError(f"tblite: {error}") from error
        self._last: Result | None = None

    def single_point(self) -> SinglePoint:
        """Energy, forces, and stress = virial / volume of a periodic cell.

        Raises:
            EngineError: the SCF did not converge, or atoms are on top of each other.
        """
        result = self._solve(self._atoms.positions)
        forces = -result.get("gradient") * (Hartree / Bohr)
        stress = None
        if self._cell is not None:
            tensor = result.get("virial") * Hartree / self._atoms.get_volume()
            stress = (0.5 * (tensor + tensor.T))[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        return SinglePoint(float(result.get("energy")) * Hartree, forces, stress)

    def forces_at(self, positions: NDArray) -> NDArray:
        """Forces [N, 3] in eV/A. Raises EngineError as `single_point` does."""
        return -self._solve(positions).get("gradient") * (Hartree / Bohr)

    def analytic_hessian(self) -> None:
        """tblite has none."""
        return

    def _solve(self, positions: NDArray) -> Result:
        try:
            self._calculator.update(positions / Bohr, self._cell)
            with _one_thread():
                self._last = self._converge()
        except _TBLITE_ERRORS as error:
            raise EngineError(f"tblite: {error}") from error
        return self._last

    def _converge(self) -> Result:
        try:
            return self._calculator.singlepoint(self._last)
        except TBLiteRuntimeError:
            if self._last is None:
                raise
            self._last = None  # it was updated in place, and is spoilt
            return self._calculator.singlepoint(None)  # once more, from the atomic guess


def _whole(value: Any, what: str) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if number != round(number) if np.isfinite(number) else True:
        raise EngineError(f"{what} is {value!r}; wanted a whole number")
    return int(number)
