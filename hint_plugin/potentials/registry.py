"""The engines by name: where each is, what it is, and how one is made from options.

Nothing is imported before it is needed. An engine's module may be imported without the package that does its
work; that package is asked for when an engine is made. Other packages bring engines by the entry point group
`hint_plugin.engines`; the class says what it is in its attribute `summary`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from hint_plugin import plugins
from hint_plugin.errors import OptionsError
from hint_plugin.potentials.engine import Engine, HessianMode
from hint_plugin.settings import OptionInfo, describe, parse_options


@dataclass(frozen=True)
class EngineEntry:
    """One engine.

    Attributes:
        target: "module:class". The class has `Options`, a dataclass, `check(options)`, and takes options.
        summary: method, program and what Hessians come from, for `--list-engines`.
    """

    target: str
    summary: str


_ENGINES = "hint_plugin.potentials.engines"
ENGINES = {
    "gfn2-xtb": EngineEntry(f"{_ENGINES}.xtb:GFN2", "GFN2-xTB by tblite or xtb-python; differences"),
    "gfn1-xtb": EngineEntry(f"{_ENGINES}.xtb:GFN1", "GFN1-xTB by tblite or xtb-python; differences"),
    "pyscf": EngineEntry(f"{_ENGINES}.pyscf:PySCF", "DFT or HF of molecules by PySCF; analytic Hessians"),
    "qe": EngineEntry(
        f"{_ENGINES}.qe:QuantumEspresso", "plane-wave DFT by pw.x; differences, or ph.x beside"
    ),
    "calculator": EngineEntry(f"{_ENGINES}.ase_calculator:AseCalculator", "any ASE calculator; differences"),
    "model": EngineEntry(
        f"{_ENGINES}.trained_potential:Model",
        "a trained potential as teacher; exact Hessians and products",
    ),
}


def make_engine(name: str, **options: Any) -> Engine:
    """The engine called `name`, imported when it is needed.

    Raises:
        OptionsError: no such engine, or an option that it does not have or understand.
        MissingDependencyError: its package or program is not installed.
    """
    return _class(name)(check_engine(name, options))


def check_engine(name: str, options: Mapping[str, Any]) -> Any:
    """Whether `make_engine` would succeed, without loading what does the work; returns the parsed options.

    Raises as `make_engine` does.
    """
    kind = _class(name)
    for option, reason in getattr(kind, "refused", {}).items():
        if option in options:
            raise OptionsError(f"engine {name}: {option} is {options[option]}, but {reason}")
    parsed = parse_options(kind.Options, options, f"engine {name}")
    kind.check(parsed)
    return parsed


def settings_of(name: str, options: Mapping[str, Any], hessian: HessianMode) -> dict[str, Any]:
    """What labels by an engine will tell about how they were made, without loading what does the work.

    See `Engine.settings`. Raises as `make_engine` does.
    """
    found: dict[str, Any] = _class(name).settings(check_engine(name, options), hessian)
    return found


def of_structure(name: str, options: Mapping[str, Any]) -> Callable[[Atoms], dict[str, Any]]:
    """Structure -> what its labels will tell about it; see `Engine.of_structure`. Raises as `make_engine`."""
    kind, parsed = _class(name), check_engine(name, options)
    return lambda atoms: dict(kind.of_structure(parsed, atoms))


def remark_of(name: str, options: Mapping[str, Any]) -> Callable[[Atoms], str]:
    """Structure -> what an engine has to say of it before the work; "" where that is nothing.

    Raises as `make_engine`.
    """
    kind, parsed = _class(name), check_engine(name, options)
    remark = getattr(kind, "remark", None)
    return (lambda atoms: "") if remark is None else (lambda atoms: str(remark(parsed, atoms)))


def closing_note(name: str, options: Mapping[str, Any]) -> str | None:
    """What the engine has to say at the end of a run, for instance where it left files."""
    kind = _class(name)
    note = getattr(kind, "closing_note", None)
    return note(parse_options(kind.Options, options, f"engine {name}")) if note else None


def engine_names() -> list[str]:
    """HINT's own engines, then those of other packages."""
    return [*ENGINES, *(name for name in plugins.entry_points(plugins.ENGINES) if name not in ENGINES)]


def list_engines() -> dict[str, tuple[str, list[OptionInfo]]]:
    """{name: (summary, options)}; imports no quantum chemistry."""
    return {name: (_summary(name), describe(_class(name).Options)) for name in engine_names()}


def _summary(name: str) -> str:
    return ENGINES[name].summary if name in ENGINES else str(getattr(_class(name), "summary", "of a plug-in"))


def _class(name: str) -> Any:
    if name in ENGINES:
        return _import(ENGINES[name].target)
    point = plugins.entry_points(plugins.ENGINES).get(name)
    if point is None:
        raise OptionsError(f"no engine '{name}'; there is {', '.join(engine_names())}")
    return plugins.load(point)


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
