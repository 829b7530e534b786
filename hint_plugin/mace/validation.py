"""Validation with Hessians: final weight and fixed probes, so that epochs can be compared with each other.

A weight that grows, or probes that change, would make the validation loss rise or jump while the model
improves, and MACE keeps the checkpoint of the lowest validation loss.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from ase.data import atomic_masses
from torch import Tensor

from hint_plugin.core.hvp import hessians_from_forces
from hint_plugin.core.labels import VALIDATION_STEP
from hint_plugin.core.losses import HessianLoss, LossMode
from hint_plugin.core.metrics import HessianMetrics
from hint_plugin.core.operator import HessianOperator
from hint_plugin.data.batch_labels import BatchLabels
from hint_plugin.mace.labels import LabelledPart, labelled_part, sub_batch
from hint_plugin.mace.loss import (
    FORCES_WITH_GRAPH,
    HessianInput,
    HintLoss,
    distributed,
    hessian_input,
    own_model,
)

#: What the exact comparison reports: name in the results -> name in `HessianMetrics.result`, unit.
EXACT = {
    "mae_hessian": ("hessian_mae", "eV/A^2"),
    "mae_eigenvalues": ("eigenvalues_mae", "eV/A^2"),
    "mae_frequencies": ("frequencies_mae", "cm^-1"),
}


@dataclass
class _Sums:
    """Of one validation set."""

    loss: float = 0.0
    structures: int = 0
    squares: float = 0.0
    labelled: int = 0
    exact: HessianMetrics = field(default_factory=HessianMetrics)


def validate(
    model: torch.nn.Module,
    loss: HintLoss,
    data_loader: Iterable[Any],
    device: torch.device,
    frozen: Callable[[torch.nn.Module], AbstractContextManager[None]],
    *,
    exact: int,
) -> dict[str, float]:
    """Hessian errors of a model on a set of structures.

    Args:
        model: MACE's model.
        loss: the training's loss, for its probes, penalty and final weight.
        data_loader: MACE's loader.
        device: of the model.
        frozen: MACE's context manager that keeps parameters out of the graph.
        exact: number of structures with a full label whose exact Hessians are compared, in each process.

    Returns:
        ``hessian_loss`` (the weighted term, in MACE's normalisation of a validation loss: sum of the
        batches' means over number of structures), ``rmse_hessian`` (eV/A^2, over all labelled structures,
        estimated with the fixed probes), and the exact values of `EXACT`; empty where no structure is
        labelled.
    """
    sums = _Sums()
    model = own_model(model)
    with frozen(model):
        for batch in data_loader:
            data = batch.to(device).to_dict()
            sums.structures += len(data["ptr"]) - 1
            labels = BatchLabels(data)
            if labels.labelled:
                _add_batch(sums, model, loss, labelled_part(data, labels), exact)
    return _summary(sums, loss, device)


def _add_batch(sums: _Sums, model: torch.nn.Module, loss: HintLoss, part: LabelledPart, exact: int) -> None:
    batch, labels, weights = part
    with torch.enable_grad():
        inputs = hessian_input(
            model, batch, model(batch, **FORCES_WITH_GRAPH), labels, weights, FORCES_WITH_GRAPH
        )
        mode = LossMode.DIFFERENCE if loss.mode is LossMode.DIFFERENCE else LossMode.HUTCHINSON
        probes = max(1, loss.options.validation_probes)
        v, product, reference = loss.products(inputs, mode, probes, VALIDATION_STEP, create_graph=False)
    product = product.detach()
    total, count = loss.hessian_loss(product, reference, v, inputs.owner, weights)
    squares = HessianLoss(clip=None).per_structure(product, reference, v, inputs.owner, len(labels))
    sums.loss += float(total / count.clamp_min(1))
    sums.squares += float(squares[weights > 0].sum())
    sums.labelled += int(count)
    if sums.exact.n_full < exact:
        _add_exact(sums.exact, model, loss.mode, batch, inputs, exact - sums.exact.n_full)


def _add_exact(
    metrics: HessianMetrics,
    model: torch.nn.Module,
    mode: LossMode,
    batch: dict[str, Any],
    inputs: HessianInput,
    limit: int,
) -> None:
    """Exact Hessians of the first ``limit`` structures of the batch that have a full label."""
    full = [
        g
        for g, label in enumerate(inputs.labels)
        if label.rows is not None and len(label.rows) == 3 * label.n_atoms
    ]
    chosen = full[:limit]
    part = sub_batch(batch, chosen) if chosen else None
    if part is None:
        return
    with torch.enable_grad():
        forces = model(part, **FORCES_WITH_GRAPH)["forces"]
        if mode is LossMode.DIFFERENCE:
            alone = hessian_input(model, part, {"forces": forces}, [], inputs.weights, FORCES_WITH_GRAPH)
            whole = HessianOperator.from_differences(alone.force_function, part["positions"].detach()).dense()
            ends = [3 * int(p) for p in part["ptr"]]
            hessians = [whole[a:b, a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]
        else:
            hessians = hessians_from_forces(forces, part["positions"], part["ptr"])
    numbers = _atomic_numbers(model, part)
    for i, (g, hessian) in enumerate(zip(chosen, hessians, strict=True)):
        atoms = slice(int(part["ptr"][i]), int(part["ptr"][i + 1]))
        masses = torch.as_tensor(atomic_masses[numbers[atoms].cpu().numpy()])
        periodic = bool(part["pbc"].reshape(len(chosen), -1)[i].all()) if "pbc" in part else False
        reference = inputs.labels[g].rows
        assert reference is not None
        positions = part["positions"][atoms].detach()
        metrics.update_hessian(
            hessian.cpu().double(), reference.cpu().double(), positions.cpu().double(), masses, periodic
        )


def _atomic_numbers(model: torch.nn.Module, batch: dict[str, Any]) -> Tensor:
    numbers = model.get_buffer("atomic_numbers")
    return numbers[batch["node_attrs"].argmax(dim=-1)]


def _summary(sums: _Sums, loss: HintLoss, device: torch.device) -> dict[str, float]:
    totals = torch.tensor(
        [sums.loss, sums.structures, sums.squares, sums.labelled],
        dtype=torch.float64,
        device=device,  # NCCL sums nothing that is on the CPU
    )
    exact = sums.exact
    if distributed():
        torch.distributed.all_reduce(totals)
        found = [HessianMetrics() for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(found, exact)
        exact = functools.reduce(HessianMetrics.merge, found)
    term, structures, squares, labelled = totals.tolist()
    if not labelled:
        return {}
    out = {
        "hessian_loss": loss.schedule.final * term / max(1.0, structures),
        "rmse_hessian": math.sqrt(squares / labelled),
        "hessian_labels": labelled,
    }
    if exact.n_full:
        errors = exact.result()
        out.update({name: errors[source] for name, (source, _) in EXACT.items() if source in errors})
        out["hessian_exact"] = float(exact.n_full)
    return out


def describe(metrics: dict[str, Any]) -> str:
    """One line for the log; empty where nothing was labelled."""
    if "rmse_hessian" not in metrics:
        return ""
    parts = [f"RMSE_H={metrics['rmse_hessian']:8.4f} eV / A^2 ({metrics['hessian_labels']:.0f} labels)"]
    parts += [
        f"{name.replace('mae_', 'MAE_')}={metrics[name]:.4f} {unit}"
        for name, (_, unit) in EXACT.items()
        if name in metrics
    ]
    return ", ".join(parts)
