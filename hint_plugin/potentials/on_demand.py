"""The potential that a run is asked to use, opened where it is needed: here, and in each of its processes."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hint_plugin.errors import OptionsError


@dataclass(frozen=True)
class PotentialSpec:
    """A model, or an engine with its options.

    Attributes:
        model: its file.
        engine: one of `hint label --list-engines`.
        options: of the engine, as a mapping or as words `key=value`.
    """

    model: Path | None = None
    engine: str | None = None
    options: Mapping[str, Any] | Sequence[str] | None = None

    @classmethod
    def of(cls, name: str | os.PathLike[str]) -> PotentialSpec:
        """Of the name of an engine, the name of a model that comes with HINT, or the file of a model.

        Raises:
            OptionsError: a single word that is none of them.
        """
        from hint_plugin.potentials.registry import engine_names
        from hint_plugin.pretrained import or_path

        if str(name) in engine_names():
            return cls(engine=str(name))
        return cls(model=or_path(Path(name)))

    def asked(self) -> dict[str, Any]:
        """What the journal of a run says of it, in words of the command; a model counts by content."""
        pairs = self.options or []
        if isinstance(pairs, Mapping):
            pairs = [f"{key}={value}" for key, value in pairs.items()]
        return {"engine": self.engine, "engine-option": list(pairs)}

    def calculator(self, device: str = "cpu", charge: int = 0, spin: int | None = None) -> Any:
        """An ASE calculator with `get_hessian`.

        Raises:
            OptionsError: neither model nor engine, or both, or options that do not fit: a charge or
                multiplicity for a model, which knows neither.
            Whatever `make_engine` raises.
        """
        from hint_plugin.potentials.hint_calculator import EngineCalculator
        from hint_plugin.potentials.registry import make_engine
        from hint_plugin.settings import parse_pairs

        model, engine, options = self.model, self.engine, self.options
        if (model is None) == (engine is None):
            got = "neither" if model is None else "both"
            raise OptionsError(f"got {got} of --model FILE and --engine NAME; wanted one (--engine gfn2-xtb)")
        if model is not None and options:
            raise OptionsError("--engine-option goes with --engine")
        found: dict[str, Any] = dict(options if isinstance(options, Mapping) else parse_pairs(options or []))
        if model is not None:
            engine, found = "model", {"model": str(model), "device": device}
        if charge:  # the engine `model` refuses both
            found.setdefault("charge", charge)
        if spin is not None:
            found.setdefault("multiplicity", spin)
        return EngineCalculator(make_engine(str(engine), **found))


@dataclass
class OnDemand:
    """What computes, as it was given. It travels to worker processes, and each loads its own there.

    Attributes:
        given: a `PotentialSpec`, or a `HintCalculator`.
        device, charge, spin: for `PotentialSpec.calculator`.
    """

    given: Any
    device: str = "cpu"
    charge: int = 0
    spin: int | None = None
    _made: Any = None

    @classmethod
    def of(cls, potential: Any, device: str = "cpu", charge: int = 0, spin: int | None = None) -> OnDemand:
        """Of a `PotentialSpec`, the name of an engine or model, the file of a model, an open potential, or an
        ASE calculator.

        Raises:
            OptionsError: something else, or a name that is not known.
        """
        if potential is None:
            potential = PotentialSpec()
        elif isinstance(potential, str | os.PathLike):
            potential = PotentialSpec.of(potential)
        elif not isinstance(potential, PotentialSpec):
            potential = _opened(potential, device, charge, spin)
        return cls(potential, device, charge, spin)

    @property
    def model(self) -> Path | None:
        """The file of a model, if it is one."""
        if isinstance(self.given, PotentialSpec):
            return self.given.model
        path: Path | None = getattr(getattr(self.given, "potential", None), "path", None)  # a HintCalculator
        return path

    def asked(self) -> dict[str, Any]:
        """See `PotentialSpec.asked`; of a calculator, what it is."""
        if isinstance(self.given, PotentialSpec):
            return self.given.asked()
        return PotentialSpec().asked() | {"calculator": json.dumps(origin(self.given), default=str)}

    def calculator(self) -> Any:
        """One that knows of no molecule before: results do not depend on what was done earlier.

        Raises what `PotentialSpec.calculator` raises, the first time.
        """
        from hint_plugin.potentials.hint_calculator import EngineCalculator

        if not isinstance(self.given, PotentialSpec):
            return self.given
        if self._made is None:
            self._made = self.given.calculator(self.device, self.charge, self.spin)
        return EngineCalculator(self._made.engine) if isinstance(self._made, EngineCalculator) else self._made

    def __getstate__(self) -> dict[str, Any]:
        given = self.given
        if not isinstance(given, PotentialSpec):
            _check_travels(given)
        elif given.model is not None:  # a worker on a cluster may be in another folder
            given = replace(given, model=given.model.absolute())
        return self.__dict__ | {"given": given, "_made": None}


def origin(calculator: Any, atoms: Any = None) -> dict[str, Any]:
    """How what a calculator says, of a structure if it is given, is made."""
    return dict(calculator.provenance(atoms))


def _opened(potential: Any, device: str, charge: int, spin: int | None) -> Any:
    """A potential or an ASE calculator as a `HintCalculator`."""
    from hint_plugin.potentials.hint_calculator import HintCalculator
    from hint_plugin.potentials.opening import open_potential

    if device != "cpu" or charge or spin is not None:
        raise OptionsError(
            "device, charge and spin are for engines and models by their names: give them to the calculator "
            'itself; what thermochemistry asks of a molecule is read from atoms.info["charge"] and ["spin"]'
        )
    return potential if isinstance(potential, HintCalculator) else HintCalculator(open_potential(potential))


def _check_travels(calculator: Any) -> None:
    try:
        pickle.dumps(calculator)
    except Exception as error:  # whatever the class of somebody else raises
        raise OptionsError(
            f"a {type(calculator).__name__} cannot travel to other processes ({error}): give the name of an "
            "engine or the file of a model in its place, or jobs=1 without parsl"
        ) from error
