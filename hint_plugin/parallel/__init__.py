"""Work on many structures: in this process, in several, or on a cluster; and kept when it is stopped.

Importing this loads no quantum chemistry.
"""

from hint_plugin.parallel.batch import Batch
from hint_plugin.parallel.kept import journal_of, keep
from hint_plugin.parallel.over_structures import (
    Display,
    Reported,
    Say,
    StructureWork,
    go_over,
    journal_for_now,
    journal_in,
)
from hint_plugin.parallel.spread import Spread

__all__ = [
    "Batch",
    "Display",
    "Reported",
    "Say",
    "Spread",
    "StructureWork",
    "go_over",
    "journal_for_now",
    "journal_in",
    "journal_of",
    "keep",
]
