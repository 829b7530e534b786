"""Whether a model and the labels that it is measured against are of the same level of theory.

Labels say it by `hint_method`. A model says it where its level was recorded: in the record of its training
(`levels`), or on the card of a model that comes with HINT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hint_plugin import pretrained
from hint_plugin.data.labels.levels import UNKNOWN, LevelCount


def model_level(predictor: Any) -> list[str]:
    """Methods of the labels that a model was trained on; none where nobody recorded them."""
    metadata = getattr(predictor, "metadata", None)
    told: Mapping[str, Any] = getattr(metadata, "provenance", {})
    training = told.get("training") or getattr(predictor, "training", None) or {}
    found = training.get("levels") if isinstance(training, Mapping) else None
    if found:
        return [str(method) for method in found if method != UNKNOWN]
    checkpoint = (told.get("model") or {}).get("sha256")
    cards = (pretrained.card(name) for name in pretrained.names())
    return [card["level"] for card in cards if checkpoint and card["sha256"].get(".model") == checkpoint]


def compare_levels(predictor: Any, labels: LevelCount) -> dict[str, Any]:
    """What metrics.json has under `levels`.

    Returns:
        `model`: methods of its training; `labels`: {method: frames}; `same`: whether all labels are of the
        model's methods, None where one of the two is not known; `note`: what is to be said, "" if nothing.
    """
    model, counts = model_level(predictor), labels.by_method()
    others = [method for method in counts if method != UNKNOWN and not _among(method, model)]
    known = bool(model) and bool(counts) and UNKNOWN not in counts
    note = ""
    if model and others:
        note = (
            f"the model was trained on labels by {' and '.join(model)}, and these are by "
            f"{' and '.join(others)}: the errors are those of the model and the difference of two levels of "
            "theory, in one number"
        )
    same = False if model and others else True if known else None
    return {"model": model, "labels": counts, "same": same, "note": note}


def _among(method: str, methods: list[str]) -> bool:
    return method.lower() in [other.lower() for other in methods]
