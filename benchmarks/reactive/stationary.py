"""Whether labelled points are what they were made to be: by the modes of their Hessian labels."""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase import Atoms

from hint_plugin.data import LabelKeys, Thresholds, read_label
from hint_plugin.science.molecules.modes import NormalModes, largest_force, normal_modes
from reactive.geometries import FORCE
from reactive.saddles import LOWEST

KEYS = LabelKeys()
_KINDS = {"minimum": "minimum", "saddle": "transition state"}


def modes_of(atoms: Atoms) -> NormalModes:
    """Of a frame with a full Hessian label, whatever the gate says of it: that is asked later."""
    label = read_label(atoms, limits=Thresholds(physics=False))
    assert label is not None and label.hessian is not None
    return normal_modes(atoms, np.asarray(label.hessian))


def verify(atoms: Atoms, modes: NormalModes, counts: Counter[str]) -> None:
    """Call it "stationary" where it is neither a minimum nor a saddle with a force below twice the limit."""
    kind = atoms.info["kind"]
    right = modes.kind == _KINDS[kind]
    right &= kind == "minimum" or modes.frequencies[0] < LOWEST
    if not right or largest_force(atoms.arrays[KEYS.forces]) > 2 * FORCE:
        counts[f"{kind} not verified: {modes.kind}"] += 1
        atoms.info["kind"] = "stationary"
