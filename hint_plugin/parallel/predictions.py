"""Predictions of a model, kept batch by batch, so that a run that was stopped does not compute them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms

from hint_plugin.core.metrics import Prediction
from hint_plugin.data.sets.bounded_batches import HESSIAN_BUDGET, batches
from hint_plugin.parallel.journal import Journal


class KeptPredictions:
    """A predictor whose answers are in a journal: each batch is computed once, in this run or in another.

    Batches are those that the predictor would make. What a model says of a structure depends, in its last
    digits, on the others of the batch: whole batches are kept, so that a run that was stopped ends with the
    same numbers as one that was not. All other attributes are the predictor's.

    Args:
        predictor: with `predict(frames, hessian)`.
        batch_size: structures in one pass of the predictor, at most.
        journal: of a run that asks for the same frames in the same order.
        show: called before a batch is computed, with the number of frames that have been predicted.
    """

    def __init__(
        self,
        predictor: Any,
        batch_size: int,
        journal: Journal,
        show: Callable[[int], None] | None = None,
    ) -> None:
        self._predictor, self._size, self._journal, self._show = predictor, batch_size, journal, show
        self._batch = 0
        #: Frames whose prediction has been handed over.
        self.done = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def predict(self, frames: Sequence[Atoms], hessian: bool = False) -> Iterator[Prediction]:
        """As the predictor's."""
        budget = HESSIAN_BUDGET if hessian else None
        for batch in batches(frames, self._size, budget):
            if self._batch not in self._journal:
                if self._show is not None:
                    self._show(self.done)
                found = list(self._predictor.predict(batch, hessian=hessian))
                self._journal.add(self._batch, _record(found))
            record = self._journal[self._batch]
            self._batch += 1
            for prediction in _predictions(record, batch):
                self.done += 1
                yield prediction


def _record(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Arrays of a batch, in double precision, which all predictors answer in."""
    record: dict[str, Any] = {"energies": np.array([found.energy for found in predictions])}
    for k, found in enumerate(predictions):
        for name in ("forces", "stress", "hessian"):
            value = getattr(found, name)
            if value is not None:
                record[f"{name} {k}"] = value.detach().cpu().double().numpy()
    return record


def _predictions(record: dict[str, Any], frames: Sequence[Atoms]) -> Iterator[Prediction]:
    def tensor(name: str) -> torch.Tensor | None:
        return torch.from_numpy(record[name]) if name in record else None

    for k, (energy, _) in enumerate(zip(record["energies"], frames, strict=True)):
        forces = torch.from_numpy(record[f"forces {k}"])
        yield Prediction(float(energy), forces, tensor(f"stress {k}"), tensor(f"hessian {k}"))
