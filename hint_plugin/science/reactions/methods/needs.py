"""Packages that a method needs."""

from __future__ import annotations

from importlib.util import find_spec

from hint_plugin.errors import MissingDependencyError


def need(extra: str, *modules: str) -> None:
    """Raises MissingDependencyError, naming the extra, if one of the modules is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingDependencyError(
            f"this method needs {', '.join(missing)}: pip install 'hint-mlip[{extra}]'"
        )
