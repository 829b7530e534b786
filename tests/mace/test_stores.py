"""HINT's HDF5 files as training data of `mace_run_train`."""

from __future__ import annotations

import ast
import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from ase import Atoms

from hint_plugin.data import read_frames, write_frames
from hint_plugin.data.sets.mace_statistics import statistics, write_statistics
from hint_plugin.errors import DataError, HintError, OptionsError
from hint_plugin.mace.stores import store_dataset
from mace_runs import MOLECULES, train_hint

R_MAX = 4.0


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same frames as extxyz, as one store, and as a folder of two."""
    folder = tmp_path_factory.mktemp("stores")
    frames = read_frames(MOLECULES)
    half = len(frames) // 2
    for name, part in (("train", frames[2:]), ("valid", frames[:2])):
        write_frames(folder / f"{name}.xyz", part)
        write_frames(folder / f"{name}.h5", part)
    (folder / "shards").mkdir()
    write_frames(folder / "shards" / "set-0.h5", frames[2:half])
    write_frames(folder / "shards" / "set-1.h5", frames[half:])
    write_statistics(frames[2:], R_MAX, folder / "statistics.json")
    return folder


def test_the_same_training(files, tmp_path):
    """Frames, labels and their order are those of the extxyz file."""
    common = {"valid_fraction": None, "E0s": None, "r_max": R_MAX}
    common["statistics_file"] = files / "statistics.json"
    weights = [
        train_hint(
            tmp_path / name, train_file=files / name, valid_file=files / valid, num_workers=workers, **common
        ).weights()
        for name, valid, workers in (
            ("train.xyz", "valid.xyz", 0),
            ("train.h5", "valid.h5", 2),
            ("shards", "valid.h5", 2),
        )
    ]
    for stored in weights[1:]:
        assert stored.keys() == weights[0].keys()
        for key, wanted in weights[0].items():
            torch.testing.assert_close(stored[key], wanted, rtol=1e-4, atol=1e-6)


def test_statistics_are_those_of_mace(files):
    from mace.data import KeySpecification, config_from_atoms_list
    from mace.data.utils import compute_average_E0s
    from mace.modules.utils import compute_statistics
    from mace.tools import AtomicNumberTable, torch_geometric

    found = json.loads((files / "statistics.json").read_text())
    numbers, energies = (ast.literal_eval(found[key]) for key in ("atomic_numbers", "atomic_energies"))

    head = SimpleNamespace(head_name="Default", key_specification=KeySpecification.from_defaults())
    average = compute_average_E0s(
        config_from_atoms_list(read_frames(files / "train.xyz"), head.key_specification),
        AtomicNumberTable(numbers),
    )
    assert energies == pytest.approx(average, abs=1e-4)
    data = store_dataset(
        str(files / "train.h5"),
        r_max=R_MAX,
        z_table=AtomicNumberTable(numbers),
        heads=["Default"],
        head_config=head,
    )
    loader = torch_geometric.dataloader.DataLoader(data, batch_size=3, shuffle=False)
    neighbours, mean, rms = compute_statistics(loader, np.array([energies[z] for z in numbers]))
    assert found["avg_num_neighbors"] == pytest.approx(neighbours, rel=1e-6)
    assert found["mean"] == pytest.approx(mean, abs=1e-4)
    assert found["std"] == pytest.approx(rms, rel=1e-5)


def test_isolated_atoms_give_their_energies():
    frames = read_frames(MOLECULES)
    atom = Atoms("H", info={"config_type": "IsolatedAtom", "REF_energy": -13.0})
    found = statistics([*frames, atom], R_MAX)
    assert "1: -13.0" in found["atomic_energies"]
    assert found["avg_num_neighbors"] == statistics(frames, R_MAX)["avg_num_neighbors"]


def test_errors(files, tmp_path):
    bare = [atoms.copy() for atoms in read_frames(MOLECULES)]
    for atoms in bare:
        del atoms.info["REF_energy"]
    with pytest.raises(DataError, match="no frame has energies .REF_energy.; label the data first"):
        statistics(bare, R_MAX)
    with pytest.raises(OptionsError, match="r_max 0"):
        statistics(bare, 0)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    write_frames(mixed / "a.h5", read_frames(MOLECULES))
    with h5py.File(mixed / "b.h5", "w"):
        pass
    with pytest.raises(DataError, match="a.h5 is a store of HINT and b.h5 is not"):
        store_dataset(str(mixed), r_max=R_MAX, z_table=None, heads=[], head_config=None)


def test_a_bad_label_is_named(files, tmp_path):
    frames = read_frames(files / "train.xyz")
    bad = next(i for i, atoms in enumerate(frames) if "REF_hessian" in atoms.info)
    frames[bad].info["REF_hessian"] = np.triu(np.asarray(frames[bad].info["REF_hessian"]))
    write_frames(tmp_path / "bad.h5", frames)
    with pytest.raises((HintError, SystemExit), match=rf"bad.h5, frame {bad}.*not symmetric"):
        train_hint(
            tmp_path / "run",
            train_file=tmp_path / "bad.h5",
            valid_file=files / "valid.h5",
            statistics_file=files / "statistics.json",
            valid_fraction=None,
            E0s=None,
        )
