"""What a process that reads data for a training has to know: it travels with the data set.

A worker of a torch DataLoader that was not forked (``spawn`` on macOS and Windows, ``forkserver`` from Python
3.14 on) begins empty: no options of HINT, and torch's default dtype. Frames that it read from a file would
come without their labels, and in single precision.
"""

from __future__ import annotations

import copyreg
import sys
from typing import Any

import torch
from torch.utils.data import ConcatDataset, Dataset

from hint_plugin.core.devices import default_dtype
from hint_plugin.mace import hook
from hint_plugin.mace.active_options import session
from hint_plugin.mace.options import HintOptions


class CarriedDataset(Dataset):
    """A data set with the options and the dtype of the training, which any process reads alike.

    Args:
        inner: the data set itself.
        options: HINT's options of the run.
        dtype: of the tensors.
    """

    def __init__(self, inner: Any, options: HintOptions, dtype: torch.dtype) -> None:
        self.inner, self.options, self.dtype = inner, options, dtype

    def __setstate__(self, state: dict[str, Any]) -> None:
        hook.install()  # where torch has not done it: TORCH_DEVICE_BACKEND_AUTOLOAD=0
        self.__dict__.update(state)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        with session.lent(self.options), default_dtype(self.dtype):
            return self.inner[index]


def carried(dataset: Any) -> Any:
    """The data set that a loader of this run takes: a `CarriedDataset` where frames are read from files.

    The data set itself while HINT is not in use, and for structures that are in memory.
    """
    if session.options is None or isinstance(dataset, CarriedDataset):
        return dataset
    if all(isinstance(part, list) for _, part in parts(dataset)):
        return dataset
    _let_lmdb_travel()
    return CarriedDataset(dataset, session.options, torch.get_default_dtype())


def _let_lmdb_travel() -> None:
    """Let MACE's LMDB files, which it opens at once, go to another process: there they are opened anew."""
    tools = sys.modules.get("mace.tools.fairchem_dataset.lmdb_dataset_tools")
    database, datasets = getattr(tools, "LMDBDatabase", None), getattr(tools, "AseDBDataset", None)
    if database is not None and hasattr(datasets, "connect_db"):
        copyreg.pickle(database, _opening_lmdb)


def _opening_lmdb(database: Any) -> tuple[Any, ...]:
    tools = sys.modules[type(database).__module__]
    return tools.AseDBDataset.connect_db, (str(database.filename),)


def parts(dataset: Any, start: int = 0) -> list[tuple[int, Any]]:
    """What a data set is put together of, each with the number of its first structure."""
    if isinstance(dataset, CarriedDataset):
        return parts(dataset.inner, start)
    if not isinstance(dataset, ConcatDataset):
        return [(start, dataset)]
    found = []
    for part in dataset.datasets:
        found += parts(part, start)
        start += len(part)  # type: ignore[arg-type]
    return found
