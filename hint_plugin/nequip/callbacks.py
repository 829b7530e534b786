"""Lightning callbacks: the curriculum, and exact Hessians in validation."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import lightning
import torch
from ase.data import atomic_masses
from lightning.pytorch.callbacks import Callback
from nequip.utils import RankedLogger
from torch import Tensor

from hint_plugin.core.batches import KEYS, BatchLabels
from hint_plugin.core.metrics import ErrorSum, HessianMetrics
from hint_plugin.core.schedule import WeightSchedule
from hint_plugin.errors import OptionsError
from hint_plugin.nequip.batches import offsets
from hint_plugin.nequip.checks import HessianChecks
from hint_plugin.nequip.loss import HessianLoss
from hint_plugin.nequip.model import GraphModelWithProducts

#: What `HessianErrors` logs, of `HessianMetrics.result`.
ERRORS = ("hessian_mae", "eigenvalues_mae", "frequencies_mae")

#: NequIP's callbacks that set the coefficients of the loss, as `HessianCurriculum` does.
SETTERS = ("SoftAdapt", "LossCoefficientScheduler", "LinearLossCoefficientScheduler")

logger = RankedLogger(__name__, rank_zero_only=True)


class HessianCurriculum(Callback):
    """lambda_H(t) over the training (HINT, Eq. 2 and 3), step by step.

    NequIP divides coefficients by their sum, so a coefficient alone says little; their ratios do. This sets
    all of them before each step: those of ``coeffs``, with that of the Hessian term as the schedule has it.
    Nothing else may set them: it stands beside none of NequIP's `SoftAdapt` and schedulers of coefficients.

    Args:
        coeffs: of each term of the loss, by name, not divided by anything; that of the Hessian term is
            lambda_H at the end of the training.
        name: of the Hessian term.
        start: lambda_H at the beginning.
        schedule: ``linear``, ``constant`` or ``step``.
        steps: of ``step``: ``[[fraction, weight], ...]``; the last weight is that of ``coeffs``.
        total_steps: of the training, where Lightning cannot know it (``max_epochs: -1``).

    Raises:
        OptionsError: no such term, a schedule that cannot be, or something else that sets coefficients.
    """

    def __init__(
        self,
        coeffs: Mapping[str, float],
        name: str = "hessian",
        start: float = 0.0,
        schedule: str = "linear",
        steps: Sequence[Sequence[float]] = (),
        total_steps: int | None = None,
    ) -> None:
        self.coeffs, self.name, self.total_steps = {k: float(v) for k, v in coeffs.items()}, name, total_steps
        if name not in self.coeffs:
            raise OptionsError(f"HessianCurriculum: coeffs has {', '.join(self.coeffs)}; wanted {name} too")
        try:
            pairs = tuple((float(time), float(weight)) for time, weight in steps)
            self.schedule = WeightSchedule(float(start), self.coeffs[name], schedule, pairs)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise OptionsError(f"HessianCurriculum: {error}") from None
        self._total = 1
        self._set: dict[str, float | None] | None = None

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """`HessianChecks` goes along."""
        HessianChecks.join(trainer)

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Compare with the loss that there is."""
        self._alone(trainer)
        terms = [name for name, entry in pl_module.loss.entries.items() if entry.coeff is not None]
        if set(terms) != set(self.coeffs):
            raise OptionsError(
                f"HessianCurriculum: coeffs has {', '.join(self.coeffs)}; the loss has {', '.join(terms)}"
            )
        if not isinstance(pl_module.loss[self.name], HessianLoss):
            raise OptionsError(
                f"HessianCurriculum: {self.name} of the loss is no hint_plugin.nequip.HessianLoss; wanted "
                "the name of the Hessian term, as name: hessian"
            )
        total = self.total_steps or trainer.estimated_stepping_batches
        if total == float("inf"):
            raise OptionsError(
                "HessianCurriculum: the training has no end; set max_epochs, or total_steps here"
            )
        self._total, self._set = int(total), None

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Set the coefficients of this step."""
        if self._set not in (None, _coefficients(pl_module.loss)):
            raise OptionsError(
                "HessianCurriculum: something else has set the coefficients of the loss since the last step; "
                "wanted one that does. Take one of the two out of trainer.callbacks"
            )
        weight = self.schedule.at_step(trainer.global_step, self._total)
        pl_module.loss.set_coeffs({**self.coeffs, self.name: weight})
        self._set = _coefficients(pl_module.loss)

    def _alone(self, trainer: lightning.Trainer) -> None:
        """Raises OptionsError if another callback is known to set coefficients too."""
        others = [
            kind.__name__
            for callback in trainer.callbacks
            for kind in type(callback).__mro__
            if callback is not self and kind.__name__ in (*SETTERS, "HessianCurriculum")
        ]
        if others:
            raise OptionsError(
                f"HessianCurriculum beside {', '.join(others)}: both set the coefficients of the loss, and "
                "the curriculum does so before each step, so that nothing of the other is left. Take one of "
                "them out of trainer.callbacks"
            )


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


def _coefficients(loss: Any) -> dict[str, float | None]:
    return {name: entry.coeff for name, entry in loss.entries.items()}


def _model(pl_module: Any) -> GraphModelWithProducts:
    for model in pl_module.model.values():
        if isinstance(model, GraphModelWithProducts):
            return model
    raise OptionsError(
        "HessianErrors: the model is not in hint_plugin.nequip.HessianModel (docs/training-nequip.md)"
    )
