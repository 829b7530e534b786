"""The curriculum as a Lightning callback: lambda_H over the training, given or from the gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from hint_plugin.core.auto_weight import RATIO_END, RATIO_START, AutoWeight
from hint_plugin.core.schedule import WeightSchedule
from hint_plugin.errors import OptionsError
from hint_plugin.nequip.checks import HessianChecks
from hint_plugin.nequip.gradients import MeasuredStep
from hint_plugin.nequip.loss import HessianLoss

#: NequIP's callbacks that set the coefficients of the loss, as `HessianCurriculum` does.
SETTERS = ("SoftAdapt", "LossCoefficientScheduler", "LinearLossCoefficientScheduler")


@dataclass(frozen=True)
class StageTwo:
    """The last part of a training, with other coefficients.

    Attributes:
        start: fraction of the training that is done when it begins.
        coeffs: those that change.
    """

    start: float
    coeffs: dict[str, float]

    @classmethod
    def checked(cls, given: Mapping[str, Any], names: set[str]) -> StageTwo:
        """From a configuration; ``names`` are those that have a coefficient. Raises OptionsError."""
        wanted = "wanted stage_two: {start: 0.75, coeffs: {per_atom_energy_mse: 1000.0}}"
        if set(given) != {"start", "coeffs"}:
            raise OptionsError(f"HessianCurriculum: stage_two has {', '.join(given) or 'nothing'}; {wanted}")
        unknown = [name for name in given["coeffs"] if name not in names]
        if unknown or not given["coeffs"]:
            raise OptionsError(
                f"HessianCurriculum: coeffs of stage_two has {', '.join(unknown) or 'nothing'}; wanted some "
                f"of {', '.join(sorted(names))} (the Hessian term goes on as it was)"
            )
        found = cls(float(given["start"]), {name: float(value) for name, value in given["coeffs"].items()})
        if not 0 < found.start < 1 or min(found.coeffs.values()) < 0:
            raise OptionsError(
                f"HessianCurriculum: stage_two has start {found.start} and coeffs {found.coeffs}; wanted a "
                "fraction of the training between 0 and 1, and no negative coefficient"
            )
        return found

    def begun(self, step: int, total_steps: int) -> bool:
        """Whether step ``step`` (from 0) of ``total_steps`` belongs to it."""
        return step >= self.start * total_steps


class HessianCurriculum(Callback):
    """lambda_H(t) over the training (HINT, Eq. 2 and 3), step by step.

    NequIP divides coefficients by their sum, so a coefficient alone says little; their ratios do. This sets
    all of them before each step: those of ``coeffs``, with that of the Hessian term as the schedule has it,
    or as the gradients have it. Nothing else may set them: it stands beside none of NequIP's `SoftAdapt` and
    schedulers of coefficients.

    Args:
        coeffs: of each term of the loss, by name, not divided by anything; that of the Hessian term is
            lambda_H at the end of the training. With ``weight: auto`` it has none.
        name: of the Hessian term.
        start: lambda_H at the beginning.
        schedule: ``linear``, ``constant`` or ``step``, of lambda_H or of the ratio.
        steps: of ``step``: ``[[fraction, weight], ...]``; the last weight is that of ``coeffs``, or
            ``ratio_end``.
        total_steps: of the training, where Lightning cannot know it (``max_epochs: -1``).
        weight: ``given``, or ``auto``: from the norms of the gradients (`hint_plugin.core.auto_weight`). Its
            state is in Lightning's checkpoints. Until the first step with a label has been measured, which
            this step is, lambda_H is 0.
        ratio_start: for ``auto``, how hard the Hessian term pulls at the beginning, relative to the others.
        ratio_end: the same at the end.
        stage_two: ``{start: 0.75, coeffs: {per_atom_energy_mse: 1000.0}}``: from that fraction of the
            training on, these coefficients in place of those of ``coeffs``; that of the Hessian term goes on
            as it was (for ``auto``, measured anew). It brings energies into place.

    Raises:
        OptionsError: no such term, a schedule that cannot be, or something else that sets coefficients; after
            an epoch in which nothing could be measured for ``auto``.
    """

    def __init__(
        self,
        coeffs: Mapping[str, float],
        name: str = "hessian",
        start: float | None = None,
        schedule: str = "linear",
        steps: Sequence[Sequence[float]] = (),
        total_steps: int | None = None,
        weight: str = "given",
        ratio_start: float | None = None,
        ratio_end: float | None = None,
        stage_two: Mapping[str, Any] | None = None,
    ) -> None:
        self.coeffs, self.name, self.total_steps = {k: float(v) for k, v in coeffs.items()}, name, total_steps
        if weight not in ("given", "auto"):
            raise OptionsError(f"HessianCurriculum: got weight {weight!r}; wanted given or auto")
        ends = (start, self.coeffs.get(name)) if weight == "given" else (ratio_start, ratio_end)
        others = (ratio_start, ratio_end) if weight == "given" else (start, self.coeffs.get(name))
        defaults = (0.0, None) if weight == "given" else (RATIO_START, RATIO_END)
        if any(value is not None for value in others):
            raise OptionsError(
                f"HessianCurriculum: weight: given has start and {name} of coeffs, and weight: auto has "
                f"ratio_start and ratio_end; got weight: {weight} and values of the other kind"
            )
        if weight == "given" and name not in self.coeffs:
            raise OptionsError(f"HessianCurriculum: coeffs has {', '.join(self.coeffs)}; wanted {name} too")
        first, last = (d if e is None else float(e) for e, d in zip(ends, defaults, strict=True))
        try:
            pairs = tuple((float(time), float(value)) for time, value in steps)
            self.schedule = WeightSchedule(first, last, schedule, pairs)  # type: ignore[arg-type]
            if weight == "auto" and self.schedule.highest == 0:
                raise ValueError("a ratio of 0 at all times trains no Hessian")
        except (TypeError, ValueError) as error:
            raise OptionsError(f"HessianCurriculum: {error}") from None
        self.measured = MeasuredStep(AutoWeight(self.schedule)) if weight == "auto" else None
        self.second = None if stage_two is None else StageTwo.checked(stage_two, set(self.coeffs) - {name})
        self._total = 1
        self._given: dict[str, float] = {}
        self._set: dict[str, float | None] | None = None

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """`HessianChecks` goes along."""
        HessianChecks.join(trainer)
        if self.measured is not None:  # code is compiled for graphs that are used once, unless it is told
            import torch._functorch.config

            torch._functorch.config.donated_buffer = False

    def state_dict(self) -> dict[str, Any]:
        """For Lightning's checkpoints: of ``weight: auto``."""
        if self.measured is None:
            return {}
        return {"auto": self.measured.auto.state_dict(), "stage": self.measured.stage}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was."""
        if self.measured is not None and "auto" in state_dict:
            self.measured.auto.load_state_dict(state_dict["auto"])
            self.measured.stage = state_dict["stage"]

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Compare with the loss that there is."""
        self._alone(trainer)
        terms = [name for name, entry in pl_module.loss.entries.items() if entry.coeff is not None]
        known = [*self.coeffs, *([] if self.measured is None else [self.name])]
        if set(terms) != set(known):
            raise OptionsError(
                f"HessianCurriculum: coeffs has {', '.join(known)}; the loss has {', '.join(terms)}"
            )
        term = pl_module.loss[self.name]
        if not isinstance(term, HessianLoss):
            raise OptionsError(
                f"HessianCurriculum: {self.name} of the loss is no hint_plugin.nequip.HessianLoss; wanted "
                "the name of the Hessian term, as name: hessian"
            )
        term.keep = self.measured is not None
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
        step = trainer.global_step
        second = self.second if self.second is not None and self.second.begun(step, self._total) else None
        if self.measured is not None:
            self.measured.enter(1 if second is None else 2)
        schedule = self.schedule if self.measured is None else self.measured.auto
        weight = schedule.at_step(step, self._total)
        self._given = {**self.coeffs, **({} if second is None else second.coeffs), self.name: weight}
        pl_module.loss.set_coeffs(self._given)
        self._set = _coefficients(pl_module.loss)
        if self.measured is not None:
            pl_module.log("hessian_weight", weight)

    def on_before_backward(self, trainer: lightning.Trainer, pl_module: Any, loss: Tensor) -> None:
        """For ``auto``: differentiate the Hessian term by itself, where the step is to be measured."""
        if self.measured is not None:
            batches = trainer.accumulate_grad_batches
            term = pl_module.loss[self.name]
            self.measured.before_backward(pl_module, term, trainer.global_step, batches)

    def on_before_optimizer_step(self, trainer: lightning.Trainer, pl_module: Any, optimizer: Any) -> None:
        """For ``auto``: take the norms of the gradients."""
        if self.measured is not None:
            total = sum(self._given.values())
            self.measured.before_optimizer_step(pl_module, self.name, trainer.global_step, total)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """See that ``auto`` had something to measure."""
        if self.measured is not None and self.measured.unweighted and not self.measured.auto.measured:
            raise OptionsError(
                f"HessianCurriculum, weight: auto: none of the {self.measured.unweighted} steps with Hessian "
                "labels had a gradient of energies and forces and one of the Hessian to weigh against each "
                "other; put frames with both into one batch, or take weight: given"
            )

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


def _coefficients(loss: Any) -> dict[str, float | None]:
    return {name: entry.coeff for name, entry in loss.entries.items()}
