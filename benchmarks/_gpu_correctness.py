"""Correctness on a device: a training step against the CPU in float64, and against differences.

| number | compared with | tolerance in float64, float32 |
|---|---|---|
| E, F, H v, gradient of the loss | the CPU in float64, |a - b| / |b| | `CPU_TOLERANCE` |
| H v | differences of forces on the device | `hint_plugin.core.derivatives.TOLERANCE` |
| gradient of |H v|^2 to the parameters | a difference over these | `GRADIENT_TOLERANCE` of the same module |
"""

from __future__ import annotations

import copy
import functools
import importlib.util
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from _gpu_rows import MissingError
from _mace import without_pictures
from torch import Tensor

from hint_plugin.core.derivatives import (
    GRADIENT_TOLERANCE,
    TOLERANCE,
    Deviation,
    gradient_deviation,
    product_deviation,
)
from hint_plugin.core.devices import default_dtype
from hint_plugin.core.hvp import DIFFERENCE_STEP, hvp_by_difference

#: Largest relative deviation from the CPU in float64: rounding, the more the higher the derivative. A CPU in
#: float32 is off by 1e-6 in all of them; products in TF32 would be by 1e-3.
CPU_TOLERANCE = {
    torch.float64: {"E": 1e-9, "F": 1e-9, "H v": 1e-8, "gradient": 1e-8},
    torch.float32: {"E": 1e-5, "F": 1e-4, "H v": 2e-4, "gradient": 5e-4},
}
#: Ethanol molecules in the batch, and how many of them have a label: they are evaluated apart.
STRUCTURES, LABELLED, ATOMS = 3, 2, 9
ELEMENTS = [1, 6, 8]

#: What was found: numbers of a step, and the deviations from differences.
Answers = tuple[dict[str, Tensor], dict[str, Deviation | None]]


def need(package: str, name: str) -> None:
    """Raises MissingError where a framework is not in this environment."""
    if importlib.util.find_spec(package) is None:
        raise MissingError(f"{name} is not in this environment; start this part again in one that has it")
    if package == "mace":
        without_pictures()


def make_alphanet(size: str) -> Any:
    """An AlphaNet of that size with random weights, called like a model of MACE."""
    from hint_plugin.mace.alphanet import AlphaNetForMACE
    from hint_plugin.models.alphanet import SIZES, AlphaNet

    torch.manual_seed(0)
    plain = AlphaNet(ELEMENTS, replace(SIZES[size], cutoff=5.0), average_neighbours=10.0)
    return AlphaNetForMACE(plain, np.zeros(len(ELEMENTS)))


