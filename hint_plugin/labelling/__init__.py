"""Label structures with energies, forces and Hessians: engines, differences, and the runner.

Importing this loads no quantum chemistry.
"""

from hint_plugin.labelling.engine import (
    ENGINES,
    Engine,
    Labels,
    Prepared,
    SinglePoint,
    make_engine,
    make_labels,
)
from hint_plugin.labelling.plan import LabelSettings
from hint_plugin.labelling.runner import LabelSummary, run_labelling

__all__ = [
    "ENGINES",
    "Engine",
    "LabelSettings",
    "LabelSummary",
    "Labels",
    "Prepared",
    "SinglePoint",
    "make_engine",
    "make_labels",
    "run_labelling",
]
