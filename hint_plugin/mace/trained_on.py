"""What a training of MACE has in its loss and in its data, to be kept with the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hint_plugin.mace.active_options import session

LOOKED_AT = 200
"""Structures of the training set in which stresses are looked for."""


def trained_on(outputs: Mapping[str, bool], loader: Any) -> dict[str, bool]:
    """Of energies, forces, stress, Hessians: which are in the loss, and, of stress, in the data as well.

    Args:
        outputs: what MACE computes in the training (the second result of `configure_model`).
        loader: of the training set. MACE gives structures without a stress the weight 0.
    """
    stress = bool(outputs.get("stress") or outputs.get("virials"))
    return {
        "energies": bool(outputs.get("energy")),
        "forces": bool(outputs.get("forces")),
        "stress": stress and _has_stress(loader),
        "hessians": session.options is not None,
    }


def _has_stress(loader: Any) -> bool:
    dataset = getattr(loader, "dataset", None)
    if dataset is None:
        return True
    for index in range(min(len(dataset), LOOKED_AT)):
        one = dataset[index]
        if any(float(getattr(one, name, 0.0)) > 0 for name in ("stress_weight", "virials_weight")):
            return True
    return False
