"""Ways to look for a reaction, by their names."""

from __future__ import annotations

from hint_plugin.errors import OptionsError
from hint_plugin.science.reactions.methods.method import Guess, Method
from hint_plugin.science.reactions.methods.paper import Paper
from hint_plugin.science.reactions.methods.reactbench import ReactBench
from hint_plugin.science.reactions.methods.sella import Sella

METHODS: dict[str, type[Method]] = {method.name: method for method in (Sella, ReactBench, Paper)}


def method_of(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        OptionsError: there is none. MissingDependencyError: what it needs is not installed.
    """
    if name not in METHODS:
        raise OptionsError(f"method '{name}'; wanted one of {', '.join(METHODS)}")
    METHODS[name].check()
    return METHODS[name]


__all__ = ["METHODS", "Guess", "Method", "method_of"]
