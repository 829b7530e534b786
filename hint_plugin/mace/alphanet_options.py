"""The command-line options of ``--model AlphaNet``; imports neither MACE nor the model's layers."""

from __future__ import annotations

import argparse
import dataclasses

from hint_plugin.errors import OptionsError
from hint_plugin.mace.options import yes_or_no
from hint_plugin.models.alphanet.config import SIZES, AlphaNetConfig

#: option -> help; the defaults are those of the size.
_OVERRIDES = {
    "channels": "scalars and vectors of each atom",
    "node_width": "width of the hidden layers of an atom's networks, in channels",
    "layers": "rounds of messages",
    "frame_channels": "vectors of an atom's surroundings seen in the frames of its edges",
    "frame_rank": "highest rank of the tensors of the surroundings seen in the frames, 1 to 3",
    "edge_channels": "width of what is known about an edge",
}

#: Options of MACE that change its own layers.
_OF_MACE_ONLY = (
    "lora",
    "freeze",
    "enable_cueq",
    "only_cueq",
    "enable_oeq",
    "embedding_specs",
    "pair_repulsion",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add AlphaNet to ``--model`` and its options as a group of their own."""
    for action in parser._actions:  # argparse has no public way to extend choices
        if "--model" in action.option_strings and action.choices is not None:
            action.choices = [*action.choices, "AlphaNet"]
            action.help = f"{action.help}; AlphaNet: HINT's local-frame model, see the AlphaNet group below"
    group = parser.add_argument_group(
        "AlphaNet",
        "HINT's local-frame model, with --model AlphaNet; --r_max and --num_radial_basis are MACE's own",
    )
    group.add_argument("--alphanet_size", choices=tuple(SIZES), default="small", help="default: small")
    for name, text in _OVERRIDES.items():
        sizes = ", ".join(f"{getattr(config, name)} ({size})" for size, config in SIZES.items())
        group.add_argument(f"--alphanet_{name}", type=int, default=None, help=f"{text}: {sizes}")
    group.add_argument(
        "--alphanet_repulsion",
        type=yes_or_no,
        choices=("yes", "no"),
        default="yes",
        help="short-range ZBL repulsion",
    )


def check_model_options(args: argparse.Namespace) -> None:
    """Reject options of AlphaNet with another model, and values that cannot work.

    Raises:
        OptionsError: with the option and what to do.
    """
    if getattr(args, "model", "MACE") != "AlphaNet":
        given = [
            f"--alphanet_{name}" for name in _OVERRIDES if getattr(args, f"alphanet_{name}", None) is not None
        ]
        given += ["--alphanet_size"] if getattr(args, "alphanet_size", "small") != "small" else []
        given += ["--alphanet_repulsion"] if getattr(args, "alphanet_repulsion", "yes") != "yes" else []
        if given:
            raise OptionsError(f"{', '.join(given)} has no effect without --model AlphaNet")
        return
    config_from_arguments(args)
    for name in _OF_MACE_ONLY:
        if getattr(args, name, None):
            raise OptionsError(f"--{name} is for MACE's own architecture; leave it out with --model AlphaNet")


def config_from_arguments(args: argparse.Namespace) -> AlphaNetConfig:
    """The configuration that a command line asks for."""
    given = {name: getattr(args, f"alphanet_{name}") for name in _OVERRIDES}
    return dataclasses.replace(
        SIZES[args.alphanet_size],
        cutoff=float(args.r_max),
        bessel=int(args.num_radial_basis),
        repulsion=args.alphanet_repulsion == "yes",
        **{name: value for name, value in given.items() if value is not None},
    )
