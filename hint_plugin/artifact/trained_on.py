"""What a potential was trained on: energies, forces, stress, Hessians.

The curvature, forces and energies of a potential follow from one another, but what was in no term of
the loss is only as good as luck made it: the stress of a model that has seen cells of one volume and
no stresses can be wrong by tens of GPa. So a result that needs one of these asks first.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

QUANTITIES = ("energies", "forces", "stress", "hessians")
_WITH_STRESS = ("virials", "stress", "huber", "universal")
_WITHOUT_ENERGIES = ("forces_only",)


def of_losses(loss: str, base_loss: str = "weighted") -> dict[str, bool]:
    """By the names of `--loss` and `--hint_base_loss`. An unknown loss says nothing."""
    hessians = loss.startswith("hint_")
    base = base_loss if hessians else loss
    known = (*_WITH_STRESS, *_WITHOUT_ENERGIES, "weighted", "ef", "l1l2energyforces")
    if base not in known:
        return {}
    return {
        "energies": base not in _WITHOUT_ENERGIES,
        "forces": True,
        "stress": base in _WITH_STRESS,
        "hessians": hessians,
    }


def of_training(training: Mapping[str, Any] | None) -> dict[str, bool]:
    """From what the file of a model says about its training; {} where that does not tell.

    Args:
        training: `trained_on`, where HINT has kept it; the `command` of `mace_run_train`; NequIP's `loss`.
    """
    if not training:
        return {}
    kept = training.get("trained_on")
    if isinstance(kept, Mapping):
        return {name: bool(kept[name]) for name in QUANTITIES if name in kept}
    if training.get("loss"):  # a configuration of NequIP, in which the terms are named
        text = json.dumps(training["loss"], default=str).lower()
        stems = zip(QUANTITIES, ("energy", "force", "stress", "hessian"), strict=True)
        return {name: stem in text for name, stem in stems}
    try:
        words = [
            part for word in shlex.split(str(training.get("command", ""))) for part in word.split("=", 1)
        ]
    except ValueError:
        return {}
    loss = _after(words, "--loss")
    if (
        not words
        or "mace" not in words[0]
        or "--config" in words
        and loss is None
        or "--multiheads_finetuning" in words
    ):
        return {}
    base = _after(words, "--hint_base_loss")
    return of_losses(loss or "weighted", base or "weighted")


def trained_on(potential: Any) -> dict[str, bool]:
    """Of whatever computes: an ASE calculator of an artifact, an engine's calculator, or an artifact itself.

    {} for what was not trained by HINT (DFT, a classical potential), or before this was kept.
    """
    for path in (("potential",), ("engine", "potential"), ("potential", "engine", "potential"), ()):
        found = potential
        for name in path:
            found = getattr(found, name, None)
        metadata = getattr(found, "metadata", None)
        if metadata is None:
            training = getattr(found, "training", None)
            if isinstance(training, Mapping):
                return of_training(training)
            continue
        own = getattr(metadata, "trained_on", None)
        if own:
            return dict(own)
        return of_training((getattr(metadata, "provenance", None) or {}).get("training"))
    return {}


def _after(words: list[str], option: str) -> str | None:
    return words[words.index(option) + 1] if option in words[:-1] else None
