"""Structures and labels from the files that HINT reads, for NequIP's data loaders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from nequip.data import from_ase
from nequip.data.datamodule import NequIPDataModule
from nequip.data.dataset import AtomicDataset
from nequip.utils.global_dtype import _GLOBAL_DTYPE
from torch import Tensor

from hint_plugin.core.devices import default_dtype
from hint_plugin.data.extxyz import read_label
from hint_plugin.data.frames import read_frames
from hint_plugin.data.hdf5 import FrameStore, is_store
from hint_plugin.data.shards import ShardedStore, is_sharded
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.nequip.fields import STEP
from hint_plugin.nequip.labels import label_fields, label_keys, making_a_product

#: NequIP's names of what a label has besides the Hessian.
NEQUIP_NAMES = {"total_energy": "energy", "forces": "forces", "stress": "stress"}


class FrameDataset(AtomicDataset):
    """Frames of any format that HINT reads (docs/formats.md), with their energies, forces and Hessian labels.

    Stores (HDF5) are read frame by frame as they are needed, other files at once.

    Args:
        file_path: the file, or a folder of stores.
        transforms: NequIP's, applied to each frame.
        keys: names other than those of `LabelKeys`, as ``{energy: my_energy}``.
        stress: give frames that have none a NaN (NequIP wants the same fields of all of them); use
            ``ignore_nan: true`` in the metrics of the stress.

    Raises:
        DataError: the file cannot be read, or a frame has no energy or forces.
        LabelError: a malformed label. Both name the frame.
    """

    def __init__(
        self,
        file_path: str,
        transforms: Sequence[Callable[[Any], Any]] = (),
        keys: dict[str, str] | None = None,
        stress: bool = False,
    ) -> None:
        super().__init__(transforms=list(transforms))
        self.file_path, self.keys, self.stress = Path(file_path), label_keys(keys), stress
        self.frames: Any = _open(self.file_path)
        self._data: list[dict[str, Tensor]] | None = None
        if isinstance(self.frames, list):
            self._data = [self._convert(atoms, number) for number, atoms in enumerate(self.frames)]
            self.frames = None

    def __len__(self) -> int:
        return len(self.frames if self._data is None else self._data)

    def _get_data_list(self, indices: Any) -> list[dict[str, Tensor]]:
        numbers = range(len(self))[indices] if isinstance(indices, slice) else [int(i) for i in indices]
        if self._data is not None:
            return [self._data[number] for number in numbers]
        return [self._convert(self.frames[number], number) for number in numbers]

    def num_atoms(self, indices: Any) -> list[int]:
        """Of some frames."""
        return [len(data["pos"]) for data in self._get_data_list(indices)]

    def _convert(self, atoms: Atoms, number: int) -> dict[str, Tensor]:
        keys = self.keys
        where = f"{self.file_path}, frame {number} ({atoms.get_chemical_formula()})"
        energy, forces = atoms.info.get(keys.energy), atoms.arrays.get(keys.forces)
        for what, key, value in (("energy", keys.energy, energy), ("forces", keys.forces, forces)):
            if value is None:
                raise DataError(f"{where} has no {what} ({key}). Label it (hint label) or name its key")
        label = read_label(atoms, keys, source=self.file_path, frame=number)
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        if making_a_product() and not bare.cell.rank:
            bare.center(vacuum=10.0)  # NequIP checks compiled code on an example, its stress too
        bare.info["energy"] = np.array([energy], dtype=float).reshape(1)
        bare.arrays["forces"] = np.asarray(forces, dtype=float)
        stress = atoms.info.get(keys.stress)
        if self.stress:
            bare.info["stress"] = np.full(6, np.nan) if stress is None else np.asarray(stress, dtype=float)
        with default_dtype(_GLOBAL_DTYPE):
            data: dict[str, Tensor] = from_ase(bare)
            data.update(label_fields(label, atoms.numbers, atoms.positions))
        return data


class HessianDataModule(NequIPDataModule):
    """NequIP's `ASEDataModule` for the files that HINT reads, labels included.

    In training each batch carries the number of the step, on which the probes depend: a training that was
    restarted sees the same probes as one that was not.

    Args:
        seed: of splits and of the order of the frames.
        train_file_path, val_file_path, test_file_path, predict_file_path: one file or several.
        split_dataset: ``file_path`` and shares of ``train``, ``val``, ``test``, as NequIP's.
        transforms: as NequIP's.
        keys: names other than those of `LabelKeys`.
        key_mapping: the same as in `ASEDataModule`, for example ``{my_energy: total_energy}``.
        stress: read stresses too, see `FrameDataset`.
        **kwargs: NequIP's ``train_dataloader``, ``val_dataloader``, ``test_dataloader``, ``stats_manager``.

    Raises:
        OptionsError: an unknown key.
    """

    def __init__(
        self,
        seed: int,
        train_file_path: str | list[str] | None = None,
        val_file_path: str | list[str] | None = None,
        test_file_path: str | list[str] | None = None,
        predict_file_path: str | list[str] | None = None,
        split_dataset: dict[str, Any] | list[dict[str, Any]] | None = None,
        transforms: Sequence[Any] = (),
        keys: dict[str, str] | None = None,
        key_mapping: dict[str, str] | None = None,
        stress: bool = False,
        **kwargs: Any,
    ) -> None:
        keys = {**(keys or {}), **_from_mapping(key_mapping or {})}
        label_keys(keys)

        def dataset(path: str) -> dict[str, Any]:
            target = "hint_plugin.nequip.FrameDataset"
            return {
                "_target_": target,
                "file_path": str(path),
                "transforms": list(transforms),
                "keys": keys,
                "stress": stress,
            }

        def split(part: dict[str, Any]) -> dict[str, Any]:
            if "file_path" not in part:
                raise OptionsError(f"split_dataset: got {part}; wanted file_path, and train, val or test")
            shares = {name: share for name, share in part.items() if name != "file_path"}
            return {"dataset": dataset(part["file_path"]), **shares}

        super().__init__(
            seed=seed,
            train_dataset=[dataset(path) for path in _listed(train_file_path)],
            val_dataset=[dataset(path) for path in _listed(val_file_path)],
            test_dataset=[dataset(path) for path in _listed(test_file_path)],
            predict_dataset=[dataset(path) for path in _listed(predict_file_path)],
            split_dataset=[split(part) for part in _listed(split_dataset)],
            **kwargs,
        )

    def on_before_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Lightning's hook: the step goes into a batch that is trained on."""
        if self.trainer is not None and self.trainer.training:
            batch[STEP] = torch.tensor([self.trainer.global_step])
        return batch


def _open(path: Path) -> list[Atoms] | FrameStore | ShardedStore:
    if is_store(path):
        return FrameStore.open(path)
    if is_sharded(path):
        return ShardedStore.open(path)
    return read_frames(path)


def _from_mapping(mapping: dict[str, str]) -> dict[str, str]:
    """Keys of a label from NequIP's ``{name in the file: name in NequIP}``."""
    for name, field in mapping.items():
        if field not in NEQUIP_NAMES:
            raise OptionsError(f"key_mapping: {name} is for {field}; wanted one of {', '.join(NEQUIP_NAMES)}")
    return {NEQUIP_NAMES[field]: name for name, field in mapping.items()}


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, (str, dict, Path)):
        return [value]
    from omegaconf import OmegaConf

    return list(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)
