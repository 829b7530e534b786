"""Packages of the extras: imported where they are used, by functions that say how to install them."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from hint_plugin.errors import MissingDependencyError


def load(module: str, extra: str, why: str) -> Any:
    """Import a module.

    Args:
        extra: of HINT, that brings it.
        why: who needs what: the start of the message.

    Raises:
        MissingDependencyError: it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(f"{why}: pip install 'hint-mlip[{extra}]' ({error})") from error


def check(why: str, install: str, *modules: str) -> None:
    """Without importing them, which may take long.

    Args:
        why: who needs them.
        install: what to give to pip.

    Raises:
        MissingDependencyError: one of the modules is not installed.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingDependencyError(f"{why} needs {', '.join(missing)}: pip install {install}")
