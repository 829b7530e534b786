"""HINT's architectures in MACE's place: what `mace_run_train --model NAME` and MACE's files need of each.

Keyed by the names of `hint_plugin.models.registry`. Nothing is imported before it is used: MACE's command
line comes before its models.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hint_plugin.models.registry import architecture_of


@dataclass(frozen=True)
class InPlaceOfMace:
    """One architecture.

    Attributes:
        options: module with ``add_arguments(parser)`` and ``check_model_options(args)``; cheap to import.
        module: module with MACE's functions for it, ``configure_model`` and ``parameter_options``, and
            ``in_place(model)`` and ``edges(model)``. Pickles name its classes: it stays where it is.
    """

    options: str
    module: str

    def option(self, name: str) -> Callable[..., Any]:
        """A function of `options`."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.options), name)
        return found

    def function(self, name: str) -> Callable[..., Any]:
        """A function of `module`."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), name)
        return found


#: Name -> what it needs.
IN_PLACE_OF_MACE = {
    "AlphaNet": InPlaceOfMace(
        options="hint_plugin.mace.alphanet_options", module="hint_plugin.mace.alphanet"
    ),
}


def in_place_of_mace(model: Any) -> InPlaceOfMace | None:
    """The entry of a model's architecture; None for MACE's own models."""
    return IN_PLACE_OF_MACE.get(architecture_of(model) or "")


def trained(name: str, foundation: Any) -> InPlaceOfMace | None:
    """The entry of a training: asked for by ``--model``, or that of the model it goes on from."""
    return IN_PLACE_OF_MACE.get(name) or in_place_of_mace(foundation)
