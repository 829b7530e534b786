"""Data that other processes read: they know of the labels, however they were started."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from hint_plugin.data import read_frames, write_frames
from hint_plugin.mace import hook
from hint_plugin.mace.active_options import session
from hint_plugin.mace.options import HintOptions
from hint_plugin.mace.workers import CarriedDataset, carried
from mace_runs import MOLECULES


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory):
    """Two structures in HINT's HDF5 file and in MACE's LMDB, as the loaders of a training have them."""
    hook.install()
    from mace.data import KeySpecification, LMDBDataset
    from mace.tools import AtomicNumberTable
    from mace.tools.fairchem_dataset.lmdb_dataset_tools import LMDBDatabase

    from hint_plugin.mace.stores import store_dataset

    folder = tmp_path_factory.mktemp("data")
    frames = read_frames(MOLECULES)[:2]
    for atoms in frames:
        atoms.info["my_hessian"] = atoms.info.pop("REF_hessian")  # options travel, not only the fact
    write_frames(folder / "set.h5", frames)
    with LMDBDatabase(folder / "set.aselmdb") as database:
        for atoms in frames:
            database.write(atoms, data={})
    head = SimpleNamespace(head_name="Default", key_specification=KeySpecification.from_defaults())
    common = {"r_max": 4.0, "z_table": AtomicNumberTable([1, 6, 7, 8]), "heads": ["Default"]}
    return torch.utils.data.ConcatDataset(
        [
            store_dataset(folder / "set.h5", **common, head_config=head),
            LMDBDataset(str(folder / "set.aselmdb"), **common),
        ]
    )


READER = """
import pickle, sys
data = pickle.load(open(sys.argv[1], "rb"))
for index in range(len(data)):
    structure = data[index]
    print(int(structure.hint_count[0, 2]), structure.hint_rows.dtype, len(structure.hint_rows) > 0)
"""


def test_a_process_that_begins_empty_reads_the_labels(data_sets, tmp_path):
    """As a worker of spawn and forkserver is started, and without the hook of `import torch`."""
    torch.set_default_dtype(torch.float64)
    with session.lent(HintOptions(hessian_key="my_hessian")):
        found = carried(data_sets)
    assert isinstance(found, CarriedDataset)
    (tmp_path / "data.pickle").write_bytes(pickle.dumps(found))
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "data.pickle")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"},
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if "float" in line]
    assert lines == ["1 torch.float64 True"] * 4, done.stderr[-2000:]


def test_the_loaders_of_a_training_carry_them(data_sets):
    from mace.tools.torch_geometric.dataloader import DataLoader

    options = HintOptions(hessian_key="my_hessian")
    with session.lent(options):
        loader = DataLoader(dataset=data_sets, batch_size=4)
        in_memory = DataLoader([data_sets[0]])
    assert loader.dataset.options == options
    (batch,) = list(loader)  # the session has no options any more
    assert batch.hint_count[:, 2].tolist() == [1, 1, 1, 1]
    assert isinstance(in_memory.dataset, list)
    assert DataLoader(data_sets).dataset is data_sets  # HINT is not in use: stock MACE
