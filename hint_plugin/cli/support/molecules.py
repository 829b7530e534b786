"""What the verbs for reactions share with those for molecules, loaded when it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hint_plugin.potentials.on_demand import OnDemand, PotentialSpec


class Potential(OnDemand):
    """What computes, by the arguments of `make_calculator`."""

    def __init__(self, options: tuple[Any, ...]) -> None:
        model, engine, pairs, *others = options
        super().__init__(PotentialSpec(model, engine, pairs), *others)


def read_ends(*files: Any) -> list[Any]:
    """See `molecule_inputs.read_ends`."""
    from hint_plugin.science.molecules import molecule_inputs

    return molecule_inputs.read_ends(*files)


def relaxed(atoms: Any, saddle: bool, fmax: float, steps: int, say: Callable[[str], None]) -> Any:
    """See `curvature.relaxed`."""
    from hint_plugin.science.molecules import curvature

    return curvature.relaxed(atoms, saddle, fmax, steps, say)


def wrong_kind(found: Any, saddle: bool) -> str:
    """See `curvature.wrong_kind`."""
    from hint_plugin.science.molecules import curvature

    return curvature.wrong_kind(found, saddle)
