"""Hessian labels as fields of NequIP's `AtomicDataDict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ase import Atoms
from nequip.scripts._workflow_utils import get_workflow_state
from torch import Tensor

from hint_plugin.data.labels.batch_labels import label_arrays
from hint_plugin.data.labels.extxyz import Told, read_label
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.thresholds import Thresholds
from hint_plugin.errors import OptionsError
from hint_plugin.nequip import fields  # noqa: F401  (registers them)
from hint_plugin.settings import did_you_mean


def label_keys(names: Mapping[str, str] | None) -> LabelKeys:
    """`LabelKeys` with some of them renamed.

    Raises:
        OptionsError: there is no such part of a label.
    """
    try:
        return LabelKeys(**dict(names or {}))
    except TypeError:
        known = list(LabelKeys.__dataclass_fields__)
        wrong = [name for name in names or {} if name not in known]
        meant = did_you_mean(wrong[0], known) if wrong else ""
        raise OptionsError(
            f"keys: got {', '.join(wrong)}; wanted some of {', '.join(known)}.{meant}"
        ) from None


def making_a_product() -> bool:
    """Whether NequIP is packaging or compiling a trained model."""
    return get_workflow_state() in ("package", "compile")


def label_fields(label: HessianLabel | None, numbers: Any, positions: Any) -> dict[str, Tensor]:
    """The fields of one structure, labelled or not."""
    arrays = label_arrays(label, np.asarray(numbers), np.asarray(positions))
    out: dict[str, Tensor] = {}
    for name, value in arrays.items():
        tensor = torch.as_tensor(value)
        out[name] = tensor if name == "hint_count" else tensor.reshape(-1, 1)
    return out


class HessianLabels:
    """Data transform: the labels that one of NequIP's own data modules has read from an extxyz file.

    ASE keeps them under their names in the file, which NequIP passes on when told to:

        include_keys: [REF_hessian, config_hessian_weight]
        transforms:
          - _target_: hint_plugin.nequip.HessianLabels

    (``REF_probes, REF_hvp`` for projected labels, ``REF_hessian_rows, REF_hessian_mask`` for rows.) It comes
    before the neighbour list. `HessianDataModule` needs no transform: it reads all kinds of labels by itself.

    Args:
        keys: names other than those of `LabelKeys`, as ``{hessian: my_hessian}``.
        gate: refuse labels that break a law of physics; false for model systems in an external field.

    Raises:
        LabelError: a malformed label, with the formula of its structure.
    """

    def __init__(self, keys: dict[str, str] | None = None, gate: bool = True) -> None:
        self.keys, self.limits, self._told = label_keys(keys), Thresholds(physics=gate), Told()
        self.product = making_a_product()  # of this process: a worker that was spawned does not know it

    def __call__(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        atoms = self._atoms(data)
        label = read_label(
            atoms, self.keys, source="training data", frame=None, limits=self.limits, told=self._told
        )
        if not self.product:
            data.update(label_fields(label, atoms.numbers, atoms.positions))
        return data

    def _atoms(self, data: dict[str, Tensor]) -> Atoms:
        """The structure with all that a label is judged by; what belongs to the label leaves the data."""
        keys = self.keys
        atoms = Atoms(
            data["atomic_numbers"].reshape(-1).numpy(),
            data["pos"].numpy(),
            cell=data["cell"].reshape(3, 3).numpy() if "cell" in data else None,
            pbc=data["pbc"].reshape(3).numpy() if "pbc" in data else None,
        )
        for name in keys.hessian_info:
            if name in data:
                value = data.pop(name).numpy()
                atoms.info[name] = value.item() if value.size == 1 else value
        for name in keys.hessian_arrays:
            if name in data:
                value = data.pop(name).numpy()
                atoms.arrays[name] = value.reshape(-1) if name == keys.mask else value
        if "total_energy" in data:
            atoms.info[keys.energy] = float(data["total_energy"])
        if "forces" in data:
            atoms.arrays[keys.forces] = data["forces"].numpy()
        return atoms
