"""What HINT does around MACE's training functions, once a HINT loss is in use (see `mace.patches`).

Functions take MACE's original and its arguments by name.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import torch

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.mace import kernels
from hint_plugin.mace.active_options import session
from hint_plugin.mace.labels import on_host
from hint_plugin.mace.loss import HessianForward, HintLoss, distributed
from hint_plugin.mace.survey import Survey, survey
from hint_plugin.mace.validation import EXACT, describe, size_of, validate
from hint_plugin.mace.verify import check_derivatives, check_kernels, on_first_process
from hint_plugin.mace.weight_state import recall, remember

Original = Callable[..., Any]
Arguments = dict[str, Any]

#: Columns that the table of errors gets: key of the results -> title; some relative to the labels' size.
TABLE = {
    "rmse_hessian": "RMSE H / eV / A^2",
    "mae_hessian": "MAE H / eV / A^2",
    "mae_eigenvalues": "MAE eigenvalues / eV / A^2",
}
RELATIVE = {"rmse_hessian": "relative H RMSE %", "mae_hessian": "relative H MAE %"}


def train(original: Original, arguments: Arguments) -> None:
    """MACE's training, after a look at the labels and a check of the model.

    Raises:
        DataError: no training structure has a Hessian label.
        HintError: forces, H v or HINT's kernels are not what they are compared with (`verify`).
    """
    loss: HintLoss = arguments["loss_fn"]
    model, loader = arguments["model"], arguments["train_loader"]
    rank, device = arguments.get("rank", 0), arguments["device"]
    if not isinstance(loss, HintLoss):
        if session.kernels:
            seen = survey(loader.dataset, limit=100, any_structure=True)
            on_first_process(rank, device, lambda: check_kernels(model, seen, loader, device, products=False))
        with kernels.use(model, "fast" if session.kernels else "mace"):
            return original(**arguments)
    clock = loss.clock
    lbfgs = isinstance(arguments["optimizer"], torch.optim.LBFGS)
    clock.steps_per_epoch = 1 if lbfgs else max(1, len(loader))
    clock.total_steps = clock.steps_per_epoch * max(1, arguments["max_num_epochs"])
    stages = [loss]
    if arguments.get("swa") is not None:
        stages.append(arguments["swa"].loss_fn)
        stages[1].clock, stages[1].stage = clock, 2
    recall(arguments["optimizer"], stages, arguments.get("start_epoch", 0))
    if rank == 0:
        _warn_of_rare_steps(loss.options.every, clock.total_steps)

    def look() -> None:
        seen = _report_labels(loss, loader, arguments["valid_loaders"])
        if loss.options.check == "no":
            return
        with kernels.use(model, "mace"):
            check_derivatives(model, loss.mode, seen, loader, device)
        if loss.options.kernels == "fast":
            check_kernels(model, seen, loader, device, products=loss.mode.analytic)

    on_first_process(rank, device, look)
    if loss.options.compile == "yes":
        _compile(model, stages)
    with kernels.use(model, loss.options.kernels):
        return original(**arguments)


def _compile(model: torch.nn.Module, stages: list[HintLoss]) -> None:
    """Let the losses of all stages use one compiled step. Raises OptionsError where there can be none."""
    from hint_plugin.mace.compiled_step import CompiledStep  # and with it TorchDynamo, in no other run

    if distributed():
        raise OptionsError("--hint_compile yes is for a training in one process, and this one has several")
    compiled = CompiledStep(model, stages[0].mode)
    for loss in stages:
        loss.compiled = compiled


def _warn_of_rare_steps(every: int, total: int) -> None:
    """Say that the Hessian term is used once, where `--hint_every` is not smaller than the training."""
    if every >= total > 1:
        logging.warning(
            f"HINT: --hint_every {every}, and the training has {total} steps: the Hessian term is used in "
            "the first step alone. Give a smaller number"
        )


def train_one_epoch(original: Original, arguments: Arguments) -> None:
    """One epoch, with the clock at its first step.

    Raises:
        OptionsError: `--hint_weight auto`, and no step had gradients of both to weigh against each other.
    """
    loss, epoch = arguments["loss_fn"], arguments["epoch"]
    if not isinstance(loss, HintLoss):
        return original(**arguments)
    loss.clock.start_epoch(epoch)
    loss.trained_since = True
    before = None if loss.auto is None else loss.auto.state_dict()
    original(**arguments)
    remember(arguments["optimizer"], loss, epoch, before)
    if loss.auto is not None and not loss.auto.measured and loss.unweighted:
        raise OptionsError(
            f"--hint_weight auto: none of the {loss.unweighted} steps of epoch {epoch} with Hessian labels "
            "had a gradient of energies and forces and one of the Hessian to weigh against each other; put "
            "frames with both into one batch (--batch_size), or take --hint_weight given"
        )


def take_step(original: Original, arguments: Arguments) -> Any:
    """One step of the optimiser, the model replaced by `HessianForward`; the labels stay on the host.

    L-BFGS goes over all batches, which MACE brings to the device itself.
    """
    loss = arguments["loss_fn"]
    if isinstance(loss, HintLoss):
        loss.clock.step += 1
        host = None
        if "batch" in arguments:
            arguments["batch"], host = on_host(arguments["batch"])
        arguments["model"] = HessianForward(arguments["model"], loss, host)
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
    if loss.auto is not None and loss.auto.measured:
        metrics["hint_weight"] = loss.weight
        metrics["gradient_base"], metrics["gradient_hessian"] = loss.auto.others, loss.auto.hessian
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

        named = ("rmse_hessian", *EXACT, "hint_weight")
        numbers = {f"valid_{key}": metrics[key] for key in named if key in metrics}
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
        for key, title in TABLE.items():
            table.add_column(title, [f"{row[key]:8.4f}" if key in row else "-" for row in found])
        for key, title in RELATIVE.items():
            table.add_column(title, [_percent(row, key) for row in found])
        if kwargs.get("log_wandb"):
            import wandb

            names = [row[0] for row in table.rows]
            for name, row in zip(names, found, strict=True):
                wandb.log({f"{name}_final_{key}": value for key, value in row.items()})
    return table


def _percent(row: dict[str, float], key: str) -> str:
    """An error in percent of the size of its reference."""
    size = row.get(size_of(key), 0.0)
    return f"{100 * row[key] / size:8.2f}" if key in row and size > 0 else "-"


def _report_labels(loss: HintLoss, loader: Any, valid_loaders: dict[str, Any]) -> Survey:
    """Say how many structures are labelled; none at all is an error. Returns the training set's survey."""
    keys = loss.options.label_keys()
    found = survey(loader.dataset, keys)
    if found.labelled == 0:
        raise DataError(
            f"none of the {found.seen} training structures looked at has a Hessian label: wanted info "
            f"{keys.hessian!r} ([3N, 3N], eV/A^2) or arrays {keys.probes!r} and {keys.hvp!r}; make labels "
            "with `hint label`, or name your keys with --hint_hessian_key (for HDF5 files: "
            "mace_prepare_data --hint_labels)"
        )
    of_all = "" if found.complete else f" (the set has {found.size})"
    logging.info(
        f"HINT: {found.labelled} of {found.seen} training structures looked at have a Hessian label"
        f"{of_all}; {loss}"
    )
    for remark in session.contents.remarks():
        logging.warning(f"HINT: {remark}")
    deciding = list(valid_loaders)[-1]  # MACE keeps the checkpoint that is best on the last set
    for name, valid in valid_loaders.items():
        of_set = survey(valid.dataset, keys)
        logging.info(f"HINT: validation set {name}: {of_set}")
        if of_set.labelled:
            continue
        if name != deciding:
            logging.info(
                f"HINT: no Hessian label in validation set {name}; the best checkpoint is that of {deciding}"
            )
        else:
            logging.warning(
                f"HINT: no Hessian label in validation set {name}: the best checkpoint is chosen "
                "by energies and forces alone"
            )
    return found


def _wandb_in_use() -> bool:
    wandb = sys.modules.get("wandb")
    return wandb is not None and getattr(wandb, "run", None) is not None
