"""Training sets in which a structure has a Hessian alone, as a supercell of DFPT: E0s, mean and scale."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase.io import read

from hint_plugin.mace.averages import average_e0s, mean_and_rms, mean_and_std
from mace_runs import MOLECULES, Run, train_hint, write_frames


def logged_e0s(log: str) -> dict[int, float]:
    found = re.search(r"Atomic Energies used \(z: eV\) for head Default: \{(.*)\}", log)
    assert found is not None
    return {int(z): float(e) for z, e in re.findall(r"(\d+): (?:np\.float64\()?([-\w.]+)", found[1])}


def test_a_hessian_alone_changes_no_average(tmp_path):
    """E0s and shift of a training set to which a frame without energy and forces was added."""
    frames = read(MOLECULES, ":")
    runs = []
    for name, extra in (("without", []), ("with", [frames[0].copy()])):
        folder = tmp_path / name
        folder.mkdir()
        for atoms in extra:
            del atoms.info["REF_energy"], atoms.arrays["REF_forces"]
            assert "REF_hessian" in atoms.info
        write_frames(folder / "train.xyz", [*frames, *extra])
        files = {"train_file": folder / "train.xyz", "valid_fraction": None, "valid_file": MOLECULES}
        train_hint(folder, **files, batch_size=1)  # MACE leaves out what does not fill a batch
        runs.append(Run(folder, "small", 1))
    first, second = (logged_e0s(run.log) for run in runs)
    assert first == pytest.approx(second, abs=1e-9)
    assert all(np.isfinite(list(second.values())))
    without, with_ = (torch.load(run.model_path, weights_only=False).scale_shift for run in runs)
    assert float(with_.scale) == pytest.approx(float(without.scale), rel=1e-12)
    assert float(with_.shift) == pytest.approx(float(without.shift), abs=1e-9)


def batch(energies, forces, energy_weight, forces_weight):
    """Two graphs of 1 and 2 atoms of one element."""
    return SimpleNamespace(
        head=torch.zeros(2, dtype=torch.long),
        node_attrs=torch.ones(3, 1),
        batch=torch.tensor([0, 1, 1]),
        num_graphs=2,
        ptr=torch.tensor([0, 1, 3]),
        energy=torch.tensor(energies),
        forces=torch.tensor(forces).reshape(3, 1).expand(3, 3),
        energy_weight=torch.tensor(energy_weight),
        forces_weight=torch.tensor(forces_weight),
    )


def test_each_mean_is_of_what_has_it():
    pytest.importorskip("mace")
    from mace.modules.utils import compute_mean_rms_energy_forces, compute_mean_std_atomic_inter_energy

    e0 = np.array([1.0])
    whole = batch([3.0, 6.0], [1.0, 2.0, 2.0], [1.0, 1.0], [1.0, 1.0])
    parts = batch([5.0, 0.0], [0.0, 4.0, 4.0], [1.0, 0.0], [0.0, 1.0])
    mean, rms = mean_and_rms(compute_mean_rms_energy_forces, [whole, parts], e0)
    assert mean == pytest.approx((2.0 + 2.0 + 4.0) / 3)
    assert rms == pytest.approx(np.sqrt((1 + 4 + 4 + 16 + 16) / 5))
    mean, std = mean_and_std(compute_mean_std_atomic_inter_energy, [whole, parts], e0)
    assert mean == pytest.approx(8 / 3) and std == pytest.approx(np.std([2.0, 2.0, 4.0], ddof=1))
    untouched = mean_and_rms(compute_mean_rms_energy_forces, [whole], e0)
    assert untouched[0] == pytest.approx(2.0) and untouched[1] == pytest.approx(np.sqrt(3.0))


def test_e0s_of_what_has_an_energy():
    given = [SimpleNamespace(properties={"energy": 1.0}), SimpleNamespace(properties={"energy": None})]
    for frames in (given, given[1:]):
        found = average_e0s(lambda some, table: {np.int64(1): np.float64(len(some))}, frames, None)
        assert repr(found) == "{1: 1.0}"  # plain numbers: MACE writes their repr into a file
