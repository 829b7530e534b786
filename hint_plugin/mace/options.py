"""HINT's options of ``mace_run_train``: one table for command line, help and checks."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from hint_plugin.core.auto_weight import RATIO_END, RATIO_START
from hint_plugin.core.devices import SINGLE_PRECISION
from hint_plugin.core.losses import MODES, NORMALISATIONS, Normalise
from hint_plugin.core.schedule import WeightSchedule
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.thresholds import Thresholds
from hint_plugin.errors import OptionsError
from hint_plugin.models.registry import ARCHITECTURES

#: Values that ``--loss`` gains.
LOSSES = tuple(f"hint_{name}" for name in MODES)

#: MACE's losses that have forces, on which a Hessian term can sit.
BASE_LOSSES = ("weighted", "ef", "forces_only", "virials", "stress", "huber", "universal", "l1l2energyforces")


@dataclass(frozen=True)
class HintOptions:
    """The options of a training with Hessians; each is ``--hint_<name>``, in a YAML file too."""

    mode: str = "hutchinson"
    base_loss: str = "weighted"
    weight: Literal["given", "auto"] = "given"
    weight_start: float = 10.0
    weight_end: float = 80.0
    ratio_start: float = RATIO_START
    ratio_end: float = RATIO_END
    schedule: Literal["linear", "constant", "step"] = "linear"
    schedule_steps: str | None = None
    probes: int = 1
    normalise: Normalise = "elements"
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
    gate: Literal["yes", "no"] = "yes"
    check: Literal["yes", "no"] = "yes"
    compile: Literal["yes", "no"] = "no"

    def weight_schedule(self) -> WeightSchedule:
        """lambda_H over the training; with ``--hint_weight auto`` that of the validation, which is constant.

        Raises:
            OptionsError: weights or steps that make no schedule.
        """
        if self.weight == "auto":
            return _schedule("weight", self.weight_end, self.weight_end, "constant", None)
        return _schedule("weight", self.weight_start, self.weight_end, self.schedule, self.schedule_steps)

    def ratio_schedule(self) -> WeightSchedule:
        """rho over the training (`hint_plugin.core.auto_weight`), for ``--hint_weight auto``.

        Raises:
            OptionsError: ratios or steps that make no schedule.
        """
        return _schedule("ratio", self.ratio_start, self.ratio_end, self.schedule, self.schedule_steps)

    def label_keys(self, specification: Any = None) -> LabelKeys:
        """Where the labels are in the files.

        Args:
            specification: MACE's `KeySpecification` of the head that reads (``--energy_key``,
                ``--forces_key``, ``--stress_key``); None: names of energy, forces and stress do not matter.
        """
        keys = LabelKeys(hessian=self.hessian_key, probes=self.probes_key, hvp=self.hvp_key)
        if specification is None:
            return keys
        named = {
            "energy": specification.info_keys.get("energy"),
            "forces": specification.arrays_keys.get("forces"),
            "stress": specification.info_keys.get("stress"),
        }
        return replace(keys, **{what: name for what, name in named.items() if name is not None})

    def label_limits(self) -> Thresholds:
        """When a label is refused."""
        return Thresholds(physics=self.gate == "yes")

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
        if self.weight == "auto" and self.ratio_schedule().highest == 0:
            raise OptionsError(
                "--hint_ratio_end: got 0, so that no Hessian would be trained; wanted a positive number"
            )
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


def _schedule(
    what: str, start: float, end: float, kind: Literal["linear", "constant", "step"], steps: str | None
) -> WeightSchedule:
    """From ``--hint_<what>_start`` and ``--hint_<what>_end``; raises OptionsError if they make none."""
    try:
        if kind == "step":
            if not steps:
                raise ValueError("--hint_schedule step needs --hint_schedule_steps, as 0.3:5,0.7:50")
            return WeightSchedule.parse_steps(steps, start=start)
        if steps:
            raise ValueError("--hint_schedule_steps needs --hint_schedule step")
        return WeightSchedule(start, end, kind)
    except ValueError as error:
        raise OptionsError(f"{error} (--hint_schedule, --hint_{what}_start, --hint_{what}_end)") from None


def yes_or_no(value: str) -> str:
    """`yes` or `no`; a YAML file makes True and False of these words."""
    return {"true": "yes", "false": "no"}.get(value.lower(), value)


#: name -> (argparse keywords, help). The defaults come from `HintOptions`.
_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "base_loss": (
        {"choices": BASE_LOSSES},
        "MACE's loss for energy, forces and stress, to which the Hessian term is added",
    ),
    "weight": (
        {"choices": ("given", "auto")},
        "given: by the next two options; auto: from the gradients, as --hint_ratio_start and _end say",
    ),
    "weight_start": ({"type": float}, "weight lambda_H of the Hessian term at the start of the training"),
    "weight_end": ({"type": float}, "lambda_H at the end; validation always uses this one"),
    "ratio_start": (
        {"type": float},
        "for auto: how hard the Hessian term pulls at the start, relative to energies and forces (norms of "
        "the gradients)",
    ),
    "ratio_end": ({"type": float}, "for auto: the same at the end"),
    "schedule": ({"choices": ("linear", "constant", "step")}, "how weight or ratio goes from start to end"),
    "schedule_steps": ({}, "for step: 'fraction:weight,...' of the training, as 0.3:5,0.7:50"),
    "probes": ({"type": int}, "probes K for each labelled structure and step (columns for hint_column)"),
    "normalise": (
        {"choices": NORMALISATIONS},
        "elements: of dH v / |v|, the same number for all losses; eq4: of dH v, as the paper's Eq. 4",
    ),
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
    "gate": ({"type": yes_or_no, "choices": ("yes", "no")}, "refuse labels that break a law of physics"),
    "check": (
        {"type": yes_or_no, "choices": ("yes", "no")},
        "compare H v with differences of forces once before training",
    ),
    "compile": (
        {"type": yes_or_no, "choices": ("yes", "no")},
        "compile the training step of an AlphaNet: minutes once, then half the time a step",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add HINT's losses to ``--loss`` and HINT's options as a group of their own."""
    for action in parser._actions:  # argparse has no public way to extend choices
        if "--loss" in action.option_strings and action.choices is not None:
            action.choices = [*action.choices, *LOSSES]
            action.help = f"{action.help}; hint_*: with Hessians, see the HINT group below"
    group = parser.add_argument_group("HINT", "training on Hessians, with --loss " + " | ".join(LOSSES))
    for name in _ARGUMENTS:
        _add_argument(group, name)


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``mace_prepare_data`` needs to carry labels into its files."""
    group = parser.add_argument_group("HINT", "carry Hessian labels into the prepared files")
    group.add_argument(
        "--hint_labels", action="store_true", default=False, help="keep the Hessian labels of the frames"
    )
    for name in ("hessian_key", "probes_key", "hvp_key"):
        _add_argument(group, name)


def _add_argument(group: Any, name: str) -> None:
    """Add ``--hint_<name>``; the namespace has it only where it was given, so that this is known."""
    keywords, text = _ARGUMENTS[name]
    default = getattr(HintOptions(), name)
    shown = text if default is None else f"{text} (default: {default})"
    group.add_argument(f"--hint_{name}", default=argparse.SUPPRESS, help=shown, **keywords)


def given(args: argparse.Namespace) -> dict[str, Any]:
    """HINT's options that were given, on the command line or in a YAML file."""
    found = {name: getattr(args, f"hint_{name}", None) for name in _ARGUMENTS}
    return {name: value for name, value in found.items() if value is not None}


