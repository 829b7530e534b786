"""The curriculum: training progress -> weight of the Hessian term.

L(t) = lambda_E L_E + lambda_F L_F + lambda_H(t) L_H          (HINT, Eq. 2)
lambda_H(t) = start + (end - start) t,   0 <= t <= 1          (HINT, Eq. 3)

with t the fraction of the training that is done. Validation always uses the final weight: a weight that grows
would make the validation loss rise while the model improves, and the best checkpoint would be an early one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ScheduleKind = Literal["linear", "constant", "step"]


@dataclass(frozen=True)
class WeightSchedule:
    """lambda_H as a pure function of progress.

    Attributes:
        start: lambda_H at t = 0 (ignored by ``constant``).
        end: lambda_H at t = 1, the final weight, which validation uses.
        kind: ``linear`` (Eq. 3), ``constant`` (end, always) or ``step``.
        steps: for ``step``: pairs (t, weight), ascending in t; before the first one the weight is ``start``.
            The last weight must equal ``end``.

    Raises:
        ValueError: a negative weight, an unknown kind, or ``steps`` that are missing, unordered or outside
            0..1.
    """

    start: float = 0.0
    end: float = 1.0
    kind: ScheduleKind = "linear"
    steps: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "constant", "step"):
            raise ValueError(f"schedule: got kind {self.kind!r}; wanted 'linear', 'constant' or 'step'")
        if (
            min(self.start, self.end, *(w for _, w in self.steps)) < 0
            if self.steps
            else min(self.start, self.end) < 0
        ):
            raise ValueError(
                f"schedule: a weight is negative: start {self.start}, end {self.end}, steps {self.steps}"
            )
        if (self.kind == "step") != bool(self.steps):
            raise ValueError(
                "schedule: kind 'step' needs steps as 'fraction:weight,...', and the other kinds take none"
            )
        times = [t for t, _ in self.steps]
        if times != sorted(set(times)) or any(not 0 <= t <= 1 for t in times):
            raise ValueError(f"schedule: steps must ascend within 0..1, got fractions {times}")
        if self.steps and self.steps[-1][1] != self.end:
            raise ValueError(
                f"schedule: the last step's weight {self.steps[-1][1]} must be the end weight {self.end}"
            )

    @classmethod
    def parse_steps(cls, text: str, start: float = 0.0) -> WeightSchedule:
        """``"0.2:0.5,0.6:3"``: weight ``start``, then 0.5 from 20 % of the training on, 3 from 60 % on."""
        try:
            steps = tuple((float(t), float(w)) for t, w in (part.split(":") for part in text.split(",")))
        except ValueError:
            raise ValueError(
                f"schedule: got {text!r}; wanted 'fraction:weight,fraction:weight', as '0.2:0.5,0.6:3'"
            ) from None
        return cls(start=start, end=steps[-1][1], kind="step", steps=steps)

    def __call__(self, progress: float) -> float:
        """lambda_H at ``progress`` = t, clamped to 0..1."""
        t = min(max(progress, 0.0), 1.0)
        if self.kind == "constant":
            return self.end
        if self.kind == "linear":
            return self.start + (self.end - self.start) * t
        weight = self.start
        for time, value in self.steps:
            if t >= time:
                weight = value
        return weight

    def at_step(self, step: int, total_steps: int) -> float:
        """lambda_H at optimiser step ``step`` (from 0) of ``total_steps``; the last has the end weight."""
        return self(step / max(1, total_steps - 1))

    @property
    def final(self) -> float:
        """The weight that validation uses, always."""
        return self.end

    @property
    def highest(self) -> float:
        """The largest weight of the training."""
        if self.kind == "constant":
            return self.end
        return max(self.start, self.end, *(weight for _, weight in self.steps))
