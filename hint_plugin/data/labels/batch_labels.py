"""Hessian labels as arrays that join along their first axis, for a trainer's data pipeline.

The arrays are those of `hint_plugin.core.batches`, where they are taken apart again.
"""

from __future__ import annotations

import zlib

import numpy as np

from hint_plugin.core.batches import KEYS, BatchLabels
from hint_plugin.data.labels.label import HessianLabel

#: `KEYS` and `BatchLabels` were here in version 0.1.
__all__ = ["KEYS", "BatchLabels", "label_arrays", "structure_key"]


def structure_key(numbers: np.ndarray, positions: np.ndarray) -> int:
    """A number that names a structure: a checksum of elements and positions (rounded to 1e-6 A)."""
    raw = np.asarray(numbers, dtype=np.int64).tobytes() + np.round(positions * 1e6).astype(np.int64).tobytes()
    return zlib.crc32(raw)


def label_arrays(
    label: HessianLabel | None, numbers: np.ndarray, positions: np.ndarray
) -> dict[str, np.ndarray]:
    """The six arrays of one structure (None: not labelled)."""
    rows = np.zeros(0)
    atoms = np.zeros(0, dtype=np.int64)
    pairs = np.zeros(0)
    pair_count = 0
    weight = 0.0
    if label is not None and label.weight > 0:
        weight = label.weight
        if label.kind == "projected":
            assert label.probes is not None and label.hvp is not None
            pairs = np.concatenate([label.probes.ravel(), label.hvp.ravel()])
            pair_count = len(label.probes)
        else:
            assert label.hessian is not None
            rows = _symmetric(label).ravel()
            atoms = (
                np.arange(len(numbers)) if label.atoms is None else np.asarray(label.atoms, dtype=np.int64)
            )
    return {
        "hint_rows": rows,
        "hint_atoms": atoms,
        "hint_pairs": pairs,
        "hint_count": np.array([[len(atoms), pair_count, int(weight > 0)]], dtype=np.int64),
        "hint_weight": np.float64(weight),
        "hint_key": np.int64(structure_key(numbers, positions)),
    }


def _symmetric(label: HessianLabel) -> np.ndarray:
    assert label.hessian is not None
    return 0.5 * (label.hessian + label.hessian.T) if label.kind == "full" else label.hessian
