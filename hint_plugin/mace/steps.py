"""What HINT does around MACE's training functions, once a HINT loss is in use (see `hint_plugin.mace.seam`).

Functions take MACE's original and its arguments by name.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from hint_plugin.core.hvp import hvp_by_difference, hvp_from_forces
from hint_plugin.core.labels import draw_batch
from hint_plugin.core.losses import LossMode
from hint_plugin.data import LabelKeys, check_frames, iter_frames
from hint_plugin.data.batch_labels import BatchLabels
from hint_plugin.errors import DataError, HintError
from hint_plugin.mace import kernels
from hint_plugin.mace.loss import FORCES_WITH_GRAPH, HessianForward, HintLoss, hessian_input
from hint_plugin.mace.session import session
from hint_plugin.mace.validation import EXACT, describe, validate

Original = Callable[..., Any]
Arguments = dict[str, Any]

#: Largest relative difference between H v and differences of forces before training; rounding of float32
#: forces gives up to 1e-2 on stiff molecules, a wrong derivative gives 0.1 and more.
CHECK_TOLERANCE = {torch.float64: 1e-4, torch.float32: 5e-2}


def train(original: Original, arguments: Arguments) -> None:
    """MACE's training, after a look at the labels and a check of H v.

    Raises:
        DataError: no training structure has a Hessian label.
        HintError: H v of this model is not what differences of its forces give.
    """
    loss: HintLoss = arguments["loss_fn"]
    if not isinstance(loss, HintLoss):
        with kernels.use(arguments["model"], "fast" if session.kernels else "mace"):
            return original(**arguments)
    loader = arguments["train_loader"]
    clock = loss.clock
    lbfgs = isinstance(arguments["optimizer"], torch.optim.LBFGS)
    clock.steps_per_epoch = 1 if lbfgs else max(1, len(loader))
    clock.total_steps = clock.steps_per_epoch * max(1, arguments["max_num_epochs"])
    if arguments.get("swa") is not None:
        arguments["swa"].loss_fn.clock = clock
    if arguments.get("rank", 0) == 0:
        _report_labels(loss, loader, arguments["valid_loaders"])
    with kernels.use(arguments["model"], loss.options.kernels):
        if loss.options.check == "yes" and arguments.get("rank", 0) == 0:
            check_products(arguments["model"], loss, loader, arguments["device"])
        return original(**arguments)


def train_one_epoch(original: Original, arguments: Arguments) -> None:
    """One epoch, with the clock at its first step."""
    loss = arguments["loss_fn"]
    if isinstance(loss, HintLoss):
        loss.clock.start_epoch(arguments["epoch"])
        loss.trained_since = True
    return original(**arguments)


def take_step(original: Original, arguments: Arguments) -> Any:
    """One step of the optimiser, the model replaced by `HessianForward`."""
    loss = arguments["loss_fn"]
    if isinstance(loss, HintLoss):
        loss.clock.step += 1
        arguments["model"] = HessianForward(arguments["model"], loss)
    return original(**arguments)


take_step_lbfgs = take_step


def evaluate(original: Original, frozen: Any, *args: Any, **kwargs: Any) -> tuple[float, dict[str, Any]]:
    """MACE's evaluation with MACE's loss, plus the Hessian term with its final weight and fixed probes."""
    names = ("model", "loss_fn", "data_loader", "output_args", "device")
    arguments = {**dict(zip(names, args, strict=False)), **kwargs}
    loss = arguments["loss_fn"]
    if not isinstance(loss, HintLoss):
        return original(**arguments)
    value, metrics = original(**{**arguments, "loss_fn": loss.base})
    if loss.options.validation_probes == 0 and not loss.final_table:
        return value, metrics
    if loss.trained_since:  # several heads are one validation
        loss.trained_since, loss.evaluations = False, loss.evaluations + 1
    due = loss.final_table or loss.evaluations % loss.options.exact_interval == 0
    exact = loss.options.validation_exact if due else 0
    found = validate(
        arguments["model"], loss, arguments["data_loader"], arguments["device"], frozen, exact=exact
    )
    metrics.update(found)
    metrics["loss_without_hessian"] = float(value)
    value = value + found.get("hessian_loss", 0.0)
    metrics["loss"] = float(value)
    loss.evaluated.append(found)
    return value, metrics


def valid_err_log(original: Original, arguments: Arguments) -> None:
    """MACE's line of the log, then one with the Hessian errors; the numbers go to wandb too."""
    original(**arguments)
    metrics, name, epoch = arguments["eval_metrics"], arguments["valid_loader_name"], arguments["epoch"]
    line = describe(metrics)
    if not line:
        return
    logging.info(f"{'Initial' if epoch is None else f'Epoch {epoch}'}: head: {name}, {line}")
    if _wandb_in_use() and epoch is not None:
        import wandb

        numbers = {f"valid_{key}": metrics[key] for key in ("rmse_hessian", *EXACT) if key in metrics}
        wandb.log({name: numbers}, commit=False)


