"""Label structures with energies, forces and Hessians: engines, differences, and the runner.

Importing this loads no quantum chemistry.
"""

from hint_plugin.labelling.label_settings import LabelSettings
from hint_plugin.labelling.runner import LabelSummary, run_labelling
from hint_plugin.potentials.engine import Engine, Labels, Prepared, SinglePoint, make_labels
from hint_plugin.potentials.engine_calculator import EngineCalculator
from hint_plugin.potentials.registry import ENGINES, EngineEntry, list_engines, make_engine

__all__ = [
    "ENGINES",
    "Engine",
    "EngineCalculator",
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
