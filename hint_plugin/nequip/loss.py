"""The Hessian term as metrics of NequIP's `MetricsManager`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from nequip.utils.global_dtype import _GLOBAL_DTYPE
from torch import Tensor
from torchmetrics import Metric

from hint_plugin.core import losses
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.nequip.fields import PRODUCTS, Products

#: What to do about a training set without labels.
NO_LABELS = (
    "Make labels with `hint label`, or name where they are: '++data.keys={hessian: my_hessian}' with "
    "HessianDataModule; with NequIP's own data modules include_keys: [REF_hessian], and the transform "
    "hint_plugin.nequip.HessianLabels"
)


class HessianLoss(Metric):
    """Mean over labelled structures of `hint_plugin.core.losses.HessianLoss`, (eV/A^2)^2; 0 without any.

    It goes into a `MetricsManager` without a ``field``, and needs `HessianModel`. Over several processes it
    is the mean over the labelled structures of all of them.

    Attributes:
        expected: labelled structures of the set, where `HessianChecks` has counted them.
        keep: keep the term of each batch, with its graph, until it is taken (`take`).

    Args:
        penalty: ``mse``, ``huber`` or ``l1``.
        huber_delta: of ``huber``, eV/A^2.
        clip: a structure whose RMS residual is beyond this (eV/A^2) pulls no harder; None: off.
        normalise: ``elements``, or ``eq4`` for the paper's Eq. 4 (`hint_plugin.core.losses`).

    Raises:
        OptionsError: a value that cannot be; at the first batch: no label fields, or no `HessianModel`.
        DataError: after an epoch, if it is in the loss: no structure had a label, and none was counted.
    """

    is_differentiable = True
    higher_is_better = False
    sum: Tensor
    count: Tensor
    expected: int | None = None

    def __init__(
        self,
        penalty: str = "mse",
        huber_delta: float = 1.0,
        clip: float | None = 100.0,
        normalise: str = "elements",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        try:
            self.loss = losses.HessianLoss(penalty, huber_delta, clip, normalise)  # type: ignore[arg-type]
        except ValueError as error:
            raise OptionsError(str(error)) from None
        self.add_state("sum", default=torch.tensor(0.0, dtype=_GLOBAL_DTYPE), dist_reduce_fx="sum")
        self.add_state("count", default=torch.tensor(0), dist_reduce_fx="sum")
        self._of_batch = False
        self._kept: tuple[Tensor, Tensor] | None = None
        self.keep = False

    @property
    def in_loss(self) -> bool:
        """Whether it is trained on: NequIP synchronises the metrics of a loss at each step, and no others."""
        return bool(self.dist_sync_on_step)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Add a batch; the value of this batch alone."""
        self._of_batch = True
        try:
            return super().forward(*args, **kwargs)
        finally:
            self._of_batch = False

    def update(self, preds: Mapping[str, Any], target: Mapping[str, Tensor]) -> None:
        """Add a batch."""
        found: Products | None = preds.get(PRODUCTS)
        if found is None:
            _expect_no_labels(target)
            return
        found.readers.append(type(self).__name__)
        total, count = self.loss(found.predicted, found.reference, found.probes, found.owner, found.weights)
        self.sum = self.sum + total
        self.count = self.count + count

    def compute(self) -> Tensor:
        """Of all batches since the last reset."""
        if not self._of_batch and self.in_loss and not self.expected and int(self.count) == 0:
            raise DataError(f"HessianLoss: no structure of the whole epoch had a Hessian label. {NO_LABELS}")
        value = self.sum / self.count.clamp_min(1)
        if self._of_batch and self.keep:
            self._kept = value, self.count
        return value

    def take(self) -> tuple[Tensor, Tensor]:
        """The term of the last batch, of all processes, and their labelled structures; kept no longer."""
        if self._kept is None:
            raise RuntimeError("HessianLoss: no batch has been kept")
        kept, self._kept = self._kept, None
        return kept

    def __str__(self) -> str:
        return "hessian_loss"


class HessianRMSE(HessianLoss):
    """Root mean square error of a Hessian element, eV/A^2, as the probes see it; for validation.

    Not a number where nothing was labelled, and so nothing compared.
    """

    is_differentiable = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("mse", clip=None, **kwargs)

    def compute(self) -> Tensor:
        """Of all batches since the last reset."""
        return (self.sum / self.count).sqrt()

    def __str__(self) -> str:
        return "hessian_rmse"


def _expect_no_labels(target: Mapping[str, Tensor]) -> None:
    if "hint_count" not in target:
        raise OptionsError(
            "HessianLoss: the batch has no fields for Hessian labels. Read the data by "
            "hint_plugin.nequip.HessianDataModule, or add hint_plugin.nequip.HessianLabels to the transforms"
        )
    if bool((target["hint_count"][:, 2] > 0).any()):
        raise OptionsError(
            "HessianLoss: the batch has Hessian labels, and the model makes no products H v. Put the model's "
            "configuration into hint_plugin.nequip.HessianModel (docs/training-nequip.md)"
        )
