"""`HessianDataModule` as hydra makes it: all forms of its options, those of NequIP's own, workers."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import numpy as np
import torch
from ase import Atoms
from hydra.errors import InstantiationException
from nequip.data import AtomicDataDict
from nequip.data.dataset import ASEDataset
from nequip_runs import CONFIGS, ROOT, TYPES, config, mixed_labels, transforms

from hint_plugin.core.batches import KEYS
from hint_plugin.data import write_frames, write_label
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.data.stores.shards import write_shards
from hint_plugin.errors import DataError
from hint_plugin.nequip import FrameDataset, HessianDataModule, HessianLabels

ASE_KEYS = ROOT / "tests" / "data" / "cases" / "files" / "ase_keys.xyz"
#: What NequIP's own data set has to be told to pass on.
LABEL_KEYS = ["REF_hessian", "REF_hessian_rows", "REF_hessian_mask", "REF_probes", "REF_hvp"]
MAPPING = {"REF_energy": "total_energy", "REF_forces": "forces"}


@pytest.fixture
def frames(molecules) -> list[Atoms]:
    """Ten molecules, with labels of all kinds and without."""
    found = [atoms.copy() for atoms in molecules[:10]]
    for atoms, label in zip(found, mixed_labels(found), strict=True):
        write_label(atoms, label)
    return found


def by_hydra(base: str = "hessian.yaml", **options) -> HessianDataModule:
    """The data module of a configuration with changes, made as `nequip-train` makes it."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    given = {"chemical_symbols": TYPES, **{f"data.{name}": x for name, x in options.items()}}
    found = OmegaConf.create(config(given, base))
    module = instantiate(OmegaConf.to_container(found.data, resolve=True), _recursive_=False)
    module.setup("fit")
    return module


def files(path, *kinds: str) -> dict[str, str]:
    """The same file for everything."""
    return {f"{kind}_file_path": str(path) for kind in kinds or ("train", "val", "test")}


def energies(part) -> set[float]:
    return {round(float(part[i]["total_energy"]), 6) for i in range(len(part))}


# forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["mapping", "list"])
@pytest.mark.parametrize("shares", [{"train": 6, "val": 4}, {"train": 0.6, "val": 0.2, "test": 0.2}])
def test_the_split_of_nequips_tutorial(tmp_path, frames, form, shares):
    """``split_dataset: {file_path, train, val, test}``; hydra gives it as a mapping of its own kind."""
    write_frames(tmp_path / "set.h5", frames)
    split = {"file_path": str(tmp_path / "set.h5"), **shares}
    none = dict.fromkeys(files("", "train", "val", "test"))
    module = by_hydra(**none, split_dataset=split if form == "mapping" else [split])
    ((train,), (val,)) = module.train_dataset, module.val_dataset
    assert (len(train), len(val)) == (6, 4 if "test" not in shares else 2)
    assert not energies(train) & energies(val)
    if "test" in shares:
        module.setup("test")
        assert len(module.test_dataset[0]) == 2


@pytest.mark.parametrize("form", ["one", "list"])
def test_files_alone_or_in_a_list(tmp_path, frames, form):
    write_frames(tmp_path / "set.xyz", frames)
    path = str(tmp_path / "set.xyz")
    given = {name: path if form == "one" else [path, path] for name in ("val_file_path", "test_file_path")}
    module = by_hydra(train_file_path=path, **given)
    assert [len(part) for part in module.val_dataset] == [10] * (1 if form == "one" else 2)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration(tmp_path, frames, path):
    """Its data, as it is but for the files, and the batches that it gives."""
    write_frames(tmp_path / "set.xyz", frames)
    module = by_hydra(path.name, **files(tmp_path / "set.xyz"))
    for batch in (next(iter(module.train_dataloader())), next(iter(module.val_dataloader()[0]))):
        assert {"total_energy", "forces", "edge_index"} <= set(batch)
        assert (KEYS[0] in batch) == (path.name == "hessian.yaml")


def test_all_configurations_are_found():
    """None of them lies where the test above does not look."""
    names = [path for path in (ROOT / "configs").rglob("*.yaml") if "hint_plugin.nequip" in path.read_text()]
    assert names and all(path.parent == CONFIGS for path in names)


# what `ASEDataModule` takes ---------------------------------------------------------------------------------


def test_stress_by_key_mapping(tmp_path, cells):
    """Mapped, it is read, under whatever name; and it can be left out again."""
    for atoms in cells[:2]:
        atoms.info["my_stress"] = atoms.info.pop("REF_stress")
    write_frames(tmp_path / "cells.xyz", cells[:2])
    paths, mapped = files(tmp_path / "cells.xyz"), {"key_mapping.my_stress": "stress"}
    (batch,) = by_hydra(**paths, **mapped).train_dataloader()
    xx, yy, zz, yz, xz, xy = cells[0].info["my_stress"]
    wanted = torch.tensor([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], dtype=torch.float64)
    assert any(torch.allclose(found, wanted, atol=1e-8) for found in batch["stress"])
    for without in ({}, {**mapped, "exclude_keys": ["my_stress"]}, {**mapped, "stress": False}):
        assert "stress" not in by_hydra(**paths, **without).train_dataset[0][0]


