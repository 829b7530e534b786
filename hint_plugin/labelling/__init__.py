"""Label structures with energies, forces and Hessians: engines, differences, and the runner.

Importing this loads neither quantum chemistry nor torch.
"""

from typing import Any

from hint_plugin.labelling.label_settings import LabelSettings
from hint_plugin.labelling.runner import LabelSummary, run_labelling
from hint_plugin.potentials.engine import Engine, Labels, Prepared, SinglePoint, make_labels
from hint_plugin.potentials.registry import ENGINES, EngineEntry, list_engines, make_engine

__all__ = [
    "ENGINES",
    "Engine",
    "EngineCalculator",  # noqa: F822 - made by __getattr__
    "EngineEntry",
    "LabelSettings",
    "LabelSummary",
    "Labels",
    "Prepared",
    "SinglePoint",
    "list_engines",
    "make_engine",
    "make_labels",
    "run_labelling",
]


def __getattr__(name: str) -> Any:
    """`EngineCalculator`, which needs torch, when it is asked for."""
    if name == "EngineCalculator":
        from hint_plugin.potentials.hint_calculator import EngineCalculator

        return EngineCalculator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
