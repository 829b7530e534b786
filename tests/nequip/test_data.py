"""Structures and labels on their way into NequIP's batches: files, stores, workers, NequIP's own datasets."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import numpy as np
import torch
from ase import Atoms
from nequip.data import AtomicDataDict
from nequip.data.dataset import ASEDataset
from nequip_runs import R_MAX, TYPES, make_batch, mixed_labels, transforms

from hint_plugin.core.batches import KEYS, BatchLabels
from hint_plugin.core.labels import StructureLabel
from hint_plugin.data import read_label, write_frames, write_label
from hint_plugin.data.stores.shards import write_shards
from hint_plugin.errors import DataError, LabelError, OptionsError
from hint_plugin.nequip import FrameDataset, HessianDataModule, HessianLabels
from hint_plugin.nequip.batches import offsets, select

TRANSFORMS = [
    {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": TYPES},
    {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": R_MAX},
]


@pytest.fixture
def frames(molecules, cells) -> list[Atoms]:
    """Molecules with all kinds of labels, some of them weighted, and crystals without."""
    found = [atoms.copy() for atoms in molecules[:8]]
    for number, (atoms, label) in enumerate(zip(found, mixed_labels(molecules[:8]), strict=True)):
        write_label(atoms, label)
        if label is not None and number % 3 == 0:
            atoms.info["config_hessian_weight"] = 0.5
    for atoms in cells[:2]:
        crystal = atoms.copy()
        write_label(crystal, None)
        found.append(crystal)
    return found


def assert_same(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype, name
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


def labels_of(batch: dict) -> tuple[list[StructureLabel], torch.Tensor]:
    found = BatchLabels({**batch, "ptr": offsets(batch)})
    return found.labels, found.weights


def write_all(folder, frames) -> dict[str, str]:
    """The same frames as extxyz, as a store, and as a folder of two stores."""
    write_frames(folder / "set.xyz", frames)
    write_frames(folder / "set.h5", frames)
    write_shards(folder / "shards", frames, frames_per_shard=5)
    return {"xyz": str(folder / "set.xyz"), "h5": str(folder / "set.h5"), "shards": str(folder / "shards")}


# FrameDataset -----------------------------------------------------------------------------------------------


def test_a_batch_holds_the_labels_of_the_file(tmp_path, frames):
    path = write_all(tmp_path, frames)["xyz"]
    dataset = FrameDataset(path, transforms())
    batch = AtomicDataDict.batched_from_list([dataset[i] for i in range(len(dataset))])
    labels, weights = labels_of(batch)
    ptr = offsets(batch).tolist()
    for g, (atoms, label) in enumerate(zip(frames, labels, strict=True)):
        wanted = read_label(atoms)
        own = slice(ptr[g], ptr[g + 1])
        assert float(batch["total_energy"][g]) == pytest.approx(atoms.info["REF_energy"], abs=1e-7)
        np.testing.assert_allclose(batch["forces"][own], atoms.arrays["REF_forces"], atol=1e-7)
        assert batch["pbc"][g].tolist() == atoms.pbc.tolist()
        assert label.n_atoms == len(atoms) and label.labelled == (wanted is not None)
        assert float(weights[g]) == (0.0 if wanted is None else wanted.weight)
        if wanted is None:
            continue
        if wanted.kind == "projected":
            np.testing.assert_allclose(label.probes, wanted.probes, atol=1e-7)
            np.testing.assert_allclose(label.hvp, wanted.hvp, atol=1e-6)
        else:
            np.testing.assert_allclose(label.rows, wanted.hessian, atol=1e-6)
            atom = range(len(atoms)) if wanted.atoms is None else wanted.atoms
            assert label.atoms.tolist() == list(atom)


def test_formats_give_the_same_fields(tmp_path, frames):
    """Text has fewer digits: the stores are written from what was read of it."""
    from hint_plugin.data import read_frames

    write_frames(tmp_path / "first.xyz", frames)
    paths = write_all(tmp_path, read_frames(tmp_path / "first.xyz"))
    wanted = FrameDataset(paths["xyz"], transforms())
    for name in ("h5", "shards"):
        found = FrameDataset(paths[name], transforms())
        assert len(found) == len(wanted) == len(frames)
        for number in range(len(frames)):
            assert_same(found[number], wanted[number])
        assert found.num_atoms([3, 0]) == wanted.num_atoms([3, 0]) == [len(frames[3]), len(frames[0])]
        for one, other in zip(found[2:5], wanted[2:5], strict=True):
            assert_same(one, other)


def test_stores_travel_to_other_processes(tmp_path, frames):
    for path in write_all(tmp_path, frames).values():
        dataset = FrameDataset(path, transforms())
        assert_same(pickle.loads(pickle.dumps(dataset))[1], dataset[1])


def test_stress_of_some(tmp_path, molecules, cells):
    """A NaN where there is none: NequIP wants the same fields of all structures."""
    write_frames(tmp_path / "set.xyz", [*molecules[:2], *cells[:2]])
    dataset = FrameDataset(str(tmp_path / "set.xyz"), transforms(), stress=True)
    batch = AtomicDataDict.batched_from_list(dataset[[0, 1, 2, 3]])
    assert batch["stress"].shape == (4, 3, 3)
    assert batch["stress"][:2].isnan().all()
    for g in (2, 3):
        xx, yy, zz, yz, xz, xy = cells[g - 2].info["REF_stress"]
        wanted = torch.tensor([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        torch.testing.assert_close(batch["stress"][g], wanted, atol=1e-8, rtol=0)
    assert "stress" not in FrameDataset(str(tmp_path / "set.xyz"))[3]


def test_select_is_the_batch_of_the_chosen(frames):
    labels = [read_label(atoms) for atoms in frames]
    batch = make_batch(frames, labels)
    chosen = [1, 4, 9]
    wanted = make_batch([frames[g] for g in chosen], [labels[g] for g in chosen])
    found = select(batch, chosen, [n for n in batch if n not in KEYS])
    for name, value in wanted.items():
        if name in KEYS:
            assert name not in found
        elif name in ("batch", "edge_index"):
            assert torch.equal(found[name], value)
        else:
            torch.testing.assert_close(found[name], value)


# HessianDataModule ------------------------------------------------------------------------------------------


def data_module(path: str, workers: int = 0, **options) -> HessianDataModule:
    loader = {"_target_": "torch.utils.data.DataLoader", "batch_size": 4, "num_workers": workers}
    return HessianDataModule(
        **{"seed": 3, "train_file_path": path, "val_file_path": [path, path], **options},
        transforms=TRANSFORMS,
        train_dataloader={**loader, "shuffle": True},
        val_dataloader=loader,
    )


def epoch(module: HessianDataModule) -> list[dict]:
    module.setup("fit")
    batches = list(module.train_dataloader())
    assert len(module.val_dataloader()) == len(module.val_dataset)
    module.teardown("fit")
    return batches


@pytest.mark.parametrize("form", ["xyz", "h5", "shards"])
def test_workers_give_the_same_batches(tmp_path, frames, form):
    path = write_all(tmp_path, frames)[form]
    wanted, found = epoch(data_module(path)), epoch(data_module(path, workers=2))
    assert [len(batch["num_atoms"]) for batch in wanted] == [4, 4, 2]
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)
    assert sum(len(BatchLabels({**b, "ptr": offsets(b)}).labelled) for b in found) == 6


def test_splits_are_those_of_nequip(tmp_path, frames):
    path = write_all(tmp_path, frames)["h5"]
    split = {"file_path": path, "train": 6, "val": 4}
    module = data_module(path, train_file_path=None, val_file_path=None, split_dataset=split)
    module.setup("fit")
    energies = [
        {round(float(data["total_energy"]), 9) for data in (part[i] for i in range(len(part)))}
        for (part,) in (module.train_dataset, module.val_dataset)
    ]
    assert [len(part) for part in energies] == [6, 4] and not energies[0] & energies[1]


def test_names_of_other_files(tmp_path, molecules):
    """`key_mapping` as `ASEDataModule` has it, `keys` for what belongs to a Hessian."""
    atoms = molecules[0]
    wanted = {"e": atoms.info.pop("REF_energy"), "h": atoms.info.pop("REF_hessian")}
    atoms.info["dft_e"], atoms.info["dft_h"] = wanted["e"], wanted["h"]
    atoms.arrays["dft_f"] = atoms.arrays.pop("REF_forces")
    write_frames(tmp_path / "set.xyz", [atoms])
    module = data_module(
        str(tmp_path / "set.xyz"),
        key_mapping={"dft_e": "total_energy", "dft_f": "forces"},
        keys={"hessian": "dft_h"},
    )
    (batch,) = epoch(module)
    assert float(batch["total_energy"]) == pytest.approx(wanted["e"])
    np.testing.assert_allclose(batch["forces"], atoms.arrays["dft_f"], atol=1e-7)
    ((label,), _) = labels_of(batch)
    np.testing.assert_allclose(label.rows, wanted["h"], atol=1e-6)


def test_the_step_goes_into_batches_that_are_trained_on(tmp_path, frames):
    module = data_module(write_all(tmp_path, frames)["xyz"])
    (batch, *_) = epoch(module)
    module.trainer = SimpleNamespace(training=True, global_step=17)
    assert module.on_before_batch_transfer(dict(batch), 0)["hint_step"].tolist() == [17]
    module.trainer = SimpleNamespace(training=False, global_step=17)
    assert "hint_step" not in module.on_before_batch_transfer(dict(batch), 0)


# NequIP's own datasets --------------------------------------------------------------------------------------


def test_transform_for_nequips_own_dataset(tmp_path, frames):
    """The same fields, whatever the kind of label, from ASE's reading of the same file."""
    path = write_all(tmp_path, frames)["xyz"]
    names = ["REF_hessian", "REF_hessian_rows", "REF_hessian_mask", "REF_probes", "REF_hvp"]
    stock = ASEDataset(
        file_path=path,
        transforms=[HessianLabels(), *transforms()],
        include_keys=[*names, "config_hessian_weight"],
        key_mapping={"REF_energy": "total_energy", "REF_forces": "forces"},
    )
    own = FrameDataset(path, transforms())
    for number in range(len(frames)):
        found, wanted = stock[number], own[number]
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, msg=name)
    batch = AtomicDataDict.batched_from_list([stock[i] for i in range(len(stock))])
    labels, weights = labels_of(batch)
    assert sum(label.labelled for label in labels) == 6
    assert sorted(weights.tolist()) == [0.0] * 4 + [0.5] * 2 + [1.0] * 4


