"""Structures and labels from the files that HINT reads, for NequIP's data loaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from hint_plugin.data.formats.xyz import check_as_ase_reads
from hint_plugin.data.labels.contents import SetContents
from hint_plugin.data.labels.extxyz import Told, read_label
from hint_plugin.data.labels.frame_labels import of_ase, rename_line
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.thresholds import Thresholds
from hint_plugin.data.sets.frames import read_frames
from hint_plugin.data.stores.hdf5 import FrameStore, is_store
from hint_plugin.data.stores.shards import ShardedStore, is_sharded
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.nequip.batches import keep_on_host
from hint_plugin.nequip.checks import HessianChecks
from hint_plugin.nequip.fields import STEP
from hint_plugin.nequip.labels import label_fields, label_keys, making_a_product

#: NequIP's names of what a label has besides the Hessian.
NEQUIP_NAMES = {"total_energy": "energy", "forces": "forces", "stress": "stress"}

#: What a set can be split into.
SPLITS = ("train", "val", "test", "predict")


class FrameDataset(AtomicDataset):
    """Frames of any format that HINT reads (docs/formats.md), with their energies, forces and Hessian labels.

    Stores (HDF5) are read frame by frame as they are needed, other files at once.

    Args:
        file_path: the file, or a folder of stores.
        transforms: NequIP's, applied to each frame.
        keys: names other than those of `LabelKeys`, as ``{energy: my_energy}``. ``{energy: energy, forces:
            forces}`` are those that ASE keeps in a calculator.
        stress: give frames that have none a NaN (NequIP wants the same fields of all of them); use
            ``ignore_nan: true`` in the metrics of the stress.
        gate: refuse labels that break a law of physics; false for model systems in an external field.
        include_keys: names in the file of what else goes into NequIP's data.
        exclude_keys: names in the file of what is not read; of a Hessian label that has several, one of them
            excludes it.
        field_names: NequIP's names of these, where they are not those of the file.
        ase_args: of `ase.io.iread`, which then reads the file.

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
        gate: bool = True,
        include_keys: Sequence[str] = (),
        exclude_keys: Sequence[str] = (),
        field_names: Mapping[str, str] | None = None,
        ase_args: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(transforms=list(transforms))
        self.limits = Thresholds(physics=gate)
        self.file_path, self.keys, self.stress = Path(file_path), label_keys(keys), stress
        self.include, self.field_names = list(include_keys), dict(field_names or {})
        self.exclude = _with_partners(exclude_keys, self.keys)
        self.product = making_a_product()  # of this process: a worker that was spawned does not know it
        self.frames: Any = _by_ase(self.file_path, ase_args) if ase_args else _open(self.file_path)
        self.contents, self._seen, self._told = SetContents(), set[int](), Told()
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
        for name in self.exclude:
            atoms.info.pop(name, None)
            atoms.arrays.pop(name, None)
        _take_from_calculator(atoms, keys)
        energy, forces = atoms.info.get(keys.energy), atoms.arrays.get(keys.forces)
        for what, key, value in (("energy", keys.energy, energy), ("forces", keys.forces, forces)):
            if value is None:
                raise DataError(f"{where} has no {what} ({key}). {_remedy(atoms, what, self.file_path)}")
        label = read_label(
            atoms, keys, source=self.file_path, frame=number, limits=self.limits, told=self._told
        )
        if number not in self._seen:
            self._seen.add(number)
            self.contents.add(atoms, str(self.file_path))
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        if self.product and not bare.cell.rank:
            bare.center(vacuum=10.0)  # NequIP checks compiled code on an example, its stress too
        bare.info["energy"] = np.array([energy], dtype=float).reshape(1)
        bare.arrays["forces"] = np.asarray(forces, dtype=float)
        stress = atoms.info.get(keys.stress)
        if self.stress:
            bare.info["stress"] = np.full(6, np.nan) if stress is None else np.asarray(stress, dtype=float)
        for name in self.include:
            for found, place in ((atoms.arrays, bare.arrays), (atoms.info, bare.info)):
                if name in found:
                    place[name] = found[name]
        with default_dtype(_GLOBAL_DTYPE):
            data: dict[str, Tensor] = from_ase(bare, self.field_names, self.include)
            if not self.product:
                data.update(label_fields(label, atoms.numbers, atoms.positions))
        return data


