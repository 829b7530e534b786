"""HINT's own HDF5 files as MACE's data, frame by frame from the disk: ``--train_file set.h5``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import ConcatDataset, Dataset

from hint_plugin.data import LabelKeys
from hint_plugin.data.stores.hdf5 import SUFFIXES, FrameStore, is_store
from hint_plugin.errors import DataError, LabelError
from hint_plugin.mace.reading import ase_names, refuse_ase_names


def store_dataset(file_path: Any, **arguments: Any) -> Dataset | None:
    """The data set of a store, or of a folder of stores; None for what is neither.

    Args:
        file_path: as MACE has it: a path, or a list of one.
        **arguments: of `StoreDataset`.

    Raises:
        DataError: a folder with stores and other HDF5 files.
    """
    if isinstance(file_path, list):
        if len(file_path) != 1:
            return None
        file_path = file_path[0]
    path = Path(file_path)
    if not path.is_dir():
        return StoreDataset(path, **arguments) if is_store(path) else None
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    stores = [p for p in files if is_store(p)]
    if not stores:
        return None
    if stores != files:
        other = next(p for p in files if p not in stores)
        raise DataError(f"{path}: {stores[0].name} is a store of HINT and {other.name} is not; separate them")
    return ConcatDataset([StoreDataset(p, **arguments) for p in stores])


class StoreDataset(Dataset):
    """What MACE's loaders want of a data set, out of a `FrameStore`."""

    def __init__(self, path: Path, r_max: float, z_table: Any, heads: list[str], head_config: Any) -> None:
        self.path, self.r_max, self.z_table, self.heads = path, r_max, z_table, heads
        self.head = head_config.head_name
        self.keys = head_config.key_specification
        self.store = FrameStore.open(path)

    def __len__(self) -> int:
        return len(self.store)

    def labelled(self, keys: LabelKeys) -> Iterator[int]:
        """The frames that have a Hessian label, in order, whatever it says; reads the whole file."""
        for index, atoms in enumerate(self.store):
            if {keys.hessian, keys.rows} & set(atoms.info) or {keys.probes, keys.hvp} & set(atoms.arrays):
                yield index

    def __getitem__(self, index: int) -> Any:
        """MACE's `AtomicData` of a frame.

        Raises:
            LabelError: a malformed label, with file and frame.
            DataError: energy or forces have ASE's own names, which MACE does not read.
        """
        from mace.data.atomic_data import AtomicData
        from mace.data.utils import config_from_atoms

        atoms = self.store[int(index)]
        if ase_names(atoms, self.keys):
            refuse_ase_names(self.path, self.store, self.keys)
        try:
            config = config_from_atoms(atoms, key_specification=self.keys, head_name=self.head)
        except LabelError as error:
            raise LabelError(f"{self.path}, frame {index}: {error}") from error
        return AtomicData.from_config(config, z_table=self.z_table, cutoff=self.r_max, heads=self.heads)
