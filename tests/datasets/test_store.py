"""Stores: version 1 as it was, damage, processes, killed appends, memory, shards, merging."""

from __future__ import annotations

import gzip
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.build import molecule
from frame_sets import assert_equal, frames_of, numbers_of

from hint_plugin.data import (
    FrameStore,
    HessianLabel,
    ShardedStore,
    Thresholds,
    iter_frames,
    merge,
    read_frames,
    read_label,
    write_frames,
    write_label,
    write_shards,
)
from hint_plugin.data.stores.hdf5_v2 import RECORD_CHUNK
from hint_plugin.errors import DataError, OptionsError

DATA = Path(__file__).parents[1] / "data"
RANDOM = Thresholds(physics=False)  # for labels of random numbers
HELPERS = DATA.parent / "helpers"


@pytest.mark.filterwarnings("ignore::hint_plugin.errors.LabelWarning")  # random forces
def test_version_1_is_read(tmp_path):
    path = tmp_path / "old.h5"
    path.write_bytes(gzip.decompress((DATA / "store_v1.h5.gz").read_bytes()))
    with h5py.File(path) as handle:
        assert handle.attrs["version"] == 1
    found, wanted = read_frames(path), read_frames(DATA / "store_v1.xyz")
    assert len(found) == len(wanted) == 4
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-8)
        np.testing.assert_array_equal(one.cell.array, other.cell.array)
        np.testing.assert_array_equal(one.pbc, other.pbc)
        assert one.info.keys() == other.info.keys()
        assert [c.todict() for c in one.constraints] == [c.todict() for c in other.constraints]
        label, reference = (read_label(atoms, limits=RANDOM) for atoms in (one, other))
        assert (label is None) == (reference is None)
        if label is not None and label.hessian is not None:
            np.testing.assert_array_equal(label.hessian, reference.hessian)
            assert label.provenance == reference.provenance
    with FrameStore.open(path) as store:
        assert len(store) == 4 and store[2].get_chemical_formula() == "C8"
    with pytest.raises(DataError, match="hint dataset convert"), FrameStore.open(path, "a"):
        pass
    assert merge([path], tmp_path / "new.h5", mixed=True) == {str(path): 4}
    for one, other in zip(iter_frames(tmp_path / "new.h5"), found, strict=True):
        assert_equal(one, other)


def test_types_of_info_survive(tmp_path):
    """Constants, numbers beyond the table of constants, awkward values: all come back with their types."""
    values = [
        1,
        1.0,
        True,
        False,
        0.0,
        -0.0,
        "a",
        "NaN",
        None,
        2**70,
        -(2**63),
        float("inf"),
        [1, "x"],
        {"a": 1},
    ]
    frames = []
    for number in range(200):
        atoms = molecule("H2")
        atoms.info = {"odd": values[number % len(values)], "many": number / 3, "text": f"t{number}", "one": 7}
        atoms.info["flag"] = bool(number % 2)
        frames.append(atoms)
    with FrameStore.create(tmp_path / "a.h5") as store:
        store.extend(frames[:150])
    with FrameStore.open(tmp_path / "a.h5", "a") as store:
        store.extend(frames[150:])
        assert len(store.layouts if hasattr(store, "layouts") else store._body().layouts) < 150
    for one, other in zip(iter_frames(tmp_path / "a.h5"), frames, strict=True):
        assert {k: (type(v), repr(v)) for k, v in one.info.items()} == {
            k: (type(v), repr(v)) for k, v in other.info.items()
        }


def test_float32_is_of_every_kind_of_hessian_and_of_nothing_else(tmp_path):
    frames = frames_of(8)
    write_label(frames[0], HessianLabel.rows(np.random.default_rng(0).normal(size=(3, 9)), [1], 3))
    write_frames(tmp_path / "a.h5", frames, hessian_dtype="float32")
    lossy = {"REF_hessian", "REF_hvp", "REF_hessian_rows"}
    for one, other in zip(iter_frames(tmp_path / "a.h5"), frames, strict=True):
        for name, value in [*other.info.items(), *other.arrays.items()]:
            found = one.info.get(name, one.arrays.get(name))
            if name in lossy:
                np.testing.assert_array_equal(found, np.asarray(value, np.float32), err_msg=name)
                assert found.dtype == np.float64
            else:
                np.testing.assert_array_equal(found, value, err_msg=name)


