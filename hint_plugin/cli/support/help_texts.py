"""What `--help` of a verb looks like: docstrings as paragraphs, narrow columns, examples at the end."""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from typing import Any

from hint_plugin.cli.support.examples import EXAMPLES


def dress(command: Any, path: str) -> Any:
    """The command with its help put right; the commands of a group as well.

    Args:
        command: of Typer; changed in place.
        path: how it is called after `hint`: "label", "sample wld".
    """
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    if lines := EXAMPLES.get(path):
        command.epilog = "\n".join([f"Example{'s' * (len(lines) > 1)}:", *lines])
    for parameter in command.params:
        if parameter.param_type_name == "option":
            _narrow(parameter)
            _default_beside_help(parameter)
    for name, member in getattr(command, "commands", {}).items():
        dress(member, f"{path} {name}")
    return command


def _narrow(parameter: Any) -> None:
    """`N [x>=1]` in place of `<int range> [x>=1]`: what is saved goes to the help beside it."""
    if parameter.metavar is not None:
        return
    if parameter.nargs > 1:
        parameter.metavar = " ".join("N" * parameter.nargs)
    elif _limit(parameter, "min") or _limit(parameter, "max"):
        parameter.metavar = "N"


def _limit(parameter: Any, name: str) -> bool:
    """Whether there is one, on the parameter or on its type, as the versions of Typer have it."""
    where = (parameter, getattr(parameter, "type", None))
    return any(getattr(thing, name, None) is not None for thing in where)


def _default_beside_help(parameter: Any) -> None:
    """As part of the sentence: Typer gives it a line of its own where it does not fit into the first."""
    value = parameter.default
    if parameter.show_default is not True or not parameter.help or isinstance(value, bool):
        return
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    if isinstance(value, (int, float, str, Path)):
        parameter.help += rf" \[default: {value}]"
        parameter.show_default = False
