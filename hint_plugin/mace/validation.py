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

from hint_plugin.core.devices import widest_float
from hint_plugin.core.labels import VALIDATION_STEP
from hint_plugin.core.losses import HessianLoss, LossMode
from hint_plugin.core.metrics import HessianMetrics
from hint_plugin.mace.labels import LabelledPart, batch_labels, labelled_part, sub_batch
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
    """Of one validation set, with the sizes of the references, beside which the errors are read."""

    loss: float = 0.0
    structures: int = 0
    squares: float = 0.0
    size_squares: float = 0.0
    labelled: int = 0
    forces: float = 0.0
    force_squares: float = 0.0
    force_components: int = 0
    exact: HessianMetrics = field(default_factory=HessianMetrics)

    def add_forces(self, data: dict[str, Any]) -> None:
        """The reference forces of a batch; a structure that has none does not count."""
        known = ((data["forces_weight"] > 0) & (data["weight"] > 0)).reshape(-1)[data["batch"]]
        forces = data["forces"][known]
        self.forces += float(forces.abs().sum())
        self.force_squares += float(forces.square().sum())
        self.force_components += forces.numel()


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
        estimated with the fixed probes), and the exact values of `EXACT`; beside them the sizes of the
        references: ``rms_hessian`` (estimated alike), ``mean_<quantity>`` (of absolute values, for each of
        `EXACT`), ``mean_forces`` and ``rms_forces`` (eV/A). Empty where no structure is labelled.

    Raises:
        DataError: a batch without the arrays of the labels.
    """
    sums = _Sums()
    model = own_model(model)
    with frozen(model):
        for batch in data_loader:
            data = batch.to(device).to_dict()
            sums.structures += len(data["ptr"]) - 1
            sums.add_forces(data)
            labels = batch_labels(data)
            if labels.labelled:
                _add_batch(sums, model, loss, labelled_part(data, labels), exact)
    return _summary(sums, loss, device)


def _add_batch(sums: _Sums, model: torch.nn.Module, loss: HintLoss, part: LabelledPart, exact: int) -> None:
    batch, labels, weights = part
    with torch.enable_grad():
        inputs = hessian_input(
            model, batch, model(batch, **FORCES_WITH_GRAPH), labels, weights, FORCES_WITH_GRAPH
        )
        probes = max(1, loss.options.validation_probes)
        v, product, reference = loss.products(
            inputs, loss.mode.few, probes, VALIDATION_STEP, create_graph=False
        )
    product = product.detach()
    total, count = loss.validation_loss(product, reference, v, inputs.owner, weights)
    mean_square = functools.partial(
        HessianLoss(clip=None).per_structure, probes=v, owner=inputs.owner, n_structures=len(labels)
    )
    sums.loss += float(total / count.clamp_min(1))
    sums.squares += float(mean_square(product, reference)[weights > 0].sum())
    sums.size_squares += float(mean_square(torch.zeros_like(reference), reference)[weights > 0].sum())
    sums.labelled += int(count)
    if sums.exact.n_full < exact:
        _add_exact(sums, model, loss.mode, batch, inputs, exact - sums.exact.n_full)


def _add_exact(
    sums: _Sums,
    model: torch.nn.Module,
    mode: LossMode,
    batch: dict[str, Any],
    inputs: HessianInput,
    limit: int,
) -> None:
    """Exact Hessians of the first ``limit`` structures of the batch that have a full label."""
    full = [g for g, label in enumerate(inputs.labels) if label.full]
    chosen = full[:limit]
    part = sub_batch(batch, chosen) if chosen else None
    if part is None:
        return
    with torch.enable_grad():
        found = model(part, **FORCES_WITH_GRAPH)
        alone = hessian_input(model, part, found, [], inputs.weights, FORCES_WITH_GRAPH)
        hessians = mode.hessians(alone, part["ptr"])
    numbers = _atomic_numbers(model, part)
    for i, (g, hessian) in enumerate(zip(chosen, hessians, strict=True)):
        atoms = slice(int(part["ptr"][i]), int(part["ptr"][i + 1]))
        masses = torch.as_tensor(atomic_masses[numbers[atoms].cpu().numpy()])
        periodic = bool(part["pbc"].reshape(len(chosen), -1)[i].all()) if "pbc" in part else False
        rows = inputs.labels[g].rows
        assert rows is not None
        reference, positions = rows.cpu().double(), part["positions"][atoms].detach().cpu().double()
        sums.exact.update_hessian(hessian.cpu().double(), reference, positions, masses, periodic)


def _atomic_numbers(model: torch.nn.Module, batch: dict[str, Any]) -> Tensor:
    numbers = model.get_buffer("atomic_numbers")
    return numbers[batch["node_attrs"].argmax(dim=-1)]


def _summary(sums: _Sums, loss: HintLoss, device: torch.device) -> dict[str, float]:
    totals = torch.tensor(
        [
            *(sums.loss, sums.structures, sums.squares, sums.size_squares, sums.labelled),
            *(sums.forces, sums.force_squares, sums.force_components),
        ],
        dtype=torch.float64,
    )
    exact = sums.exact
    if distributed():
        totals = totals.to(device, widest_float(device))  # NCCL sums nothing that is on the CPU
        torch.distributed.all_reduce(totals)
        found = [exact] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(found, exact)
        exact = functools.reduce(HessianMetrics.merge, found)
    term, structures, squares, size_squares, labelled, forces, force_squares, components = totals.tolist()
    if not labelled:
        return {}
    out = {
        "hessian_loss": loss.schedule.final * term / max(1.0, structures),
        "rmse_hessian": math.sqrt(squares / labelled),
        "rms_hessian": math.sqrt(size_squares / labelled),
        "hessian_labels": labelled,
    }
    if components:
        out |= {"mean_forces": forces / components, "rms_forces": math.sqrt(force_squares / components)}
    if exact.n_full:
        errors = exact.result()
        for name, (source, _) in EXACT.items():
            if source in errors:
                out[name] = errors[source]
                out[size_of(name)] = errors[source.removesuffix("_mae") + "_size"]
        out["hessian_exact"] = float(exact.n_full)
    return out


def size_of(name: str) -> str:
    """The key of the reference's size beside the one of an error: mae_hessian -> mean_hessian."""
    return {"rmse_hessian": "rms_hessian"}.get(name, name.replace("mae_", "mean_"))


def describe(metrics: dict[str, Any]) -> str:
    """One line for the log, each error with the size of its reference; empty where nothing was labelled."""
    if "rmse_hessian" not in metrics:
        return ""
    parts = [
        f"RMSE_H={metrics['rmse_hessian']:8.4f} of {metrics['rms_hessian']:.4f} eV / A^2 "
        f"({metrics['hessian_labels']:.0f} labels)"
    ]
    parts += [
        f"{name.replace('mae_', 'MAE_')}={metrics[name]:.4f} of {metrics[size_of(name)]:.4f} {unit}"
        for name, (_, unit) in EXACT.items()
        if name in metrics
    ]
    if "hint_weight" in metrics:
        parts.append(
            f"lambda_H={metrics['hint_weight']:.4g} (gradients: energies and forces "
            f"{metrics['gradient_base']:.4g}, Hessian {metrics['gradient_hessian']:.4g})"
        )
    if "mean_forces" in metrics:
        mean, rms = (1e3 * metrics[key] for key in ("mean_forces", "rms_forces"))
        parts.append(f"reference forces: mean |F|={mean:.2f}, RMS={rms:.2f} meV / A")
    return ", ".join(parts)
