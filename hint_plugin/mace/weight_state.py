"""The automatic weight in MACE's checkpoints: what ``--restart_latest`` needs to go on with the same numbers.

MACE's checkpoint is model, optimizer and learning rate. The state of `AutoWeight` travels with the optimizer,
as an entry of its first group of parameters, which torch saves and restores like its learning rate. MACE,
with HINT or without, takes no notice of it.
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from hint_plugin.errors import DataError
from hint_plugin.mace.loss import HintLoss

#: Its name among the optimizer's settings.
KEY = "hint_auto_weight"


def recall(optimizer: torch.optim.Optimizer, stages: list[HintLoss], start_epoch: int) -> None:
    """Give the losses what a checkpoint has of their weights, if this training goes on from one.

    MACE trains the saved epoch once more; the weight goes on from the state at the start of that epoch then.

    Args:
        optimizer: as MACE has loaded it.
        stages: the losses of stage one and, where there is one, of stage two.
        start_epoch: the first to be trained.

    Raises:
        DataError: the checkpoint has something else under that name.
    """
    state = optimizer.param_groups[0].pop(KEY, None)
    if stages[0].auto is None:
        return
    if state is None:
        if start_epoch:
            logging.warning(
                "HINT: the checkpoint was trained without --hint_weight auto: it is measured anew"
            )
        return
    try:
        if state["stage"] > len(stages):
            return
        auto = stages[state["stage"] - 1].auto
        assert auto is not None
        auto.load_state_dict(state["start" if start_epoch <= state["epoch"] else "end"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the checkpoint's {KEY} cannot be read ({error}); start without --restart_latest"
        ) from None
    logging.info(
        f"HINT: --hint_weight auto goes on from {auto.measured} measurements of stage {state['stage']}"
    )


def remember(
    optimizer: torch.optim.Optimizer, loss: HintLoss, epoch: int, before: dict[str, Any] | None
) -> None:
    """Leave the state of a loss's weight for the next checkpoint.

    Args:
        optimizer: the one that MACE saves.
        loss: of the epoch that has been trained.
        epoch: its number.
        before: the state before it.
    """
    if loss.auto is not None:
        state = {"epoch": epoch, "stage": loss.stage, "start": before, "end": loss.auto.state_dict()}
        optimizer.param_groups[0][KEY] = state
