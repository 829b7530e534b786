"""`HessianChecks`: what is looked at before a training, and the sizes of what errors are errors of."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from nequip.data import AtomicDataDict
from nequip.utils import RankedLogger
from torch import Tensor

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.nequip.agreement import check_derivatives
from hint_plugin.nequip.composition import fit_each_other, hessian_names, hessian_terms, leave_out
from hint_plugin.nequip.counts import LabelCount, contents_of, count_labels, looked_for, most_edges
from hint_plugin.nequip.loss import NO_LABELS, HessianRMSE
from hint_plugin.nequip.model import GraphModelWithProducts
from hint_plugin.nequip.sizes import UNITS, ReferenceSizes

logger = RankedLogger(__name__, rank_zero_only=True)


class HessianChecks(Callback):
    """Looks at data, loss and model before a training, and logs how large the references are that errors are
    errors of: ``val0_epoch/forces_mean_abs`` and ``forces_rms`` (eV/A), ``hessian_mean_abs`` and
    ``hessian_rms`` (eV/A^2).

    `HessianDataModule`, `HessianCurriculum` and `HessianErrors` bring it along. Where none of them is used,
    it belongs into the configuration, under ``trainer.callbacks``.
    """

    def __init__(self) -> None:
        self._sizes: dict[int, ReferenceSizes] = {}
        self._names: list[str] = []

    @classmethod
    def join(cls, trainer: lightning.Trainer) -> None:
        """Put one into a trainer that has none. Callbacks that are being called see it next."""
        if not any(isinstance(callback, cls) for callback in trainer.callbacks):
            trainer.callbacks.append(cls())

    # before -------------------------------------------------------------------------------------------------

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """See that what was asked for will be done.

        Raises:
            OptionsError: model, loss and data do not fit each other.
            DataError: a Hessian term in the loss, and not one label.
            HintError: what `check_derivatives` raises.
        """
        self._names = [name for name, entry in pl_module.loss.entries.items() if entry.coeff is not None]
        terms = hessian_terms(pl_module.loss)
        models = [m for m in pl_module.model.values() if isinstance(m, GraphModelWithProducts)]
        fit_each_other(trainer, pl_module, models)
        if not models:
            return
        if trainer.datamodule is None:
            logger.warning("HINT: the trainer has no data module: labels are not counted, forces not checked")
            return
        loader = trainer.datamodule.train_dataloader()
        counted = count_labels(loader.dataset)
        logger.info(f"HINT: {counted} training structures have a Hessian label")
        for remark in contents_of(loader.dataset).remarks():
            logger.warning(f"HINT: {remark}")
        if terms and not counted.labelled:
            raise DataError(_no_labels(loader.dataset, counted))
        for term in terms:
            term.expected = len(counted.labelled)
        self._look_at_sets(pl_module.val_metrics, "validation", _loaders(trainer, "val_dataloader"))
        example = most_edges(loader.dataset, counted) if counted.labelled else None
        for model in models:
            model.hint_warned = True  # it has been said
            if model.hint.check and counted.labelled:
                logger.info(f"HINT: {_agreement(model, example, loader)}")

    def on_test_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Count the labels of the test sets."""
        if any(isinstance(m, GraphModelWithProducts) for m in pl_module.model.values()):
            self._look_at_sets(pl_module.test_metrics, "test", _loaders(trainer, "test_dataloader"))

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """See that no scheduler has dropped the Hessian term by leaving its name out.

        Raises:
            OptionsError: one has.
        """
        names = [name for name, entry in pl_module.loss.entries.items() if entry.coeff is not None]
        lost = [name for name in hessian_names(pl_module.loss) if name in self._names and name not in names]
        if lost:
            raise OptionsError(
                f"the coefficient of {', '.join(lost)} was dropped in epoch {trainer.current_epoch}: a "
                "scheduler of coefficients that does not name a term takes it out of the loss. Name it "
                "there, with 0.0 if that is meant"
            )

    def _look_at_sets(self, metrics: Any, kind: str, loaders: list[Any]) -> None:
        for index, (manager, loader) in enumerate(zip(metrics, loaders, strict=True)):
            counted = count_labels(loader.dataset)
            logger.info(f"HINT: {kind} set {index}: {counted} structures have a Hessian label")
            if not counted.labelled:
                leave_out(manager, kind, index)

    # beside -------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Begin anew."""
        self._sizes = {}

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: dict[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add up the references."""
        self._sizes.setdefault(dataloader_idx, ReferenceSizes()).add(batch)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Log their sizes."""
        self._log_sizes(trainer, pl_module, "val", len(pl_module.val_metrics))

    def on_test_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Log their sizes."""
        self._log_sizes(trainer, pl_module, "test", len(pl_module.test_metrics))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """One line a set: errors, and what they are errors of."""
        if not trainer.sanity_checking:
            self._say(trainer, pl_module.val_metrics, "val", f"epoch {trainer.current_epoch}, validation")

    def on_test_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """One line a set: errors, and what they are errors of."""
        self._say(trainer, pl_module.test_metrics, "test", "test")

    def _log_sizes(self, trainer: lightning.Trainer, pl_module: Any, kind: str, sets: int) -> None:
        for index in range(sets):  # the same ones in every process, whatever it has seen
            found = self._sizes.get(index, ReferenceSizes())
            if trainer.world_size > 1:
                parts: list[Any] = [None] * trainer.world_size
                torch.distributed.all_gather_object(parts, found)
                found = functools.reduce(ReferenceSizes.merge, parts)
            self._sizes[index] = found
            pl_module.log_dict({f"{kind}{index}_epoch/{name}": x for name, x in found.result().items()})

    def _say(self, trainer: lightning.Trainer, metrics: Any, kind: str, what: str) -> None:
        for index, manager in enumerate(metrics):
            sizes = self._sizes[index].result() if index in self._sizes else {}
            found = trainer.callback_metrics
            parts = []
            for name, size in _pairs(manager):
                error = found.get(f"{kind}{index}_epoch/{name}")
                if error is not None and size in sizes:
                    parts.append(_relative(name, float(error), sizes[size], UNITS[size]))
            if parts:
                logger.info(f"HINT: {what} set {index}: {'; '.join(parts)}")


# ------------------------------------------------------------------------------------------------------- data


def _no_labels(dataset: Any, counted: LabelCount) -> str:
    names = looked_for(dataset)
    looked = f"looked for: {names}" if names else "nothing reads labels"
    return (
        f"the loss has a Hessian term, and none of the {counted.frames} training structures has a Hessian "
        f"label ({looked}). {NO_LABELS}"
    )


def _loaders(trainer: lightning.Trainer, name: str) -> list[Any]:
    return list(getattr(trainer.datamodule, name)())


def _agreement(model: GraphModelWithProducts, example: dict[str, Tensor] | None, loader: Any) -> str:
    """What `check_derivatives` says about the example; a warning in words where there is none."""
    if example is None:
        return "nothing was checked of forces and H v: no labelled training structure has two atoms in reach"
    copies = 2 if getattr(model, "is_compile_graph_model", False) else 1  # one runs uncompiled
    device = next(model.parameters()).device  # type: ignore[attr-defined]
    batch = AtomicDataDict.to_(loader.collate_fn([dict(example) for _ in range(copies)]), device)
    return check_derivatives(model, batch)


# ---------------------------------------------------------------------------------------------------- numbers


def _pairs(manager: Any) -> Iterator[tuple[str, str]]:
    """(metric, size that it is to be compared with)."""
    for name in manager.entries:
        if isinstance(manager[name], HessianRMSE):
            yield name, "hessian_rms"
    for name, size in (("forces_rmse", "forces_rms"), ("forces_mae", "forces_mean_abs")):
        if name in manager.entries:
            yield name, size


def _relative(name: str, error: float, size: float, unit: str) -> str:
    """ "forces_rmse 0.191 of 0.214 eV/A (89 %)"."""
    share = f" ({100 * error / size:.0f} %)" if size > 0 else ""
    return f"{name} {error:.4g} of {size:.4g} {unit}{share}"
