"""HINT: Hessian INformed Training for machine-learned interatomic potentials.

    from hint_plugin import HintCalculator, open_potential, read_frames

Importing the package loads nothing of it: `import torch` imports it in every process.
"""

import sys
from typing import Any

#: Names that come from below when they are asked for (PEP 562).
_PLACES = {
    "HintCalculator": "hint_plugin.potentials",
    "open_potential": "hint_plugin.potentials",
    "read_frames": "hint_plugin.data",
    "write_frames": "hint_plugin.data",
}

__all__ = ["__version__", *_PLACES]

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """The names above, from their places."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """What there is, loaded or not."""
    return sorted([*globals(), *_PLACES])


class _OldPaths:
    """Finds modules by the paths that they had in version 0.1."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        """Of `importlib`; asked for what nobody else has found."""
        if not name.startswith("hint_plugin.") or name == "hint_plugin.old_paths":
            return None
        from hint_plugin.old_paths import find

        return find(name)


sys.meta_path.append(_OldPaths)