def from_arguments(args: argparse.Namespace) -> HintOptions | None:
    """The options of a parsed command line; None when no HINT loss was asked for.

    Raises:
        OptionsError: options of HINT without a loss of HINT, or values that cannot work.
    """
    asked = given(args)
    loss = getattr(args, "loss", "")
    if loss not in LOSSES:
        useless = [f"--hint_{name}" for name in asked if name != "kernels"]  # these serve any loss
        if useless:
            raise OptionsError(
                f"{', '.join(useless)} has no effect with --loss {loss}; wanted --loss {' | '.join(LOSSES)}"
            )
        return None
    options = HintOptions(mode=loss.removeprefix("hint_"), **{"seed": getattr(args, "seed", 0), **asked})
    options.check_values()
    for name, effective, wanted in _EFFECTS:
        if name in asked and not effective(options):
            raise OptionsError(f"--hint_{name} {asked[name]} has no effect here; {wanted}")
    return options


#: (option, whether it does anything, what it needs): one that was given and does nothing is a mistake.
_EFFECTS: tuple[tuple[str, Callable[[HintOptions], bool], str], ...] = (
    (
        "weight_start",
        lambda o: o.weight != "auto",
        "--hint_weight auto has --hint_ratio_start, and validates with --hint_weight_end",
    ),
    (
        "weight_start",
        lambda o: o.schedule != "constant" or o.weight_start == o.weight_end,
        "--hint_schedule constant has --hint_weight_end always",
    ),
    (
        "weight_end",
        lambda o: o.weight == "auto" or o.schedule != "step" or o.weight_end == o.weight_schedule().final,
        "with --hint_schedule step the end weight is the last one of --hint_schedule_steps",
    ),
    ("ratio_start", lambda o: o.weight == "auto", "it needs --hint_weight auto"),
    ("ratio_end", lambda o: o.weight == "auto", "it needs --hint_weight auto"),
    (
        "ratio_start",
        lambda o: o.schedule != "constant" or o.ratio_start == o.ratio_end,
        "--hint_schedule constant has --hint_ratio_end always",
    ),
    (
        "ratio_end",
        lambda o: o.schedule != "step" or o.ratio_end == o.ratio_schedule().final,
        "with --hint_schedule step the end ratio is the last one of --hint_schedule_steps",
    ),
    ("huber_delta", lambda o: o.penalty == "huber", "it needs --hint_penalty huber"),
    ("difference_step", lambda o: not MODES[o.mode].analytic, "it needs --loss hint_difference"),
    (
        "probes",
        lambda o: not MODES[o.mode].all_columns,
        "--loss hint_full takes all columns, and all pairs of a projected label",
    ),
)

