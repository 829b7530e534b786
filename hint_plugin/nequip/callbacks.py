"""A Lightning callback: exact Hessians in validation. The curriculum is `hint_plugin.nequip.curriculum`."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import lightning
import torch
from ase.data import atomic_masses
from lightning.pytorch.callbacks import Callback
from nequip.utils import RankedLogger
from torch import Tensor

from hint_plugin.core.batches import KEYS, BatchLabels
from hint_plugin.core.metrics import ErrorSum, HessianMetrics
from hint_plugin.errors import OptionsError
from hint_plugin.nequip.batches import offsets
from hint_plugin.nequip.checks import HessianChecks
from hint_plugin.nequip.curriculum import HessianCurriculum as HessianCurriculum  # its path in version 0.2
from hint_plugin.nequip.model import GraphModelWithProducts

#: What `HessianErrors` logs, of `HessianMetrics.result`.
ERRORS = ("hessian_mae", "eigenvalues_mae", "frequencies_mae")

logger = RankedLogger(__name__, rank_zero_only=True)


class HessianErrors(Callback):
    """Exact Hessians of a few validation structures: logs ``val0_epoch/hessian_mae`` (eV/A^2),
    ``hessian_mae_relative`` (the same over the mean absolute element of their references, 1),
    ``eigenvalues_mae`` (eV/A^2) and ``frequencies_mae`` (1/cm).

    Args:
        structures: the first ones of each validation set that have a full label, in each process.
        every: epochs from one comparison to the next.
    """

    #: For `HessianChecks`: the model has to make Hessians.
    compares_hessians = True

    def __init__(self, structures: int = 4, every: int = 10) -> None:
        if structures < 1 or every < 1:
            raise OptionsError(f"HessianErrors: structures {structures}, every {every}; wanted 1 or more")
        self.structures, self.every = structures, every
        self._found: dict[int, _Compared] = {}

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """`HessianChecks` goes along."""
        HessianChecks.join(trainer)

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Begin anew."""
        self._found = {}

    def _due(self, trainer: lightning.Trainer) -> bool:
        return not trainer.sanity_checking and trainer.current_epoch % self.every == 0

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: dict[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take the structures that are still wanted."""
        if not self._due(trainer) or KEYS[0] not in batch:
            return
        found, sizes = self._found.setdefault(dataloader_idx, _nothing())
        labels = BatchLabels({**batch, "ptr": offsets(batch)})
        chosen = labels.full[: self.structures - found.n_full]
        if not chosen:
            return
        ptr = offsets(batch).tolist()
        for g, hessian in zip(chosen, _model(pl_module).hessians(batch, chosen), strict=True):
            atoms = slice(ptr[g], ptr[g + 1])
            numbers = batch["atomic_numbers"].reshape(-1)[atoms].cpu().numpy()
            reference = labels.labels[g].rows
            assert reference is not None
            sizes.add(reference)
            found.update_hessian(
                hessian.cpu().double(),
                reference.cpu().double(),
                batch["pos"][atoms].detach().cpu().double(),
                torch.as_tensor(atomic_masses[numbers]),
                bool(batch["pbc"][g].all()),
            )

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Log what was found."""
        if not self._due(trainer):
            return
        compared = 0
        for index in range(len(pl_module.val_metrics)):  # the same ones in every process
            found, sizes = self._found.get(index, _nothing())
            if trainer.world_size > 1:
                parts: list[Any] = [None] * trainer.world_size
                torch.distributed.all_gather_object(parts, (found, sizes))
                found = functools.reduce(HessianMetrics.merge, [part[0] for part in parts])
                sizes = ErrorSum()
                for part in parts:
                    sizes.merge(part[1])
            compared += found.n_full
            if found.n_full:
                errors = found.result()
                logged = {key: errors[key] for key in ERRORS if key in errors}
                if sizes.absolute:
                    logged["hessian_mae_relative"] = errors["hessian_mae"] / sizes.mae
                pl_module.log_dict({f"val{index}_epoch/{key}": value for key, value in logged.items()})
        if not compared:
            logger.warning(
                "HINT: HessianErrors has compared nothing: no validation structure has a full Hessian label"
            )


class _Compared(NamedTuple):
    """Errors of Hessians, and the sizes of their references."""

    errors: HessianMetrics
    sizes: ErrorSum


def _nothing() -> _Compared:
    return _Compared(HessianMetrics(), ErrorSum())


def _model(pl_module: Any) -> GraphModelWithProducts:
    for model in pl_module.model.values():
        if isinstance(model, GraphModelWithProducts):
            return model
    raise OptionsError(
        "HessianErrors: the model is not in hint_plugin.nequip.HessianModel (docs/training-nequip.md)"
    )
