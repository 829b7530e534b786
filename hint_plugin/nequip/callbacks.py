"""Lightning callbacks: the curriculum, and exact Hessians in validation."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import lightning
import torch
from ase.data import atomic_masses
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from hint_plugin.core.metrics import HessianMetrics
from hint_plugin.core.schedule import WeightSchedule
from hint_plugin.data.batch_labels import KEYS, BatchLabels
from hint_plugin.errors import OptionsError
from hint_plugin.nequip.batches import offsets
from hint_plugin.nequip.model import GraphModelWithProducts

#: What `HessianErrors` logs, of `HessianMetrics.result`.
ERRORS = ("hessian_mae", "eigenvalues_mae", "frequencies_mae")


class HessianCurriculum(Callback):
    """lambda_H(t) over the training (HINT, Eq. 2 and 3), step by step.

    NequIP divides coefficients by their sum, so a coefficient alone says little; their ratios do. This sets
    all of them before each step: those of ``coeffs``, with that of the Hessian term as the schedule has it.

    Args:
        coeffs: of each term of the loss, by name, not divided by anything; that of the Hessian term is
            lambda_H at the end of the training.
        name: of the Hessian term.
        start: lambda_H at the beginning.
        schedule: ``linear``, ``constant`` or ``step``.
        steps: of ``step``: ``[[fraction, weight], ...]``; the last weight is that of ``coeffs``.
        total_steps: of the training, where Lightning cannot know it (``max_epochs: -1``).

    Raises:
        OptionsError: no such term, or a schedule that cannot be.
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

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Compare with the loss that there is."""
        terms = [name for name, entry in pl_module.loss.entries.items() if entry.coeff is not None]
        if set(terms) != set(self.coeffs):
            raise OptionsError(
                f"HessianCurriculum: coeffs has {', '.join(self.coeffs)}; the loss has {', '.join(terms)}"
            )
        total = self.total_steps or trainer.estimated_stepping_batches
        if total == float("inf"):
            raise OptionsError(
                "HessianCurriculum: the training has no end; set max_epochs, or total_steps here"
            )
        self._total = int(total)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Set the coefficients of this step."""
        weight = self.schedule.at_step(trainer.global_step, self._total)
        pl_module.loss.set_coeffs({**self.coeffs, self.name: weight})


class HessianErrors(Callback):
    """Exact Hessians of a few validation structures: logs ``val0_epoch/hessian_mae`` (eV/A^2),
    ``eigenvalues_mae`` (eV/A^2) and ``frequencies_mae`` (1/cm).

    Args:
        structures: the first ones of each validation set that have a full label, in each process.
        every: epochs from one comparison to the next.
    """

    def __init__(self, structures: int = 4, every: int = 10) -> None:
        if structures < 1 or every < 1:
            raise OptionsError(f"HessianErrors: structures {structures}, every {every}; wanted 1 or more")
        self.structures, self.every = structures, every
        self._found: dict[int, HessianMetrics] = {}

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Begin anew."""
        self._found = {}

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
        if trainer.sanity_checking or trainer.current_epoch % self.every or KEYS[0] not in batch:
            return
        found = self._found.setdefault(dataloader_idx, HessianMetrics())
        labels = BatchLabels({**batch, "ptr": offsets(batch)}).labels
        full = [g for g, x in enumerate(labels) if x.rows is not None and len(x.rows) == 3 * x.n_atoms]
        chosen = full[: self.structures - found.n_full]
        if not chosen:
            return
        ptr = offsets(batch).tolist()
        for g, hessian in zip(chosen, _model(pl_module).hessians(batch, chosen), strict=True):
            atoms = slice(ptr[g], ptr[g + 1])
            numbers = batch["atomic_numbers"].reshape(-1)[atoms].cpu().numpy()
            reference = labels[g].rows
            assert reference is not None
            found.update_hessian(
                hessian.cpu().double(),
                reference.cpu().double(),
                batch["pos"][atoms].detach().cpu().double(),
                torch.as_tensor(atomic_masses[numbers]),
                bool(batch["pbc"][g].all()),
            )

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Log what was found."""
        for index, found in self._found.items():
            if trainer.world_size > 1:
                parts: list[Any] = [None] * trainer.world_size
                torch.distributed.all_gather_object(parts, found)
                found = functools.reduce(HessianMetrics.merge, parts)
            if found.n_full:
                errors = found.result()
                pl_module.log_dict(
                    {f"val{index}_epoch/{key}": errors[key] for key in ERRORS if key in errors}
                )


def _model(pl_module: Any) -> GraphModelWithProducts:
    for model in pl_module.model.values():
        if isinstance(model, GraphModelWithProducts):
            return model
    raise OptionsError(
        "HessianErrors: the model is not in hint_plugin.nequip.HessianModel (docs/training-nequip.md)"
    )
