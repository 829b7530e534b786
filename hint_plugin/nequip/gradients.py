"""Norms of the gradients of a step of NequIP's training, for the weight that follows them.

Lightning differentiates the weighted sum of the terms. Before it does so, the Hessian term is differentiated
by itself; when all processes have averaged what Lightning found, the rest is that of energies and forces:

    g_EF = sum(c) g - c_H g_H,        g the gradient of sum_i c_i L_i / sum(c)     (NequIP divides by sum(c))

which costs one way back through the graph more, at the steps that are measured.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hint_plugin.core.auto_weight import AutoWeight, flat_gradient
from hint_plugin.nequip.loss import HessianLoss


class MeasuredStep:
    """What is known of the step that is being taken: the gradient of the Hessian term in this process.

    Args:
        auto: takes the norms.
    """

    def __init__(self, auto: AutoWeight) -> None:
        self.auto = auto
        self.stage = 1  #: of the training; what was measured in one says nothing of the other
        self.unweighted = 0  #: steps with labels while nothing could be measured yet
        self._hessian: Tensor | None = None

    def enter(self, stage: int) -> None:
        """Measure anew where another stage of the training begins."""
        if stage != self.stage:
            self.stage, self.auto = stage, AutoWeight(self.auto.ratio)

    def before_backward(self, pl_module: Any, term: HessianLoss, step: int, batches: int) -> None:
        """Differentiate the Hessian term, if the step is to be measured and some process has a label.

        Args:
            pl_module: of NequIP.
            term: the metric of the term, which has seen the batch.
            step: of the optimiser.
            batches: that one step of the optimiser adds up (``accumulate_grad_batches``).
        """
        value, labelled = term.take()
        if not self.auto.due(step) or int(labelled) == 0:
            return
        parameters = trained(pl_module)
        found: list[Tensor | None] = [None] * len(parameters)
        if value.requires_grad:
            found = list(torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True))
        # The value is that of all processes, and gradients are averaged: NequIP multiplies by their number.
        gradient = flat_gradient(found, parameters) * pl_module.world_size / batches
        self._hessian = gradient if self._hessian is None else self._hessian + gradient

    def before_optimizer_step(self, pl_module: Any, name: str, step: int, total: float) -> None:
        """Compare with the whole gradient, which all processes have averaged, and which is not yet clipped.

        Args:
            pl_module: of NequIP.
            name: of the Hessian term.
            step: of the optimiser.
            total: sum of the coefficients before NequIP has divided them by it.
        """
        if self._hessian is None:
            return
        hessian, self._hessian = self._hessian, None
        processes = pl_module.world_size
        if processes > 1:
            torch.distributed.all_reduce(hessian)
            hessian = hessian / processes
        parameters = trained(pl_module)
        whole = flat_gradient([p.grad for p in parameters], parameters)
        others = total * (whole - pl_module.loss.entries[name].coeff * hessian)
        norms = torch.stack([others.norm(), hessian.norm()])
        if processes > 1:
            torch.distributed.broadcast(norms, 0)
        used = self.auto.update(step, *norms.tolist())
        self.unweighted += not (used or self.auto.measured)


def trained(pl_module: Any) -> list[torch.nn.Parameter]:
    """The parameters of the model that are trained."""
    return [p for p in pl_module.model.parameters() if p.requires_grad]