def test_transform_with_other_names(tmp_path, molecules):
    atoms = molecules[1]
    atoms.info["mine"] = atoms.info.pop("REF_hessian")
    write_frames(tmp_path / "set.xyz", [atoms])
    stock = ASEDataset(
        file_path=str(tmp_path / "set.xyz"),
        transforms=[HessianLabels({"hessian": "mine"}), *transforms()],
        include_keys=["mine"],
        key_mapping={"REF_energy": "total_energy", "REF_forces": "forces"},
    )
    ((label,), _) = labels_of(AtomicDataDict.batched_from_list([stock[0]]))
    np.testing.assert_allclose(label.rows, atoms.info["mine"], atol=1e-6)


# what cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["xyz", "h5"])
@pytest.mark.parametrize("what", ["energy", "forces"])
def test_a_frame_without_energy_or_forces(tmp_path, molecules, form, what):
    """Named by its file, its number and its formula."""
    place = molecules[2].info if what == "energy" else molecules[2].arrays
    del place[f"REF_{what}"]
    path = tmp_path / f"set.{form}"
    write_frames(path, molecules[:4])
    with pytest.raises(DataError, match=rf"set.{form}, frame 2 \(CH4\) has no {what} \(REF_{what}\)"):
        list(FrameDataset(str(path)))


