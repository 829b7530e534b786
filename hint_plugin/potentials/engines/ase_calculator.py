"""Any ASE calculator by its import path; Hessians by differences, or its own where it has `get_hessian`."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculatorError, PropertyNotImplementedError
from numpy.typing import NDArray

from hint_plugin.data.structures.electrons import known_electrons, lowest_multiplicity
from hint_plugin.errors import DataError, EngineError, HintError, OptionsError
from hint_plugin.optional import wanted
from hint_plugin.potentials.engine import ByDifferences, HessianMode, SinglePoint
from hint_plugin.potentials.hessian_shapes import as_matrix
from hint_plugin.potentials.structure_checks import check_structure
from hint_plugin.potentials.user_code import code_of, files_in
from hint_plugin.settings import option

_CHARGE_ARGUMENT = re.compile(r"charge", re.IGNORECASE)
_SPIN_ARGUMENT = re.compile(r"spin|mult|magmom|uhf|unpaired", re.IGNORECASE)
"""Names of arguments that tell a calculator of its electrons."""
SCRATCH = "{scratch}"


@dataclass(frozen=True, kw_only=True)
class CalculatorOptions:
    """Options of `calculator`."""

    calculator: str = option("import path module:factory, for instance ase.calculators.emt:EMT")
    arguments: dict[str, Any] = option("of the factory; {scratch} in a word is a folder of this process", {})
    step: float = option("length of a displacement for differences, A", 1e-3)
    translation_invariant: bool = option("no grid fixed in space: the last atom need not be moved", False)
    electrons: bool = option("the calculator takes charge and spin from a structure's info itself", False)
    analytic: bool = option("take the calculator's get_hessian, if it has one, for full labels", True)
    cell_check: bool = option("hint label sees once whether the calculator obeys a structure's pbc", True)


class AseCalculator:
    """The engine `calculator`. It imports and runs the code that the user names, and nothing else.

    Charge and spin are the calculator's business: give them in `arguments`. Frames arrive with their `info`,
    arrays, initial charges and magnetic moments. A frame that states a charge or spin of its own is refused,
    unless `arguments` name it, or `electrons` says that the calculator reads it from `info`.
    """

    Options = CalculatorOptions
    name = "calculator"

    def __init__(self, options: CalculatorOptions) -> None:
        self.options, self.step = options, options.step
        self.translation_invariant = options.translation_invariant
        self.method = options.calculator
        factory = _factory(options.calculator)
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        arguments = self._with_scratch(options.arguments)
        try:
            self._calculator = factory(**arguments)
        except TypeError as error:
            accepted = inspect.signature(factory)
            raise OptionsError(f"{options.calculator}{accepted} cannot be made: {error}") from error
        except Exception as error:  # the code is somebody else's, and may raise anything
            raise EngineError(f"{options.calculator} cannot be made: {_words(error)}", "program") from error

    @classmethod
    def check(cls, options: CalculatorOptions) -> None:
        """Raises OptionsError or MissingDependencyError if the factory is not there."""
        _factory(options.calculator)

    @classmethod
    def settings(cls, options: CalculatorOptions, hessian: HessianMode = "none") -> dict[str, Any]:
        """The import path, its package's version, the arguments, the step; a `get_hessian` shows later.

        Code that is no installed package, and files that arguments name, count by their hash.
        """
        package = options.calculator.partition(":")[0].partition(".")[0]
        version = getattr(importlib.import_module(package), "__version__", "unknown")
        arguments = ", ".join(f"{key}={value}" for key, value in sorted(options.arguments.items()))
        found = {
            "engine": cls.name,
            "method": f"{options.calculator}({arguments})",
            "engine_version": f"{package} {version}",
            "step": options.step,
        }
        factory = _factory(options.calculator)
        own = importlib.import_module(options.calculator.partition(":")[0])
        hashes = {"code": code_of(own, factory), "files": files_in(options.arguments)}
        found |= {name: value for name, value in hashes.items() if value is not None}
        return found | ({"derivatives": None} if options.analytic and hessian == "full" else {})

    @classmethod
    def of_structure(cls, options: CalculatorOptions, atoms: Atoms) -> dict[str, Any]:
        """Nothing: charge and spin are the calculator's business.

        Raises:
            EngineError: the structure states electrons that nothing tells the calculator.
        """
        _refuse_untold_electrons(options, atoms)
        return {}

    def provenance(self) -> dict[str, Any]:
        """The settings."""
        return self.settings(self.options)

    def prepare(self, atoms: Atoms) -> PreparedCalculator:
        """One structure. Raises EngineError for no atoms, positions that are not finite, or electrons that
        nothing tells the calculator."""
        check_structure(atoms)
        _refuse_untold_electrons(self.options, atoms)
        if hasattr(self._calculator, "reset"):
            self._calculator.reset()
        return PreparedCalculator(self._calculator, atoms, self.options.analytic)

    def _with_scratch(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._with_scratch(item) for key, item in value.items()}
        if isinstance(value, str) and SCRATCH in value:
            if self._scratch is None:
                self._scratch = tempfile.TemporaryDirectory(prefix="hint-calculator-")
            return value.replace(SCRATCH, self._scratch.name)
        return value


class PreparedCalculator(ByDifferences):
    """One structure. Whether the calculator starts from what it had is its own choice."""

    def __init__(self, calculator: Any, atoms: Atoms, analytic: bool) -> None:
        self._atoms = atoms.copy()
        self._atoms.set_constraint()
        self._atoms.calc = calculator
        self._analytic = analytic
        self.provenance: dict[str, Any] = {}

    def single_point(self, positions: NDArray | None = None) -> SinglePoint:
        """Energy (the one whose gradient the forces are, where the calculator tells them apart), forces,
        stress, dipole. Raises EngineError."""
        if positions is not None:
            self._atoms.positions = positions
        calculator = self._atoms.calc
        known = getattr(calculator, "implemented_properties", ())
        forces = self._call(self._atoms.get_forces)
        energy = self._call(lambda: self._atoms.get_potential_energy(force_consistent="free_energy" in known))
        stress = dipole = None
        if self._atoms.pbc.all() and "stress" in known:
            stress = self._if_there(self._atoms.get_stress)
        if "dipole" in known and not self._atoms.pbc.any():
            dipole = self._if_there(self._atoms.get_dipole_moment)
        return SinglePoint(float(energy), np.array(forces, dtype=float), stress, dipole)

    def forces_at(self, positions: NDArray) -> NDArray:
        """Forces [N, 3] in eV/A. Raises EngineError."""
        self._atoms.positions = positions
        return np.array(self._call(self._atoms.get_forces), dtype=float)

    def analytic_hessian(self) -> NDArray | None:
        """[3N, 3N] of the calculator's `get_hessian(atoms)`, in any of the shapes of `hessian_shapes`; None
        if it has none."""
        own = getattr(self._atoms.calc, "get_hessian", None)
        if own is None or not self._analytic:
            return None
        found = self._call(lambda: own(self._atoms))
        try:
            return as_matrix(found, len(self._atoms))
        except DataError as error:
            raise EngineError(f"get_hessian of the calculator returns {error}", "program") from error

    def _call(self, function: Callable[[], Any]) -> Any:
        try:
            found = function()
        except HintError:
            raise
        except (PropertyNotImplementedError, NotImplementedError) as error:
            raise EngineError(
                f"the calculator cannot treat this structure ({_words(error)})", "program"
            ) from error
        except CalculatorError as error:
            kind = "scf" if type(error).__name__ in ("SCFError", "ConvergenceError") else "program"
            raise EngineError(f"the calculator failed ({_words(error)})", kind) from error
        except (
            Exception
        ) as error:  # the code is somebody else's, and may raise anything; it is told, never hidden
            raise EngineError(f"the calculator failed ({_words(error)})", "program") from error
        if not np.isfinite(found).all():
            raise EngineError("the calculator returns NaN or infinity", "program")
        return found

    def _if_there(self, get: Callable[[], Any]) -> NDArray | None:
        """A property that a calculator may have announced and not have for this structure."""
        try:
            return np.array(self._call(get), dtype=float)
        except EngineError as error:
            if isinstance(error.__cause__, (PropertyNotImplementedError, NotImplementedError)):
                return None
            raise


def _refuse_untold_electrons(options: CalculatorOptions, atoms: Atoms) -> None:
    """A calculator that is not told of a charge would give the energy of the neutral."""
    if options.electrons:
        return
    try:
        charge, multiplicity = known_electrons(atoms.info)
        lowest = lowest_multiplicity(atoms, charge or 0)
        told = [(charge, 0, "charge", _CHARGE_ARGUMENT)]
        if not atoms.pbc.any():  # moments of a cell are no multiplicity
            told.append((multiplicity, lowest, "multiplicity", _SPIN_ARGUMENT))
        for value, usual, what, name in told:
            if value not in (None, usual) and not any(name.search(word) for word in _words_of(options)):
                argument = f"-e 'arguments={{\"charge\": {charge or 0}}}'"
                raise EngineError(
                    f"the structure states {what} {value}, and nothing tells {options.calculator}: give its "
                    f"argument, as in {argument}, or -e electrons=true if it reads charge and spin from the "
                    "info of a structure",
                    "electrons",
                )
    except DataError as error:
        raise EngineError(str(error), "electrons") from error


def _words_of(options: CalculatorOptions) -> list[str]:
    """All names and texts in the arguments."""
    return re.findall(r"\w+", json.dumps(options.arguments, default=str))


def _words(error: BaseException) -> str:
    """The name of an exception, its words, and the line of code that raised it."""
    steps = traceback.extract_tb(error.__traceback__)
    place = f", {Path(steps[-1].filename).name}, line {steps[-1].lineno}" if steps else ""
    return f"{type(error).__name__}: {error}{place}"


def _factory(path: str) -> Any:
    module, colon, name = path.partition(":")
    if not colon or not name:
        raise OptionsError(f"calculator '{path}'; wanted module:factory, as in ase.calculators.emt:EMT")
    parents = [module.rsplit(".", depth)[0] for depth in range(module.count(".") + 1)]
    absent = f"calculator '{path}' cannot be imported: No module named '{{package}}'"
    with wanted(*parents, message=absent):
        found = importlib.import_module(module)
    if not hasattr(found, name):
        raise OptionsError(f"the module {module} has no '{name}'")
    return getattr(found, name)