def test_other_properties_go_along(tmp_path, molecules):
    """By their own names and by NequIP's, as through `ASEDataModule`."""
    from nequip.data import register_fields

    register_fields(graph_fields=["my_number"], node_fields=["my_column", "hint_test_column"])
    for number, atoms in enumerate(molecules[:3]):
        atoms.info["my_number"] = np.array([float(number)])
        atoms.arrays["my_column"] = atoms.arrays["other"] = np.full((len(atoms), 1), number + 0.5)
    write_frames(tmp_path / "set.xyz", molecules[:3])
    names = {
        "include_keys": ["my_number", "my_column"],
        "key_mapping": {**MAPPING, "other": "hint_test_column"},
        "ase_args": {"format": "extxyz"},
        **files(tmp_path / "set.xyz"),
    }
    own, stock = (by_hydra(base, **names).train_dataset[0] for base in ("hessian.yaml", "plain.yaml"))
    for number in range(3):
        found, wanted = own[number], stock[number]
        assert set(wanted) == set(found) - set(KEYS)
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, msg=name)
    without = by_hydra(**{**names, "exclude_keys": ["my_column", "other"]}).train_dataset[0][0]
    assert {"my_number", "my_column", "hint_test_column"} & set(without) == {"my_number"}


@pytest.mark.parametrize("args", [{}, {"ase_args": {"format": "extxyz"}}])
def test_hessians_are_excluded_by_their_names(tmp_path, molecules, args):
    frames = [molecules[0].copy() for _ in range(2)]
    write_label(frames[0], HessianLabel.full(np.eye(3 * len(frames[0]))))
    write_label(
        frames[1], HessianLabel.full(np.eye(3 * len(frames[0]))).to_projected(2, np.random.default_rng(0))
    )
    write_frames(tmp_path / "two.xyz", frames)
    given = {**args, **files(tmp_path / "two.xyz"), "gate": False}
    for excluded, kept in (
        ((), [True, True]),
        (["REF_hessian"], [False, True]),
        (["REF_hvp"], [True, False]),
    ):
        found = by_hydra(**given, exclude_keys=list(excluded)).train_dataset[0]
        assert [bool(data["hint_weight"].abs().sum()) for data in (found[0], found[1])] == kept


def test_files_that_ase_itself_reads_are_whole(tmp_path, molecules):
    """With `ase_args` ASE reads the file, and would leave out what stands behind a blank line."""
    write_frames(tmp_path / "one.xyz", molecules[:1])
    one = (tmp_path / "one.xyz").read_text()
    names = {"key_mapping": MAPPING, "ase_args": {"format": "extxyz"}}
    for text, said in (
        (f"{one}\n{one}", "a blank line stands before frame 1"),
        ("\ufeff" + one, "byte order mark"),
    ):
        (tmp_path / "set.xyz").write_text(text)
        with pytest.raises(InstantiationException, match=said):
            by_hydra(**names, **files(tmp_path / "set.xyz")).train_dataset  # noqa: B018
    assert len(by_hydra(key_mapping=MAPPING, **files(tmp_path / "set.xyz")).train_dataset[0]) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("zeros", "Is it a placeholder"),
        ("minus", "Its sign is wrong"),
        ("permuted", "Are its atoms in another order"),
        ("xxx_yyy_zzz", "sorted by axis"),
        ("kcal", "It looks like kcal/mol/A"),
        ("mass_weighted", "It is mass-weighted"),
    ],
)
def test_each_kind_of_wrong_label_ends_a_training(name, said):
    path = ROOT / "tests" / "data" / "cases" / "labels" / f"{name}.xyz"
    with pytest.raises(
        InstantiationException, match=rf"{name}.xyz, frame 0 \(CH4O\): REF_hessian: .*{said}"
    ) as error:
        by_hydra(**files(path))
    assert "?." not in str(error.value)


def test_a_file_of_which_ase_leaves_out_frames_is_refused(tmp_path, molecules):
    write_frames(tmp_path / "one.xyz", molecules[:1])
    text = (tmp_path / "one.xyz").read_text()
    (tmp_path / "set.XYZ").write_text(f"{text}\n{text}")
    assert len(FrameDataset(str(tmp_path / "set.XYZ"))) == 2
    for arguments in ({"format": "extxyz"}, {"do_not_split_by_at_sign": True}):
        with pytest.raises(DataError, match="a blank line stands before frame 1"):
            FrameDataset(str(tmp_path / "set.XYZ"), ase_args=arguments)


