"""Packages of the extras: imported where they are used, by functions that say how to install them.

A package is missing where Python does not find that very package, and nowhere else. What goes wrong inside of
one that is there, or inside of HINT, is another error, and comes through as it is: `pip install` would not
mend it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from hint_plugin.errors import MissingDependencyError


def is_missing(error: BaseException, *packages: str) -> bool:
    """Whether an error of an import says that one of the packages is not installed.

    Python names what it did not find in `ModuleNotFoundError.name`. A package that is there and lacks a
    module, or something that it imports itself, is not missing.
    """
    return isinstance(error, ModuleNotFoundError) and error.name in packages


@contextmanager
def wanted(*packages: str, message: str) -> Iterator[None]:
    """Around the import of packages that may not be installed.

    Args:
        packages: their names, without modules inside of them.
        message: what is said where one of them is not there; its name goes where `{package}` is.

    Raises:
        MissingDependencyError: one of them is not installed. All other errors pass as they are.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if not is_missing(error, *packages):
            raise
        raise MissingDependencyError(message.replace("{package}", str(error.name))) from error


def load(module: str, extra: str, why: str) -> Any:
    """Import a module.

    Args:
        extra: of HINT, that brings it.
        why: who needs what: the start of the message.

    Raises:
        MissingDependencyError: its package is not installed. All other errors pass as they are.
    """
    package = module.partition(".")[0]
    with wanted(
        package, message=f"{why}: pip install '.[{extra}]' in HINT's folder (No module named '{package}')"
    ):
        return importlib.import_module(module)


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
