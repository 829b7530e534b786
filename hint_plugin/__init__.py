"""HINT: Hessian INformed Training for machine-learned interatomic potentials.

Importing the package loads nothing of it: `import torch` imports it in every process.
"""

import sys
from typing import Any

__all__ = ["__version__"]

__version__ = "0.1.0"


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
