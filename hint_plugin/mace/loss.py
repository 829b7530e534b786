"""MACE's loss plus the Hessian term, and the forward pass that feeds it.

`take_step` of MACE calls ``model(batch, ...)`` and then ``loss(pred, ref)``. HINT puts `HessianForward` in
the place of the model: it evaluates the labelled structures of the batch apart from the others when that is
cheaper, and leaves what the Hessian term needs in ``pred["hint"]``, where `HintLoss` finds it. Parameters,
checkpoints, EMA and optimiser never see either of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from hint_plugin.core.auto_weight import AutoWeight, flat_gradient
from hint_plugin.core.batches import BatchLabels, merge_parts, moved, worth_splitting
from hint_plugin.core.hvp import DIFFERENCE_STEP
from hint_plugin.core.labels import StructureLabel, draw_batch
from hint_plugin.core.losses import MODES, HessianLoss, LossMode
from hint_plugin.mace.labels import batch_labels, labelled_part, sub_batch
from hint_plugin.mace.options import HintOptions

if TYPE_CHECKING:
    from hint_plugin.mace.compiled_step import CompiledStep

#: How MACE's model is called for forces that can be differentiated again, and nothing else.
FORCES_WITH_GRAPH = {
    "training": True,
    "compute_force": True,
    "compute_virials": False,
    "compute_stress": False,
}


@dataclass
class Clock:
    """Where the training is: the progress that the schedule and the probes depend on."""

    step: int = 0
    steps_per_epoch: int = 1
    total_steps: int = 1

    def start_epoch(self, epoch: int) -> None:
        """Called before each epoch; a restarted training goes on where it was."""
        self.step = epoch * self.steps_per_epoch - 1


@dataclass
class HessianInput:
    """What the Hessian term of one batch needs: labelled structures only.

    Attributes:
        forces: F [n, 3] with their graph (used where the mode is analytic).
        positions: the leaf [n, 3].
        owner, ptr: structure of each atom, offsets.
        labels, weights: of these structures.
        force_function: positions -> F of the same structures (used for differences).
        ready: probes, predicted and reference products, [K, n, 3] each, where a compiled step has made them.
    """

    forces: Tensor
    positions: Tensor
    owner: Tensor
    ptr: Tensor
    labels: list[StructureLabel]
    weights: Tensor
    force_function: Callable[[Tensor], Tensor]
    ready: tuple[Tensor, Tensor, Tensor] | None = None


class HintLoss(torch.nn.Module):
    """L = L_base + lambda_H(t) L_H (HINT, Eq. 2), called like any loss of MACE.

    Args:
        base: MACE's own loss.
        options: HINT's options.
        clock: shared by the losses of both training stages.
    """

    def __init__(self, base: torch.nn.Module, options: HintOptions, clock: Clock) -> None:
        super().__init__()
        self.base = base
        self.options = options
        self.clock = clock
        self.schedule = options.weight_schedule()
        self.auto = AutoWeight(options.ratio_schedule()) if options.weight == "auto" else None
        self.mode = MODES[options.mode]
        self.hessian_loss = HessianLoss(
            options.penalty, options.huber_delta, options.clip or None, options.normalise
        )
        self.trained: list[torch.nn.Parameter] = []  #: parameters of the model, for --hint_weight auto
        self.stage = 1  #: 2 is MACE's stage two, with a weight of its own for --hint_weight auto
        self.unweighted = 0  #: steps with labels that had no weight yet, for --hint_weight auto
        self.compiled: CompiledStep | None = None  #: with --hint_compile yes
        self.final_table = False  #: the table of errors after training is being made
        self.evaluations = 0  #: validations so far, for --hint_exact_interval
        self.trained_since = False  #: an epoch was trained since the last of them
        self.evaluated: list[dict[str, float]] = []  #: Hessian errors of the sets of that table

    @property
    def due(self) -> bool:
        """Whether this step has the Hessian term (``--hint_every``)."""
        wanted = self.schedule if self.auto is None else self.auto.ratio
        return (
            self.clock.step % self.options.every == 0
            and wanted.at_step(self.clock.step, self.clock.total_steps) > 0
        )

    @property
    def weight(self) -> float:
        """lambda_H of this step."""
        schedule = self.schedule if self.auto is None else self.auto
        return schedule.at_step(self.clock.step, self.clock.total_steps)

    @property
    def validation_loss(self) -> HessianLoss:
        """That of validation, which draws Rademacher probes whatever the mode, and whose weight never moves.

        Its expectation is that of the training's term. So it is *elements* where the training's probes have
        length 1. It is so as well where the weight follows the gradients, whatever the training's term is.
        """
        if self.auto is None and not self.mode.unit_probes:
            return self.hessian_loss
        return replace(self.hessian_loss, normalise="elements")

    def forward(self, pred: dict[str, Any], ref: Any, ddp: bool | None = None) -> Tensor:
        """The loss of a batch; ``pred["hint"]`` is absent when no structure of it is labelled."""
        extra = {} if ddp is None else {"ddp": ddp}
        loss: Tensor = self.base(pred=pred, ref=ref, **extra)
        if not self.due or "hint" not in pred:
            return loss
        total = count = pred["energy"].new_zeros(())
        if pred["hint"] is not None:
            total, count = self.hessian_term(pred["hint"], self.mode, self.options.probes, self.clock.step)
        labelled, processes = labelled_everywhere(count)
        term = total / (labelled.clamp_min(1) / processes)
        if self.auto is not None and self.auto.due(self.clock.step) and int(labelled):
            return self._measured(loss, term)
        return loss + self.weight * self.options.every * term

    def _measured(self, base: Tensor, term: Tensor) -> Tensor:
        """L_base + lambda_H L_H, with lambda_H from the gradients of both, which are taken one by one.

        The result has the sum of them as its gradient, so that nothing is differentiated again: what it
        costs is a second way back through the graph, in one of `hint_plugin.core.auto_weight.EVERY` steps.
        With several processes the norms are those of the averaged gradients, and the same in all of them.
        """
        assert self.auto is not None
        pulls = [gradients(value, self.trained) for value in (base, term)]
        norms = mean_over_processes(torch.stack([flat_gradient(g, self.trained) for g in pulls])).norm(dim=1)
        if distributed():
            torch.distributed.broadcast(norms, 0)
        others, hessian = norms.tolist()
        self.unweighted += not (self.auto.update(self.clock.step, others, hessian) or self.auto.measured)
        weight = self.weight * self.options.every
        pull = term.new_zeros(())
        for parameter, a, b in zip(self.trained, *pulls, strict=True):
            parts = [g for g in (a, None if b is None else weight * b) if g is not None]
            if parts:
                pull = pull + (parameter * sum(parts)).sum()
        return base.detach() + weight * term.detach() + (pull - pull.detach())

    def hessian_term(
        self, inputs: HessianInput, mode: LossMode, probes: int, step: int
    ) -> tuple[Tensor, Tensor]:
        """(weighted sum of the structures' losses, number of labelled structures) of a batch."""
        v, product, reference = inputs.ready or self.products(inputs, mode, probes, step, create_graph=True)
        return self.hessian_loss(product, reference, v, inputs.owner, inputs.weights)

    def products(
        self, inputs: HessianInput, mode: LossMode, probes: int, step: int, *, create_graph: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Probes as ``mode`` draws them, predicted and reference products of a batch, [K, n, 3] each."""
        device = inputs.positions.device
        v, reference = (moved(x, device) for x in self.draw(inputs.labels, mode, probes, step))
        dtype = inputs.positions.dtype
        step_size = self.options.difference_step or DIFFERENCE_STEP[dtype]
        directions, divisor = self.mode.directions(v.to(dtype), inputs.ptr, step_size)
        product = self.mode.products(inputs, directions, create_graph=create_graph)
        return v, product if divisor is None else product / divisor, reference

    def draw(
        self, labels: list[StructureLabel], mode: LossMode, probes: int, step: int
    ) -> tuple[Tensor, Tensor]:
        """Probes of a step and the labels' products, [K, n, 3] each."""
        return draw_batch(labels, mode, probes, int(self.options.seed or 0), step)

    def extra_repr(self) -> str:
        """Shown in MACE's log."""
        o = self.options
        start, end = (o.weight_start, o.weight_end) if self.auto is None else (o.ratio_start, o.ratio_end)
        weight = f"{end}" if o.schedule == "constant" else f"{start} -> {end} ({o.schedule})"
        if o.schedule == "step":
            weight = f"{start}, then {o.schedule_steps} ({o.schedule})"
        if self.auto is not None:
            weight = f"auto, ratio of the gradients {weight}"
        shown = f"mode={o.mode}, probes={o.probes}, lambda_H={weight}, penalty={o.penalty}"
        return f"{shown}, normalise={o.normalise}"


def labelled_everywhere(count: Tensor) -> tuple[Tensor, int]:
    """Labelled structures of a step in all processes, and the number of these. Every process must call it.

    The sum over the structures divided by the mean number a process has, of all, has the gradient of the mean
    over all labelled structures of the step, wherever they are, once gradients are averaged.
    """
    total = count.detach().to(torch.get_default_dtype(), copy=True)
    if not distributed():
        return total, 1
    torch.distributed.all_reduce(total)
    return total, torch.distributed.get_world_size()


def gradients(value: Tensor, parameters: list[torch.nn.Parameter]) -> list[Tensor | None]:
    """Of a number to the parameters, the graph kept; None where it does not depend on one."""
    if not value.requires_grad:
        return [None] * len(parameters)
    return list(torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True))


def mean_over_processes(values: Tensor) -> Tensor:
    """As DistributedDataParallel takes it of gradients. Every process must call it."""
    if not distributed():
        return values
    torch.distributed.all_reduce(values)
    return values / torch.distributed.get_world_size()


class HessianForward:
    """Stands in for the model within one training step.

    Args:
        model: MACE's model, or its DistributedDataParallel.
        loss: tells whether this step has a Hessian term, and how.
        host: of the batch, what `on_host` has kept of it; by default it is taken from the batch, and the host
            waits for the device to read it.
    """

    def __init__(
        self, model: torch.nn.Module, loss: HintLoss, host: Mapping[str, Tensor] | None = None
    ) -> None:
        self.model = model
        self.loss = loss
        self.host = host

    def parameters(self) -> Any:
        """The model's: MACE clips their gradients."""
        return self.model.parameters()

    def __call__(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        pred: dict[str, Any]
        if not self.loss.due:
            return self._evaluated(batch, kwargs)
        if self.loss.auto is not None:
            self.loss.trained = [p for p in self.model.parameters() if p.requires_grad]
        host = batch if self.host is None else self.host
        labels = batch_labels(host)
        if not labels.labelled:
            pred = self._evaluated(batch, kwargs)
            if distributed():  # another process may have labels: counting them is a collective call
                pred["hint"] = None
            return pred
        part = labelled_part(batch, labels, split=self._two_passes(host, labels), host=host)
        found, ready = self._with_products(part, kwargs)
        pred = found
        if part.batch is not batch:
            rest = self._evaluated(sub_batch(batch, labels.unlabelled, host), kwargs)
            pred = merge_parts(found, rest, host["batch"], labels.labelled, labels.unlabelled)
        inputs = hessian_input(self.model, part.batch, found, part.labels, part.weights, kwargs)
        pred["hint"] = replace(inputs, ready=ready)
        return pred

    def _evaluated(self, batch: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The model's outputs without products."""
        made = None if self.loss.compiled is None else self.loss.compiled(batch, None, kwargs)
        found: dict[str, Any] = self.model(batch, **kwargs) if made is None else made[0]
        return found

    def _with_products(
        self, part: Any, kwargs: dict[str, Any]
    ) -> tuple[dict[str, Any], tuple[Tensor, Tensor, Tensor] | None]:
        """The model's outputs for labelled structures, and what a compiled step has made beside them."""
        if self.loss.compiled is not None:
            options, step = self.loss.options, self.loss.clock.step
            drawn = self.loss.draw(part.labels, self.loss.mode, options.probes, step)
            v, reference = (moved(x, part.batch["positions"].device) for x in drawn)
            made = self.loss.compiled(part.batch, v.to(part.batch["positions"].dtype), kwargs)
            if made is not None and made[1] is not None:
                return made[0], (v, made[1], reference)
        return self.model(part.batch, **kwargs), None

    def _two_passes(self, host: Mapping[str, Tensor], labels: BatchLabels) -> bool:
        """Whether the labelled structures are better evaluated apart from the others."""
        split = "never" if distributed() else self.loss.options.split
        return worth_splitting(labels, split, host["batch"], host["edge_index"])


def hessian_input(
    model: torch.nn.Module,
    batch: dict[str, Any],
    pred: dict[str, Any],
    labels: list[StructureLabel],
    weights: Tensor,
    kwargs: dict[str, Any],
) -> HessianInput:
    """What the Hessian term needs of an evaluated batch, whose structures have ``labels``."""
    alone = own_model(model)

    def forces(positions: Tensor) -> Tensor:
        found: Tensor = alone({**batch, "positions": positions.detach()}, **kwargs)["forces"]
        return found

    return HessianInput(
        forces=pred["forces"],
        positions=batch["positions"],
        owner=batch["batch"],
        ptr=batch["ptr"],
        labels=labels,
        weights=weights,
        force_function=forces,
    )


def own_model(model: torch.nn.Module) -> torch.nn.Module:
    """This process's model, without DistributedDataParallel.

    Every call of a DistributedDataParallel is a collective call (it sends the buffers), and here a process
    calls as often as its own labels want: the processes would wait for each other for ever.
    """
    return model.module if isinstance(model, DistributedDataParallel) else model


def distributed() -> bool:
    """Whether several processes train together."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()