def create_error_table(original: Original, *args: Any, **kwargs: Any) -> Any:
    """MACE's table of errors, with columns for the Hessian."""
    loss = kwargs.get("loss_fn")
    if not isinstance(loss, HintLoss):
        return original(*args, **kwargs)
    loss.final_table, loss.evaluated = True, []
    try:
        table = original(*args, **kwargs)
    finally:
        loss.final_table = False
    found = loss.evaluated
    if len(found) == len(table.rows):
        for key, title in (
            ("rmse_hessian", "RMSE H / eV / A^2"),
            ("mae_hessian", "MAE H / eV / A^2"),
            ("mae_eigenvalues", "MAE eigenvalues / eV / A^2"),
        ):
            table.add_column(title, [f"{row[key]:8.4f}" if key in row else "-" for row in found])
        if kwargs.get("log_wandb"):
            import wandb

            names = [row[0] for row in table.rows]
            for name, row in zip(names, found, strict=True):
                wandb.log({f"{name}_final_{key}": value for key, value in row.items()})
    return table


def explain_bad_labels(path: str, keys: LabelKeys) -> None:
    """Read a file again and raise one error with every malformed label and its frame."""
    check_frames(iter_frames(path), keys, source=path).raise_if_bad()


def check_products(model: torch.nn.Module, loss: HintLoss, loader: Iterable[Any], device: Any) -> None:
    """Compare H v of the model with differences of its forces on the first labelled structure.

    A model can be wrong here while its forces are right: kernels without a third derivative, compiled models.

    Raises:
        HintError: the two differ, or H v cannot be differentiated to the parameters.
    """
    if loss.mode is LossMode.DIFFERENCE:
        return
    data = _first_labelled(loader, device)
    if data is None:
        return
    labels = BatchLabels(data)
    remedy = "use --loss hint_difference, which needs forces only"
    try:
        pred = model(data, **FORCES_WITH_GRAPH)
        inputs = hessian_input(model, data, pred, labels.labels, labels.weights, FORCES_WITH_GRAPH)
        v, _ = draw_batch(labels.labels, LossMode.HUTCHINSON, 1, 0, 0)
        product = hvp_from_forces(inputs.forces, inputs.positions, v)
        product.square().sum().backward()
    except RuntimeError as error:
        raise HintError(
            f"H v of this model cannot be trained ({str(error).splitlines()[0]}); {remedy}"
        ) from error
    finally:
        model.zero_grad(set_to_none=True)
    differences = hvp_by_difference(inputs.force_function, inputs.positions.detach(), v, ptr=inputs.ptr)
    deviation = _relative(product, differences)
    logging.info(f"HINT: H v agrees with differences of forces to {deviation:.1e} (relative)")
    if deviation > CHECK_TOLERANCE[product.dtype]:
        raise HintError(
            f"H v of this model differs from differences of its forces by {deviation:.1e} "
            f"(relative); {remedy}, or skip this check with --hint_check no"
        )


def _relative(a: Tensor, b: Tensor) -> float:
    scale = float(b.detach().norm().clamp_min(1e-3 * b.numel() ** 0.5))
    return float((a.detach() - b.detach()).norm()) / scale


def _first_labelled(loader: Any, device: Any) -> Any:
    """The first labelled structure among the first hundred of a loader's data, as a batch."""
    dataset = loader.dataset
    for index in range(min(len(dataset), 100)):
        batch = loader.collate_fn([dataset[index]]).to(device).to_dict()
        if BatchLabels(batch).labelled:
            return batch
    return None


def _report_labels(loss: HintLoss, loader: Any, valid_loaders: dict[str, Any]) -> None:
    """Say how many structures are labelled; none at all is an error."""
    keys = loss.options.label_keys()
    labelled, seen = count_labels(loader.dataset)
    if labelled == 0:
        raise DataError(
            f"none of the {seen} training structures looked at has a Hessian label: wanted info "
            f"{keys.hessian!r} ([3N, 3N], eV/A^2) or arrays {keys.probes!r} and {keys.hvp!r}; make labels "
            "with `hint label`, or name your keys with --hint_hessian_key (for HDF5 files: "
            "mace_prepare_data --hint_labels)"
        )
    logging.info(f"HINT: {labelled} of {seen} training structures looked at have a Hessian label; {loss}")
    for name, valid in valid_loaders.items():
        labelled, seen = count_labels(valid.dataset)
        logging.info(f"HINT: validation set {name}: {labelled} of {seen} structures have a Hessian label")
        if labelled == 0:
            logging.warning(
                f"HINT: no Hessian label in validation set {name}: the best checkpoint is chosen "
                "by energies and forces alone"
            )


def count_labels(dataset: Any, limit: int = 2000) -> tuple[int, int]:
    """(labelled, looked at) of a data set; at most ``limit`` structures, evenly spaced, are looked at."""
    size = len(dataset)
    step = max(1, size // limit)
    found = [getattr(dataset[i], "hint_count", None) for i in range(0, size, step)]
    return sum(int(count[0, 2]) for count in found if count is not None), len(found)


def _wandb_in_use() -> bool:
    wandb = sys.modules.get("wandb")
    return wandb is not None and getattr(wandb, "run", None) is not None