def test_ases_own_energies_are_read_where_they_are_asked_for():
    """Not by themselves: a file may hold those of another method beside its labels."""
    with pytest.raises(
        InstantiationException, match=r"ase_keys.xyz, frame 0 \(H2O\) has no energy \(REF_energy\)"
    ) as info:
        by_hydra(**files(ASE_KEYS))
    assert "'++data.keys={energy: energy, forces: forces}'" in str(info.value)
    line = f"hint dataset convert {ASE_KEYS} -o {ASE_KEYS.with_name('ase_keys-ref.xyz')}"
    assert line in str(info.value)
    for options in (
        {"keys": {"energy": "energy", "forces": "forces"}},
        {"key_mapping": {"energy": "total_energy", "forces": "forces"}},
    ):
        data = by_hydra(**files(ASE_KEYS), **options).train_dataset[0][0]
        assert float(data["total_energy"]) == -137.9 and data["forces"].shape == (3, 3)


# workers ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_workers_that_start_anew(tmp_path, frames, context):
    """As on macOS and from Python 3.14 on: what a worker has to know travels with the data set."""
    from torch.utils.data import ConcatDataset, DataLoader

    for name in ("set.h5", "set.xyz"):
        write_frames(tmp_path / name, frames)
    write_shards(tmp_path / "shards", frames, frames_per_shard=5)
    keys = {key: key.replace("REF", "MY") for key in LABEL_KEYS}
    for atoms in frames:
        for old, new in keys.items():
            for place in (atoms.info, atoms.arrays):
                if old in place:
                    place[new] = place.pop(old)
    write_frames(tmp_path / "mine.h5", frames)
    mine = {
        part: keys[key]
        for part, key in zip(("hessian", "rows", "mask", "probes", "hvp"), LABEL_KEYS, strict=True)
    }
    parts = [
        *(FrameDataset(str(tmp_path / name), transforms()) for name in ("set.h5", "shards", "set.xyz")),
        FrameDataset(str(tmp_path / "mine.h5"), transforms(), mine),
        ASEDataset(str(tmp_path / "set.xyz"), [HessianLabels(), *transforms()], {}, LABEL_KEYS, [], MAPPING),
    ]
    options = {"batch_size": 10, "collate_fn": AtomicDataDict.batched_from_list}
    wanted = list(DataLoader(ConcatDataset(parts), **options))
    workers = {"num_workers": 1, "multiprocessing_context": context}
    found = list(DataLoader(ConcatDataset(parts), **workers, **options))
    assert len(found) == len(wanted) == 5
    for one, other in zip(found, wanted, strict=True):
        assert one.keys() == other.keys() and int(one["hint_count"][:, 2].sum()) == 8
        for name, value in other.items():
            assert one[name].dtype == value.dtype, name
            assert torch.equal(one[name], value), name


def test_a_data_set_for_a_product_stays_one(tmp_path, frames, monkeypatch):
    """NequIP packages without fields of HINT, also where a worker reads that does not know what for."""
    import hint_plugin.nequip.data as data
    import hint_plugin.nequip.labels as labels

    write_frames(tmp_path / "set.h5", frames)
    path = str(tmp_path / "set.h5")
    for place in (data, labels):
        monkeypatch.setattr(place, "making_a_product", lambda: True)
    dataset, transform = FrameDataset(path), HessianLabels()
    monkeypatch.undo()
    assert not set(KEYS) & set(pickle.loads(pickle.dumps(dataset))[0])
    bare = {name: x for name, x in FrameDataset(path)[0].items() if name not in KEYS}
    assert not set(KEYS) & set(pickle.loads(pickle.dumps(transform))(bare))


# labels -----------------------------------------------------------------------------------------------------


def test_labels_are_judged_by_all_that_the_frame_has(tmp_path, cells, monkeypatch):
    """Cell, periodicity and forces reach the look at a label through NequIP's own data set, too."""
    import hint_plugin.nequip.labels as labels

    seen, right = [], labels.read_label
    monkeypatch.setattr(
        labels, "read_label", lambda atoms, *a, **k: (seen.append(atoms), right(atoms, *a, **k))[1]
    )
    write_frames(tmp_path / "cells.xyz", cells[:2])
    path = str(tmp_path / "cells.xyz")
    assert len(ASEDataset(path, [HessianLabels()], {}, ["REF_hessian"], [], MAPPING)[:]) == 2
    for found, wanted in zip(seen, cells[:2], strict=True):
        np.testing.assert_allclose(found.cell.array, wanted.cell.array, atol=1e-7)
        assert found.pbc.all() and found.info["REF_energy"] == pytest.approx(wanted.info["REF_energy"])
        np.testing.assert_allclose(found.arrays["REF_forces"], wanted.arrays["REF_forces"], atol=1e-7)