class HessianDataModule(NequIPDataModule):
    """NequIP's `ASEDataModule` for the files that HINT reads, labels included.

    In training each batch carries the number of the step, on which the probes depend: a training that was
    restarted sees the same probes as one that was not. `HessianChecks` looks at labels, loss and model before
    the first step.

    Args:
        seed: of splits and of the order of the frames.
        train_file_path, val_file_path, test_file_path, predict_file_path: one file or several.
        split_dataset: ``file_path`` and shares of ``train``, ``val``, ``test``, as NequIP's; one mapping or
            several.
        transforms: as NequIP's.
        ase_args: of `ase.io.iread`, as NequIP's; without it HINT reads the file, by its name and content.
        include_keys: names in the file of what goes into NequIP's data besides energies, forces, stresses and
            labels.
        exclude_keys: names in the file of what does not, stresses and labels among them.
        key_mapping: NequIP's names of what is in the file, as ``{my_energy: total_energy}``. What is mapped
            to ``stress`` is read.
        keys: names other than those of `LabelKeys`; they go before ``key_mapping``.
        stress: read stresses too, see `FrameDataset`; None: where ``key_mapping`` names them.
        gate: refuse labels that break a law of physics, see `FrameDataset`.
        **kwargs: NequIP's ``train_dataloader``, ``val_dataloader``, ``test_dataloader``, ``stats_manager``.

    Raises:
        OptionsError: an unknown key, or options that contradict each other.
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
        ase_args: Mapping[str, Any] | None = None,
        include_keys: Sequence[str] | None = None,
        exclude_keys: Sequence[str] | None = None,
        key_mapping: Mapping[str, str] | None = None,
        keys: Mapping[str, str] | None = None,
        stress: bool | None = None,
        gate: bool = True,
        **kwargs: Any,
    ) -> None:
        mapping = dict(_plain(key_mapping) or {})
        names = {**_label_names(mapping), **(_plain(keys) or {})}
        excluded = _listed(exclude_keys)
        found = label_keys(names)
        if any(key in excluded for key in (found.energy, found.forces)):
            raise OptionsError(f"exclude_keys has {', '.join(excluded)}; energies and forces are trained on")
        with_stress = "stress" in mapping.values() if stress is None else stress
        others = {name: field for name, field in mapping.items() if field not in NEQUIP_NAMES}
        options = {
            "transforms": _listed(transforms),
            "keys": names,
            "stress": with_stress and found.stress not in excluded,
            "include_keys": [n for n in [*_listed(include_keys), *others] if n not in excluded],
            "exclude_keys": excluded,
            "field_names": others,
            "gate": gate,
            "ase_args": _ase_arguments(_plain(ase_args) or {}),
        }

        def dataset(path: str) -> dict[str, Any]:
            return {"_target_": "hint_plugin.nequip.FrameDataset", "file_path": str(path), **options}

        def split(part: dict[str, Any]) -> dict[str, Any]:
            shares = {name: share for name, share in part.items() if name != "file_path"}
            if "file_path" not in part or not shares or any(name not in SPLITS for name in shares):
                raise OptionsError(
                    f"split_dataset: got {part}; wanted file_path, and shares of some of {', '.join(SPLITS)}"
                )
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

    def setup(self, stage: str) -> None:
        """NequIP's; in a training or test, `HessianChecks` goes along."""
        super().setup(stage)
        if self.trainer is not None:
            HessianChecks.join(self.trainer)

    def on_before_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Lightning's hook: the step goes into a batch that is trained on."""
        if self.trainer is not None and self.trainer.training:
            batch[STEP] = torch.tensor([self.trainer.global_step])
        return batch

    def transfer_batch_to_device(
        self, batch: dict[str, Tensor], device: torch.device, dataloader_idx: int
    ) -> dict[str, Tensor]:
        """Lightning's hook: labels stay on the host, which draws probes and makes the reference products.

        So no step waits for the device to read a label, and no whole Hessian goes there.
        """
        kept = keep_on_host(batch) if device.type != "cpu" else {}
        rest = {name: value for name, value in batch.items() if name not in kept}
        return {**super().transfer_batch_to_device(rest, device, dataloader_idx), **kept}


def _open(path: Path) -> list[Atoms] | FrameStore | ShardedStore:
    if is_store(path):
        return FrameStore.open(path)
    if is_sharded(path):
        return ShardedStore.open(path)
    return read_frames(path)


def _by_ase(path: Path, arguments: Mapping[str, Any]) -> list[Atoms]:
    from ase.io import iread

    if arguments.get("format", "extxyz") in ("xyz", "extxyz"):
        check_as_ase_reads(path)
    try:
        return list(iread(filename=str(path), parallel=False, **arguments))
    except Exception as error:  # ASE's readers raise whatever they meet
        raise DataError(
            f"{path}: ASE cannot read it with {dict(arguments)} ({type(error).__name__}: {error})"
        ) from error


def _ase_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    taken = [name for name in ("index", "filename", "parallel") if name in arguments]
    if taken:
        raise OptionsError(f"ase_args has {', '.join(taken)}, which the data module gives; take it out")
    return arguments


def _take_from_calculator(atoms: Atoms, keys: LabelKeys) -> None:
    """Put what ASE keeps in a calculator where labels are looked for, if its own names were asked for."""
    results = of_ase(atoms)
    for key, place in ((keys.energy, atoms.info), (keys.forces, atoms.arrays), (keys.stress, atoms.info)):
        if key in results and key not in place:
            place[key] = results[key]


def _with_partners(excluded: Sequence[str], keys: LabelKeys) -> list[str]:
    """The names, and those without which a Hessian label is none: rows and mask, probes and products."""
    pairs = ((keys.rows, keys.mask), (keys.probes, keys.hvp))
    more = [name for pair in pairs if set(pair) & set(excluded) for name in pair]
    return list(dict.fromkeys([*excluded, *more]))


def _remedy(atoms: Atoms, what: str, path: Path) -> str:
    """What to do about a frame without energy or forces."""
    if what in (getattr(atoms.calc, "results", None) or {}):
        return (
            f"It has ASE's own ({what}). If these are the labels, rename them: {rename_line(path)}; "
            "or read them as they are: '++data.keys={energy: energy, forces: forces}'"
        )
    return "Label it (hint label) or name its key"


def _label_names(mapping: Mapping[str, str]) -> dict[str, str]:
    """Keys of a label from NequIP's ``{name in the file: name in NequIP}``."""
    names: dict[str, str] = {}
    for name, field in mapping.items():
        if field not in NEQUIP_NAMES:
            continue
        part = NEQUIP_NAMES[field]
        if part in names:
            raise OptionsError(
                f"key_mapping: {names[part]} and {name} are both for {field}; wanted one of them. On the "
                f"command line, '++data.keys={{{part}: {name}}}' says which"
            )
        names[part] = name
    return names


def _plain(value: Any) -> Any:
    """Of hydra's containers, Python's."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _listed(value: Any) -> list[Any]:
    """One thing or several, as a list; hydra gives its own kinds of lists and mappings."""
    found = _plain(value)
    if found is None:
        return []
    return [found] if isinstance(found, (str, Mapping, Path)) else list(found)
