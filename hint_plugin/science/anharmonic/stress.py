"""Whether an SSCHA has a stress: asked for or not, and whether the potential knows one.

A stress is the mean of the potential's own over the structures, so it is as good as that. A model
whose loss had no stresses gives one all the same; it is not a result, and not a way to a pressure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hint_plugin.artifact.trained_on import trained_on
from hint_plugin.errors import OptionsError

HOW = (
    "train it with the stresses of its data (mace_run_train: --hint_base_loss stress or universal, "
    "which want REF_stress)"
)


@dataclass(frozen=True)
class StressChoice:
    """`computed`: ask the potential for stresses; `note`: what a reader of the results has to know, or ""."""

    computed: bool
    note: str = ""


def choose_stress(wanted: bool | None, potential: Any, relax_cell: bool) -> StressChoice:
    """What is done about the stress.

    Args:
        wanted: as the user says; None: if the potential is not known to lack it.
        potential: an ASE calculator, or clients of a socket.
        relax_cell: the cell follows the stress.

    Raises:
        OptionsError: the cell is to follow a stress that is not computed, or was not learnt.
    """
    learnt = trained_on(potential).get("stress")
    if relax_cell and wanted is False:
        raise OptionsError("--relax-cell follows the stress; leave --no-stress away")
    if relax_cell and learnt is False and wanted is None:
        raise OptionsError(
            "--relax-cell follows the stress, and the model was not trained on stresses; "
            f"{HOW}, or say --stress to follow it all the same"
        )
    if wanted is False:
        return StressChoice(False, "no pressure: --no-stress")
    if learnt is False and wanted is None:
        return StressChoice(False, f"no pressure: the model was not trained on stresses; {HOW}")
    if learnt is False:
        return StressChoice(
            True, "the model was not trained on stresses: the pressure is not to be relied on"
        )
    return StressChoice(True)