@pytest.mark.parametrize("what", ["records", "hessians", "index"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_flipped_byte_is_noticed_and_the_frame_named(tmp_path, what, compression):
    path, frames = tmp_path / "set.h5", frames_of(600)
    write_frames(path, frames, compression=compression)
    with h5py.File(path) as handle:
        info = handle[what].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    raw[info.byte_offset + info.size // 2] ^= 0x10
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"set\.h5: frame \d+ is damaged"):
        read_frames(path)
    with FrameStore.open(path) as store:
        seen = list(store.scan())
        bad = [number for number, frame in seen if isinstance(frame, DataError)]
        assert [number for number, _ in seen] == list(range(600)) and bad
        with pytest.raises(DataError, match=f"frame {bad[0]} is damaged"):
            store[bad[0]]
        for number, frame in seen:  # nothing wrong is handed out
            if not isinstance(frame, DataError):
                assert_equal(frame, frames[number])
        if what != "index":
            assert len(bad) < 300


def test_without_checksums_the_same_flip_goes_unnoticed(tmp_path):
    """What the checksums are for."""
    path = tmp_path / "set.h5"
    with FrameStore.create(path, checksums=False) as store:
        store.extend(frames_of(600))
    with h5py.File(path) as handle:
        info = handle["hessians"].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    raw[info.byte_offset + info.size // 2] ^= 0x10
    path.write_bytes(raw)
    assert len(read_frames(path)) == 600


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import hint_plugin.data.stores.hdf5_v2 as v2
v2.LARGEST_WRITE = 1 << 16
from hint_plugin.data import FrameStore
from frame_sets import frames_of
def dies():
    for number, atoms in enumerate(frames_of(500, seed=1)):
        if number == 400:
            os.kill(os.getpid(), signal.SIGKILL)
        yield atoms
with FrameStore.open(sys.argv[1], "a") as store:
    store.extend(dies())
"""


def test_a_killed_append_leaves_what_was_counted(tmp_path):
    path, first = tmp_path / "set.h5", frames_of(50)
    write_frames(path, first)
    command = [sys.executable, "-c", KILLED, str(path), str(HELPERS)]
    assert subprocess.run(command, timeout=120).returncode == -9
    wanted = first + frames_of(500, seed=1)
    with FrameStore.open(path) as store:
        kept = len(store)
        assert 50 < kept < 450
        for number, atoms in enumerate(store):
            assert_equal(atoms, wanted[number])
    with FrameStore.open(path, "a") as store:
        store.extend(wanted[kept:])
    for atoms, other in zip(iter_frames(path), wanted, strict=True):
        assert_equal(atoms, other)


@pytest.mark.parametrize("kind", ["fork", "spawn"])
@pytest.mark.parametrize("sharded", [False, True])
def test_one_store_in_several_processes(tmp_path, kind, sharded):
    frames = frames_of(300)
    write_shards(tmp_path / "set.h5", frames, frames_per_shard=100 if sharded else 300)
    name = tmp_path / "set-*.h5"
    store = ShardedStore.open(name) if sharded else FrameStore.open(tmp_path / "set-00000.h5")
    rng = np.random.default_rng(0)
    store[5]  # files are open when the processes begin
    orders = [rng.permutation(300).tolist() for _ in range(4)]
    with store, multiprocessing.get_context(kind).Pool(2) as pool:
        results = [pool.apply_async(numbers_of, (store, order)) for order in orders]
        assert numbers_of(store, orders[0]) == orders[0]
        assert [result.get(60) for result in results] == orders


def test_torch_loader_with_workers(tmp_path):
    from torch.utils.data import DataLoader

    write_frames(tmp_path / "set.h5", frames_of(64))
    with FrameStore.open(tmp_path / "set.h5") as store:
        store[0]
        loader = DataLoader(
            store,
            batch_size=8,
            num_workers=2,
            shuffle=True,
            collate_fn=lambda b: b,
            multiprocessing_context="fork",
        )
        assert sorted(atoms.info["number"] for batch in loader for atoms in batch) == list(range(64))


def test_a_store_that_is_written_is_of_one_process(tmp_path):
    with FrameStore.create(tmp_path / "a.h5") as store, pytest.raises(DataError, match="open for writing"):
        pickle.dumps(store)


STREAM = """
import resource, sys
import numpy as np
from ase import Atoms
from hint_plugin.data import FrameStore, iter_frames, write_frames
count, path = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(0)
def frames():
    atoms = Atoms("CH4", rng.normal(size=(5, 3)))
    atoms.arrays["REF_hvp"] = atoms.arrays["REF_forces"] = rng.normal(size=(5, 3))
    for number in range(count):
        atoms.info = {"REF_energy": rng.random(), "name": f"frame {number}"}
        yield atoms
write_frames(path, frames())
assert sum(1 for _ in iter_frames(path)) == count
with FrameStore.open(path) as store:
    for i in rng.integers(0, count, 500).tolist():
        store[i]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_frames(tmp_path):
    def peak(count: int) -> float:
        command = [sys.executable, "-c", STREAM, str(count), str(tmp_path / f"{count}.h5")]
        return int(subprocess.run(command, capture_output=True, check=True, timeout=300).stdout) / 1024

    small, large = peak(20_000), peak(80_000)
    assert large - small < 4, f"{small} MB for 20,000 frames, {large} MB for 80,000"  # their data: 25 MB more


@pytest.mark.parametrize("form", ["folder", "pattern"])
def test_shards_read_as_one_file(tmp_path, form):
    frames = frames_of(110)
    out = tmp_path / "out" if form == "folder" else tmp_path / "set.h5"
    paths = write_shards(out, iter(frames), frames_per_shard=30)
    assert [p.name for p in paths] == [
        f"{'shard' if form == 'folder' else 'set'}-0000{i}.h5" for i in range(4)
    ]
    name = out if form == "folder" else tmp_path / "set-*.h5"
    with ShardedStore.open(name) as shards:
        assert len(shards) == 110
        for i in (0, 29, 30, 59, 60, 109, -1, -110):
            assert_equal(shards[i], frames[i])
        assert [a.info["number"] for a in shards[25:100:10]] == list(range(25, 100, 10))
        with pytest.raises(DataError, match="no frame 110"):
            shards[110]
    for one, other in zip(iter_frames(name), frames, strict=True):
        assert_equal(one, other)
    assert read_frames(name, -1)[0].info["number"] == 109
    with pytest.raises(DataError, match="would mix"):
        write_shards(out, frames, frames_per_shard=50)
    with pytest.raises(DataError, match="no file matches"):
        ShardedStore.open(tmp_path / "other-*.h5")


def test_interrupted_shards_leave_nothing(tmp_path):
    def breaks():
        yield from frames_of(50)
        raise KeyboardInterrupt

    for out in (tmp_path / "out", tmp_path / "set.h5"):
        with pytest.raises(KeyboardInterrupt):
            write_shards(out, breaks(), frames_per_shard=20)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_merged_stores_are_the_frames_of_all(tmp_path, compression, monkeypatch):
    parts = [frames_of(40, seed=seed) for seed in range(3)]
    for number, part in enumerate(parts):
        write_frames(tmp_path / f"{number}.h5", part, compression=compression)
    with monkeypatch.context() as patch:  # chunks are copied: no frame is unpacked
        patch.setattr("hint_plugin.data.stores.hdf5_v2.unpack", None)
        counts = merge([tmp_path / f"{n}.h5" for n in range(3)], tmp_path / "all.h5")
    assert list(counts.values()) == [40, 40, 40]
    with FrameStore.open(tmp_path / "all.h5", "a") as store:
        store.extend(parts[0])
    wanted = [atoms for part in [*parts, parts[0]] for atoms in part]
    for one, other in zip(iter_frames(tmp_path / "all.h5"), wanted, strict=True):
        assert_equal(one, other)
    with FrameStore.open(tmp_path / "all.h5") as store:
        assert_equal(store[85], wanted[85])
    merge([tmp_path / "all.h5", tmp_path / "1.h5"], tmp_path / "again.h5")  # one with gaps in it
    for one, other in zip(iter_frames(tmp_path / "again.h5"), wanted + parts[1], strict=True):
        assert_equal(one, other)


def test_merge_of_different_files(tmp_path):
    frames = frames_of(10)
    write_frames(tmp_path / "a.xyz", frames[:4])
    write_frames(tmp_path / "b.h5", frames[4:7])
    write_shards(tmp_path / "c", frames[7:], frames_per_shard=2, hessian_dtype="float32")
    merge([tmp_path / "a.xyz", tmp_path / "b.h5", tmp_path / "c"], tmp_path / "all.h5")
    assert [atoms.info["number"] for atoms in iter_frames(tmp_path / "all.h5")] == list(range(10))
    with pytest.raises(DataError, match="input as well"):
        merge([tmp_path / "a.xyz", tmp_path / "all.h5"], tmp_path / "all.h5")
    (tmp_path / "no.h5").write_text("no store")
    before = (tmp_path / "all.h5").read_bytes()
    with pytest.raises(DataError, match="no HDF5"):
        merge([tmp_path / "a.xyz", tmp_path / "no.h5"], tmp_path / "all.h5")
    assert (tmp_path / "all.h5").read_bytes() == before


def test_merge_to_text(tmp_path):
    """The same frames as in a store; the file appears whole or not at all."""
    write_frames(tmp_path / "a.xyz", frames_of(9))
    frames = list(iter_frames(tmp_path / "a.xyz"))  # with the digits of a text
    write_frames(tmp_path / "a.xyz", frames[:4])
    write_frames(tmp_path / "b.h5", frames[4:])
    files, told = [tmp_path / "a.xyz", tmp_path / "b.h5"], []
    counts = merge(files, tmp_path / "all.xyz", lambda name, total: told.append(total))
    assert counts == {str(files[0]): 4, str(files[1]): 5} and told == [4, 9]
    merge(files, tmp_path / "all.h5")
    for one, other in zip(iter_frames(tmp_path / "all.xyz"), iter_frames(tmp_path / "all.h5"), strict=True):
        assert_equal(one, other)
    before = (tmp_path / "all.xyz").read_bytes()
    (tmp_path / "cut.xyz").write_text((tmp_path / "a.xyz").read_text()[:-90])
    for bad, said in ((tmp_path / "cut.xyz", "cut.xyz"), (tmp_path / "all.xyz", "input as well")):
        with pytest.raises(DataError, match=said):
            merge([files[0], bad], tmp_path / "all.xyz")
    (tmp_path / "none.xyz").write_text("")
    with pytest.raises(DataError, match=r"none.xyz: no frames"):
        merge([tmp_path / "none.xyz"], tmp_path / "all.xyz")
    with pytest.raises(OptionsError, match="no option 'compression'"):
        merge(files, tmp_path / "all.xyz", compression="gzip")
    assert (tmp_path / "all.xyz").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_frames_larger_than_a_read(tmp_path, monkeypatch):
    monkeypatch.setattr("hint_plugin.data.stores.hdf5_v2.LARGEST_READ", 3000)
    frames = frames_of(60)
    write_frames(tmp_path / "a.h5", frames)
    assert (tmp_path / "a.h5").stat().st_size > RECORD_CHUNK
    for one, other in zip(iter_frames(tmp_path / "a.h5"), frames, strict=True):
        assert_equal(one, other)
    assert [a.info["number"] for a in read_frames(tmp_path / "a.h5", "::-7")] == list(range(60))[::-7]
