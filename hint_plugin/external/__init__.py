"""HINT as the engine of other programs: Gaussian, ORCA, geomeTRIC, pysisyphus.

A program calls `hint external` for each point. The call reads and writes the program's files and asks a
resident server, which has the potential loaded; so it imports neither torch nor ASE, and nothing in this
module does. The functions are in `hint_plugin.external.run`.
"""

from typing import Any

__all__ = ["ExternalCalculator"]


def __getattr__(name: str) -> Any:
    """The calculator, when it is asked for: it imports torch and ASE."""
    if name != "ExternalCalculator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hint_plugin.external.calculator import ExternalCalculator

    return ExternalCalculator