#: MACE's models that train with a loss of their own alone, on which no Hessian term can sit.
_OTHER_LOSSES = {"EnergyDipolesMACE": "energy_forces_dipole"}


def check_combination(args: argparse.Namespace, options: HintOptions) -> None:
    """Reject combinations with MACE's own options that cannot work.

    Raises:
        OptionsError: a model without forces or with a loss of its own, a device without the dtype, or kernels
            without a third derivative in an analytic mode.
    """
    if getattr(args, "model", "MACE") in ("AtomicDipolesMACE", "AtomicDielectricMACE"):
        raise OptionsError(f"--model {args.model} has no forces, so there is no Hessian to train")
    own = _OTHER_LOSSES.get(getattr(args, "model", "MACE"))
    if own is not None:
        raise OptionsError(
            f"--model {args.model} trains with MACE's --loss {own} alone, so it takes no loss of HINT; "
            f"wanted --model MACE, ScaleShiftMACE or {' or '.join(ARCHITECTURES)}"
        )
    _check_stage_two(args)
    if options.weight == "auto" and getattr(args, "lbfgs", False):
        raise OptionsError(
            "--hint_weight auto changes the function that --lbfgs minimises between its steps, and L-BFGS "
            "takes that for curvature; wanted --hint_weight given, with --hint_weight_end"
        )
    device, dtype = getattr(args, "device", "cpu"), getattr(args, "default_dtype", "float64")
    if device in SINGLE_PRECISION and dtype == "float64":
        raise OptionsError(f"--device {device} has no double precision; wanted --default_dtype float32")
    if getattr(args, "device", "cpu") == "cuda" and MODES[options.mode].analytic:
        if getattr(args, "enable_cueq", False):
            raise OptionsError(
                "--enable_cueq kernels have no third derivative on a GPU; use --loss hint_difference"
            )
        if getattr(args, "enable_oeq", False) and options.check == "no":
            raise OptionsError(
                "--enable_oeq with --hint_check no: OpenEquivariance has third derivatives since version "
                "0.6.7; leave the check on, which sees whether this one has, or use --loss hint_difference"
            )


def _check_stage_two(args: argparse.Namespace) -> None:
    """Raises OptionsError where MACE would validate no epoch of its stage two, and so have no model of it.

    It ends in an UnboundLocalError then, after the training.
    """
    if not getattr(args, "swa", False):
        return
    epochs, every = args.max_num_epochs, args.eval_interval
    start = max(1, epochs // 4 * 3) if args.start_swa is None else args.start_swa
    if args.start_swa is not None and start >= epochs:
        return  # MACE leaves stage two out, and says so
    if not any(epoch % every == 0 for epoch in range(start, epochs)):
        raise OptionsError(
            f"--stage_two begins in epoch {start}, and from there to the last, {epochs - 1}, none is "
            f"validated with --eval_interval {every}, so that MACE keeps no model of it; wanted more epochs, "
            "an earlier --start_stage_two or a smaller --eval_interval"
        )