def placed(model: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A copy of a model on a device, in a precision."""
    return copy.deepcopy(model).to(dtype).to(device)


def relative(a: Tensor, b: Tensor) -> float:
    """|a - b| / |b|; NaN where there is nothing to compare, which no tolerance allows."""
    a, b = a.detach().cpu().double().flatten(), b.detach().cpu().double().flatten()
    size = float(b.norm())
    return float((a - b).norm()) / size if size > 0 else float("nan")


def gradient_of(parameters: list[Tensor]) -> Tensor:
    """All of them in one vector, on the CPU: what has no gradient counts as zero."""
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).detach().cpu().flatten() for p in parameters]
    )


def mace_answers(
    model: Any, kind: str, device: torch.device, dtype: torch.dtype, differences: bool = True
) -> Answers:
    """Of a step of `mace_run_train --loss hint_hutchinson` with two probes, one structure without label.

    Args:
        model: of MACE or in its place, float64 on the CPU; it stays as it is.
        kind: of kernels, "mace" or "fast".
        device, dtype: where and how precisely to compute.
        differences: also compare with differences.
    """
    from mace import modules
    from training_step import make_batch

    from hint_plugin.mace import kernels
    from hint_plugin.mace.labels import on_host
    from hint_plugin.mace.loss import Clock, HessianForward, HintLoss
    from hint_plugin.mace.options import HintOptions

    with default_dtype(dtype), ExitStack() as training:
        own = placed(model, device, dtype)
        training.enter_context(kernels.use(own, kind))  # type: ignore[arg-type]
        base = modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=100.0).to(device)
        options = HintOptions(mode="hutchinson", probes=2, split="always", schedule="constant", seed=0)
        loss = HintLoss(base, options, Clock())
        rest, host = on_host(make_batch(ATOMS, LABELLED, STRUCTURES))
        rest = rest.to(device)
        used = HessianForward(own, loss, host)

        def evaluate() -> dict[str, Any]:
            return used(rest.to_dict(), training=True, compute_force=True)

        def products(pred: dict[str, Any]) -> tuple[Tensor, Tensor]:
            made = loss.products(pred["hint"], loss.mode, 2, 0, create_graph=True)
            return made[0], made[1]

        pred = evaluate()
        probes, product = products(pred)
        inputs = pred["hint"]
        found = {"E": pred["energy"].detach(), "F": pred["forces"].detach(), "H v": product.detach()}
        loss(pred=pred, ref=rest).backward()
        parameters = [p for p in own.parameters() if p.requires_grad]
        found["gradient"] = gradient_of(parameters)
        if not differences:
            return found, {}
        wanted = hvp_by_difference(
            lambda x: inputs.force_function(x).detach(),
            inputs.positions.detach(),
            probes.to(dtype),
            step=DIFFERENCE_STEP[dtype],
            ptr=inputs.ptr,
        )
        return found, {
            "H v, differences": product_deviation(product, wanted),
            "gradient, differences": gradient_deviation(
                lambda: products(evaluate())[1].square().sum(), parameters
            ),
        }


def nequip_answers(device: torch.device, dtype: torch.dtype, differences: bool = True) -> Answers:
    """The same of a step of `nequip-train` with `HessianModel` and `HessianLoss`."""
    from nequip.train import EnergyForceLoss
    from nequip.utils.global_state import set_global_state
    from nequip_step import make_batch, make_model, to_device

    from hint_plugin.nequip import HessianLoss
    from hint_plugin.nequip.batches import offsets
    from hint_plugin.nequip.fields import PRODUCTS, STEP

    set_global_state()
    row, small = (2, LABELLED, "always", "hutchinson", "eager"), {"num_layers": 2, "num_features": 8}
    exact = make_model(row, "nequip", "float64", **small)
    own = make_model(row, "nequip", str(dtype).removeprefix("torch."), **small)
    own.load_state_dict(exact.state_dict())
    own = own.to(device)
    term = [{"name": "hessian", "coeff": 1.0, "metric": HessianLoss()}]
    loss = EnergyForceLoss({"total_energy": 1.0, "forces": 100.0}, extra_metrics=term).to(device)
    batch = to_device(
        make_batch(ATOMS, LABELLED, STRUCTURES) | {STEP: torch.zeros(1, dtype=torch.long)}, str(device)
    )
    alone = to_device(make_batch(ATOMS, 1, 1) | {STEP: torch.zeros(1, dtype=torch.long)}, str(device))
    out = own(batch.copy())
    made = out[PRODUCTS]
    found = {"E": out["total_energy"].detach(), "F": out["forces"].detach(), "H v": made.predicted.detach()}
    loss(out, batch)["weighted_sum"].backward()
    parameters = [p for p in own.parameters() if p.requires_grad]
    found["gradient"] = gradient_of(parameters)
    if not differences:
        return found, {}

    def products() -> Any:
        return own(alone.copy())[PRODUCTS]

    one, evaluate = products(), own.uncompiled(alone)
    wanted = hvp_by_difference(
        lambda x: evaluate(x)[1].detach(),
        alone["pos"].detach(),
        one.probes,
        step=DIFFERENCE_STEP[dtype],
        ptr=offsets(alone),
    )
    return found, {
        "H v, differences": product_deviation(one.predicted, wanted),
        "gradient, differences": gradient_deviation(lambda: products().predicted.square().sum(), parameters),
    }


def judged(found: Answers, exact: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Any]:
    """The deviations of a row, and what is beyond its tolerance."""
    deviations = {name: relative(found[0][name], exact[name]) for name in exact}
    beyond = [n for n, limit in CPU_TOLERANCE[dtype].items() if not deviations[n] <= limit]
    for name, deviation in found[1].items():
        limits = GRADIENT_TOLERANCE if name.startswith("gradient") else TOLERANCE
        deviations[name] = float("nan") if deviation is None else deviation.relative
        if deviation is None or not deviation.agrees(dtype, limits):
            beyond.append(name)
    wrong = [f"{name} is off by {deviations[name]:.1e} (relative)" for name in beyond]
    return {"deviations": deviations, **({"wrong": "; ".join(wrong)} if wrong else {})}


#: Device, precision, whether to compare with differences -> what was found.
Way = Callable[[torch.device, torch.dtype, bool], Answers]
#: The numbers of the CPU in float64.
Reference = Callable[[], dict[str, Tensor]]


def rows(channels: int) -> dict[str, tuple[torch.dtype, Way, Reference]]:
    """Name -> precision, what computes the numbers, and what computes those that they are compared with."""

    def mace(kind: str) -> Way:
        def answers(device: torch.device, dtype: torch.dtype, differences: bool) -> Answers:
            need("mace", "MACE")
            from training_step import make_model

            with default_dtype(torch.float64):
                model = make_model(channels)
            return mace_answers(model, kind, device, dtype, differences)

        return answers

    def alphanet(device: torch.device, dtype: torch.dtype, differences: bool) -> Answers:
        need("mace", "MACE, by whose training AlphaNet is run here,")
        with default_dtype(torch.float64):
            model = make_alphanet("small")
        return mace_answers(model, "mace", device, dtype, differences)

    def nequip(device: torch.device, dtype: torch.dtype, differences: bool) -> Answers:
        need("nequip", "NequIP")
        return nequip_answers(device, dtype, differences)

    def on_cpu(way: Way) -> Reference:
        return functools.cache(lambda: way(torch.device("cpu"), torch.float64, False)[0])

    stock = on_cpu(mace("mace"))
    ways = {
        "MACE": (mace("mace"), stock),
        "MACE, HINT's kernels": (mace("fast"), stock),
        "AlphaNet": (alphanet, on_cpu(alphanet)),
        "NequIP": (nequip, on_cpu(nequip)),
    }
    precisions = {"float64": torch.float64, "float32": torch.float32}
    return {f"{name}, {p}": (d, *way) for name, way in ways.items() for p, d in precisions.items()}


def compare(answers: Way, reference: Reference, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """A row: `answers` on the device against `reference`."""
    return judged(answers(device, dtype, True), reference(), dtype)
