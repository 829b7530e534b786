"""Options that verbs of `hint dataset` share, as functions take them."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hint_plugin.data.sets.patterns import expand
from hint_plugin.data.stores.hdf5 import SUFFIXES
from hint_plugin.errors import OptionsError

Inputs = str | Path | Sequence[str | Path]
Report = Callable[[str, int], Any]


def silent(what: str, done: int) -> None:
    """Tells nobody."""


def several(inputs: Inputs) -> list[Path]:
    """One or several files, patterns as they are."""
    return [Path(name) for name in ([inputs] if isinstance(inputs, str | Path) else inputs)]


def sources(inputs: Inputs, output: Path) -> list[Path]:
    """The inputs, patterns expanded.

    Raises:
        DataError: a pattern matches nothing, or a file is not there.
        OptionsError: a pattern has the output among its files.
    """
    given = several(inputs)
    found = expand(given)
    if output not in given and output.exists() and any(path.samefile(output) for path in found):
        raise OptionsError(f"{output} is output, and one of the files that a pattern matches. Name it apart")
    return found


def refuse(output: Path, overwrite: bool) -> None:
    """Raise OptionsError for an output that is there, unless it may be replaced."""
    if output.exists() and not overwrite:
        raise OptionsError(f"{output} exists. Choose another name, or replace it with --overwrite")


def store_options(
    output: Path, hessian_dtype: str | None, compression: str | None, shards: bool = False
) -> dict[str, Any]:
    """Of `FrameStore.create`, those that are given. Raises OptionsError if `output` is no store."""
    options: dict[str, Any] = {}
    if hessian_dtype is not None:
        options["hessian_dtype"] = hessian_dtype
    if compression is not None:
        options["compression"] = None if compression == "none" else compression
    if options and not shards and output.suffix.lower() not in SUFFIXES:
        raise OptionsError(f"{output}: --hessian-dtype and --compression are of stores, .h5. Leave them out")
    return options


def at_least_one(**numbers: int | None) -> None:
    """Raise OptionsError for a number below 1."""
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise OptionsError(f"{name.replace('_', '-')} {number}; wanted at least 1")


def pairs(options: Mapping[str, Any] | Sequence[str]) -> dict[str, Any]:
    """["split=test", "full=true"] -> values as YAML has them, as far as Python's literals go.

    A mapping stays as it is. Raises OptionsError for words that are no pairs.
    """
    if isinstance(options, Mapping):
        return dict(options)
    found: dict[str, Any] = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise OptionsError(f"--option {text}: wanted KEY=VALUE")
        found[name] = {"true": True, "false": False}.get(value.lower(), value)
        with contextlib.suppress(ValueError, SyntaxError):
            found[name] = ast.literal_eval(value)
    return found
