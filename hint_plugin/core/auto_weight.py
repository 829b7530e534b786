"""lambda_H from the gradients: how hard the Hessian term pulls, relative to energies and forces.

    lambda_H(t) = rho(t) <|g_EF|> / <|g_H|>

with g_EF the gradient of the weighted loss of energies, forces and stress to the parameters, g_H that of the
Hessian term without its weight, and <...> averages over the measurements x_1 ... x_n so far that forget,

    <x>_n = sum_i d^(n - i) x_i / sum_i d^(n - i),        d = `DECAY`

so that the first measurement counts in full (no start from zero). rho is the *ratio* of the two pulls,
|lambda_H g_H| / |g_EF|: 1 where the Hessian term moves the parameters as far as energies and forces do. It
follows a `WeightSchedule`, as lambda_H itself does where it is given.

======== ================================================== ============
symbol   meaning                                            variable
======== ================================================== ============
rho      ratio of the pulls                                 ``ratio``
<|g_EF|> average norm of the gradient, energies and forces  ``others``
<|g_H|>  the same of the Hessian term, its weight left out  ``hessian``
======== ================================================== ============

The norms are numbers here. The trainers measure them: `hint_plugin.mace.loss` and
`hint_plugin.nequip.gradients`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hint_plugin.core.schedule import WeightSchedule

#: Steps from one measurement to the next.
EVERY = 10
#: How much of the average a measurement keeps when the next one comes: the last ten count, 100 steps.
DECAY = 0.9

#: The ratio at the start and at the end of a training, where it is not given.
RATIO_START, RATIO_END = 0.2, 1.0


class AutoWeight:
    """lambda_H of each step, and what it has been measured from.

    Args:
        ratio: rho over the training.
        every: steps from one measurement to the next.
        decay: d.

    Attributes:
        measured: n, measurements so far.
        last: the step of the last one; None before the first.
    """

    def __init__(self, ratio: WeightSchedule, every: int = EVERY, decay: float = DECAY) -> None:
        self.ratio, self.every, self.decay = ratio, every, decay
        self.measured = 0
        self.last: int | None = None
        self._others = self._hessian = self._mass = 0.0

    def due(self, step: int) -> bool:
        """Whether the gradients are to be measured at this step, if it has a Hessian label.

        A step before the last measured one is, too: that of a training that begins anew.
        """
        return self.last is None or not self.last <= step < self.last + self.every

    def update(self, step: int, others: float, hessian: float) -> bool:
        """Take the norms of a step; whether they could be used.

        Norms that are zero, infinite or no numbers are not: a batch without energies and forces, a model
        without a Hessian, a training that has come apart.
        """
        if not all(math.isfinite(norm) and norm > 0 for norm in (others, hessian)):
            return False
        self._others = self.decay * self._others + (1 - self.decay) * others
        self._hessian = self.decay * self._hessian + (1 - self.decay) * hessian
        self._mass = self.decay * self._mass + (1 - self.decay)
        self.measured, self.last = self.measured + 1, step
        return True

    @property
    def others(self) -> float:
        """<|g_EF|>; not a number before the first measurement."""
        return self._others / self._mass if self.measured else math.nan

    @property
    def hessian(self) -> float:
        """<|g_H|>; not a number before the first measurement."""
        return self._hessian / self._mass if self.measured else math.nan

    def at_step(self, step: int, total_steps: int) -> float:
        """lambda_H at optimiser step ``step`` (from 0) of ``total_steps``; 0 before the first measurement."""
        if not self.measured:
            return 0.0
        return self.ratio.at_step(step, total_steps) * self._others / self._hessian

    def state_dict(self) -> dict[str, Any]:
        """What a training needs to go on: plain numbers."""
        return {
            "measured": self.measured,
            "last": self.last,
            "others": self._others,
            "hessian": self._hessian,
            "mass": self._mass,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            ValueError: it is not one.
        """
        missing = [name for name in self.state_dict() if name not in state]
        if missing:
            raise ValueError(f"state of the automatic weight: {', '.join(missing)} is missing")
        self.measured, self.last = int(state["measured"]), state["last"]
        self._others, self._hessian, self._mass = (float(state[k]) for k in ("others", "hessian", "mass"))


def flat_gradient(gradients: Iterable[Tensor | None], parameters: Sequence[Tensor]) -> Tensor:
    """One vector of the gradients to all parameters; zero where there is none."""
    pairs = zip(parameters, gradients, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).detach().reshape(-1) for p, g in pairs])