def test_a_malformed_label(tmp_path, molecules):
    molecules[1].info["REF_hessian"] = np.full((12, 12), np.nan)
    write_frames(tmp_path / "set.xyz", molecules[:2])
    with pytest.raises(LabelError, match=r"set.xyz, frame 1 \(H3N\): .*NaN"):
        FrameDataset(str(tmp_path / "set.xyz"))
    stock = ASEDataset(
        file_path=str(tmp_path / "set.xyz"), transforms=[HessianLabels()], include_keys=["REF_hessian"]
    )
    with pytest.raises(LabelError, match=r"training data \(H3N\): .*NaN"):
        stock[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keys": {"hesian": "x"}}, "keys: got hesian; wanted some of energy, forces, stress, hessian"),
        ({"key_mapping": {"a": "forces", "b": "forces"}}, "a and b are both for forces; wanted one of them"),
        ({"exclude_keys": "REF_forces"}, "exclude_keys has REF_forces; energies and forces are trained on"),
        ({"ase_args": {"index": ":5"}}, "ase_args has index, which the data module gives"),
        ({"split_dataset": {"train": 1}}, r"split_dataset: got \{'train': 1\}; wanted file_path"),
        ({"split_dataset": {"file_path": "a", "trian": 1}}, r"'trian': 1\}; wanted file_path, and shares"),
    ],
)
def test_options_of_the_data_module(options, words):
    with pytest.raises(OptionsError, match=words):
        data_module("set.xyz", **options)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(DataError, match="missing.xyz"):
        FrameDataset(str(tmp_path / "missing.xyz"))
