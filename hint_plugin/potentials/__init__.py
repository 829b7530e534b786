"""What answers at a geometry, models and engines alike: energies, forces, stresses, Hessians, H v.

`open_potential` makes a `Potential` of a name, a file or a calculator; `HintCalculator` is it for ASE.
Importing this package loads neither torch nor ASE.
"""

from typing import Any

_PLACES = {
    "BasePotential": "potential",
    "CalculatorPotential": "calculator_potential",
    "Evaluation": "potential",
    "HintCalculator": "hint_calculator",
    "Potential": "potential",
    "as_potential": "calculator_potential",
    "open_potential": "opening",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    """The names above, from their modules, when they are asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
