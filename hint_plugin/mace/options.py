"""HINT's options of ``mace_run_train``: one table for command line, help and checks."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from hint_plugin.core.schedule import WeightSchedule
from hint_plugin.data.keys import LabelKeys
from hint_plugin.errors import OptionsError

#: Values that ``--loss`` gains.
LOSSES = ("hint_hutchinson", "hint_column", "hint_full", "hint_difference")

#: MACE's losses that have forces, on which a Hessian term can sit.
BASE_LOSSES = ("weighted", "ef", "forces_only", "virials", "stress", "huber", "universal", "l1l2energyforces")


@dataclass(frozen=True)
class HintOptions:
    """The options of a training with Hessians; each is ``--hint_<name>``, in a YAML file too."""

    mode: str = "hutchinson"
    base_loss: str = "weighted"
    weight_start: float = 10.0
    weight_end: float = 80.0
    schedule: Literal["linear", "constant", "step"] = "linear"
    schedule_steps: str | None = None
    probes: int = 1
    penalty: Literal["mse", "huber", "l1"] = "mse"
    huber_delta: float = 1.0
    clip: float = 100.0
    every: int = 1
    split: Literal["auto", "always", "never"] = "auto"
    difference_step: float | None = None
    seed: int | None = None
    validation_probes: int = 4
    validation_exact: int = 4
    exact_interval: int = 10
    hessian_key: str = "REF_hessian"
    probes_key: str = "REF_probes"
    hvp_key: str = "REF_hvp"
    kernels: Literal["fast", "mace"] = "fast"
    check: Literal["yes", "no"] = "yes"

    def weight_schedule(self) -> WeightSchedule:
        """lambda_H over the training.

        Raises:
            OptionsError: weights or steps that make no schedule.
        """
        try:
            if self.schedule == "step":
                return WeightSchedule.parse_steps(self.schedule_steps or "", start=self.weight_start)
            if self.schedule_steps:
                raise ValueError("--hint_schedule_steps needs --hint_schedule step")
            return WeightSchedule(self.weight_start, self.weight_end, self.schedule)
        except ValueError as error:
            raise OptionsError(f"{error} (--hint_schedule, --hint_weight_start, --hint_weight_end)") from None

    def label_keys(self) -> LabelKeys:
        """Where the labels are in the files."""
        return LabelKeys(hessian=self.hessian_key, probes=self.probes_key, hvp=self.hvp_key)

    def check_values(self) -> None:
        """Reject values that cannot work, before anything is read.

        Raises:
            OptionsError: with the option, the value and what is allowed.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise OptionsError(f"--hint_{field.name}: got {value}; wanted a finite number")
        self.weight_schedule()
        if self.clip < 0:
            raise OptionsError(f"--hint_clip: got {self.clip}; wanted 0 (off) or a positive number")
        for name in ("probes", "every", "exact_interval"):
            if getattr(self, name) < 1:
                raise OptionsError(f"--hint_{name}: got {getattr(self, name)}; wanted 1 or more")
        for name in ("validation_probes", "validation_exact"):
            if getattr(self, name) < 0:
                raise OptionsError(f"--hint_{name}: got {getattr(self, name)}; wanted 0 or more")
        for name in ("huber_delta", "difference_step"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise OptionsError(f"--hint_{name}: got {value}; wanted a positive number")


#: name -> (argparse keywords, help). The defaults come from `HintOptions`.
_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "base_loss": (
        {"choices": BASE_LOSSES},
        "MACE's loss for energy, forces and stress, to which the Hessian term is added",
    ),
    "weight_start": ({"type": float}, "weight lambda_H of the Hessian term at the start of the training"),
    "weight_end": ({"type": float}, "lambda_H at the end; validation always uses this one"),
    "schedule": ({"choices": ("linear", "constant", "step")}, "how lambda_H goes from start to end"),
    "schedule_steps": ({}, "for step: 'fraction:weight,...' of the training, as 0.3:5,0.7:50"),
    "probes": ({"type": int}, "probes K for each labelled structure and step (columns for hint_column)"),
    "penalty": ({"choices": ("mse", "huber", "l1")}, "penalty of the residual's components"),
    "huber_delta": ({"type": float}, "delta of the huber penalty, eV/A^2"),
    "clip": (
        {"type": float},
        "a structure whose RMS residual is beyond this (eV/A^2) pulls no harder; 0: off",
    ),
    "every": ({"type": int}, "use the Hessian term every n-th step only, n times as strong"),
    "split": (
        {"choices": ("auto", "always", "never")},
        "evaluate labelled and other structures of a batch apart",
    ),
    "difference_step": ({"type": float}, "largest displacement (A) for hint_difference; default by dtype"),
    "seed": ({"type": int}, "seed of the probes; default: --seed"),
    "validation_probes": (
        {"type": int},
        "fixed probes for each validation structure; 0: no Hessian in the validation loss",
    ),
    "validation_exact": ({"type": int}, "validation structures whose exact Hessian is compared"),
    "exact_interval": ({"type": int}, "compare exact Hessians at every n-th validation"),
    "hessian_key": ({}, "info key of full Hessians, eV/A^2"),
    "probes_key": ({}, "array key of the probes of projected labels"),
    "hvp_key": ({}, "array key of the products H v of projected labels"),
    "kernels": (
        {"choices": ("fast", "mace")},
        "fast: same mathematics, fewer operations on a CPU, also with MACE's losses; mace: stock code",
    ),
    "check": ({"choices": ("yes", "no")}, "compare H v with differences of forces once before training"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add HINT's losses to ``--loss`` and HINT's options as a group of their own."""
    defaults = HintOptions()
    for action in parser._actions:  # argparse has no public way to extend choices
        if "--loss" in action.option_strings and action.choices is not None:
            action.choices = [*action.choices, *LOSSES]
            action.help = f"{action.help}; hint_*: with Hessians, see the HINT group below"
    group = parser.add_argument_group("HINT", "training on Hessians, with --loss " + " | ".join(LOSSES))
    for name, (keywords, text) in _ARGUMENTS.items():
        default = None if name == "kernels" else getattr(defaults, name)  # asked for, they serve any loss
        group.add_argument(f"--hint_{name}", default=default, help=text, **keywords)


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``mace_prepare_data`` needs to carry labels into its files."""
    defaults = HintOptions()
    group = parser.add_argument_group("HINT", "carry Hessian labels into the prepared files")
    group.add_argument(
        "--hint_labels", action="store_true", default=False, help="keep the Hessian labels of the frames"
    )
    for name in ("hessian_key", "probes_key", "hvp_key"):
        keywords, text = _ARGUMENTS[name]
        group.add_argument(f"--hint_{name}", default=getattr(defaults, name), help=text, **keywords)


def from_arguments(args: argparse.Namespace) -> HintOptions | None:
    """The options of a parsed command line; None when no HINT loss was asked for.

    Raises:
        OptionsError: options of HINT without a loss of HINT, or values that cannot work.
    """
    known = {f.name: f.default for f in fields(HintOptions)}
    given = {name: getattr(args, f"hint_{name}") for name in _ARGUMENTS if hasattr(args, f"hint_{name}")}
    kernels = given.pop("kernels", None) or HintOptions.kernels  # any loss may have them
    loss = getattr(args, "loss", "")
    if loss not in LOSSES:
        changed = [f"--hint_{name}" for name, value in given.items() if value != known[name]]
        if changed:
            raise OptionsError(
                f"{', '.join(changed)} has no effect with --loss {loss}; wanted --loss {' | '.join(LOSSES)}"
            )
        return None
    if given.get("seed") is None:
        given["seed"] = getattr(args, "seed", 0)
    options = HintOptions(mode=loss.removeprefix("hint_"), kernels=kernels, **given)
    options.check_values()
    return options


def check_combination(args: argparse.Namespace, options: HintOptions) -> None:
    """Reject combinations with MACE's own options that cannot work.

    Raises:
        OptionsError: a model without forces, or kernels without a third derivative in an analytic mode.
    """
    if getattr(args, "model", "MACE") in ("AtomicDipolesMACE", "AtomicDielectricMACE"):
        raise OptionsError(f"--model {args.model} has no forces, so there is no Hessian to train")
    if getattr(args, "device", "cpu") == "cuda" and options.mode != "difference":
        for flag in ("enable_cueq", "enable_oeq"):
            if getattr(args, flag, False):
                raise OptionsError(
                    f"--{flag} kernels have no third derivative on a GPU; use --loss hint_difference"
                )
