"""Files of frames: what goes in comes out, and a damaged file says so."""

from __future__ import annotations

import ase.io
import h5py
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from physical_labels import pair_label

from hint_plugin.data import (
    FrameStore,
    HessianLabel,
    iter_frames,
    read_frames,
    read_label,
    write_frames,
    write_label,
)
from hint_plugin.data.sets.frames import count_frames
from hint_plugin.errors import DataError, UnknownVersionError

SUFFIXES = ["xyz", "extxyz", "h5", "hdf5"]


def make_frames() -> list:
    """One of everything: each kind of label, no label, cells, constraints, results, odd arrays and info."""
    rng = np.random.default_rng(0)
    frames = []
    for number, atoms in enumerate([molecule("H2O"), molecule("CH4"), bulk("C", cubic=True), molecule("N2")]):
        n = len(atoms)
        matrix, forces = pair_label(atoms, rng)
        label = HessianLabel.full(
            matrix, noise=1e-5, weight=1 + number, provenance={"engine": "x y", "step": 1e-3}
        )
        if number == 1:
            label = label.to_projected(2, rng)
        if number == 2:
            label = HessianLabel.rows(label.hessian[:6], [0, 1], n, provenance={"engine": "rows"})
        if number != 3:
            write_label(atoms, label)
        atoms.info |= {
            "REF_energy": -1.25 * n,
            "name": "a name",
            "count": 3,
            "flag": True,
            "vector": np.arange(4.0),
        }
        atoms.arrays["REF_forces"] = np.round(forces, 8)
        frames.append(atoms)
    frames[2].info["REF_stress"] = np.arange(6.0) / 7
    frames[2].set_constraint(FixAtoms([0, 3]))
    frames[3].pbc = [True, True, False]
    frames[3].cell = [[5, 0, 0], [1, 5, 0], [0, 0.5, 6]]
    frames[3].arrays["selected"] = np.array([True, False])
    frames[3].arrays["kind"] = np.array(["aa", "b"])
    frames[3].info["nested"] = {"a": [1, 2.5, "x"]}
    frames[3].calc = SinglePointCalculator(frames[3], energy=-2.0, forces=np.zeros((2, 3)), stress=np.ones(6))
    return frames


def assert_same(found, wanted) -> None:
    np.testing.assert_array_equal(found.pbc, wanted.pbc)
    np.testing.assert_array_equal(found.cell.array, wanted.cell.array)
    assert found.info.keys() == wanted.info.keys()
    for name, value in wanted.info.items():
        np.testing.assert_array_equal(found.info[name], value, err_msg=name)
        if isinstance(value, bool | str):
            assert isinstance(found.info[name], (type(value), np.bool_))
    assert found.arrays.keys() == wanted.arrays.keys()
    for name, value in wanted.arrays.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found.arrays[name], value, atol=1e-8, rtol=0, err_msg=name)
        else:
            np.testing.assert_array_equal(found.arrays[name], value, err_msg=name)
    assert [c.todict() for c in found.constraints] == [c.todict() for c in wanted.constraints]
    assert (found.calc is None) == (wanted.calc is None)
    if wanted.calc is not None:
        assert found.calc.results.keys() == wanted.calc.results.keys()
        for name, value in wanted.calc.results.items():
            np.testing.assert_array_equal(found.calc.results[name], value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path, suffix):
    frames, path = make_frames(), tmp_path / f"all.{suffix}"
    assert write_frames(path, iter(frames)) == len(frames)
    found = read_frames(path)
    assert len(found) == len(frames)
    for one, other in zip(found, frames, strict=True):
        assert_same(one, other)
        label, wanted = read_label(one), read_label(other)
        assert (label is None) == (wanted is None)
        if wanted is not None:
            assert (label.kind, label.noise, label.weight) == (wanted.kind, wanted.noise, wanted.weight)
            assert label.provenance == wanted.provenance
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left


def test_plain_ase_reads_the_hessian(tmp_path):
    write_frames(tmp_path / "a.xyz", make_frames())
    first = ase.io.read(tmp_path / "a.xyz", index=0)
    assert first.info["REF_hessian"].shape == (9, 9)
    np.testing.assert_array_equal(first.info["REF_hessian"], make_frames()[0].info["REF_hessian"])


def test_hdf5_keeps_every_bit(tmp_path):
    frames = make_frames()
    frames[0].positions += 1e-13
    frames[0].info["REF_hessian"][0, 1] += 1e-3  # slightly asymmetric: the triangle alone would not do
    write_frames(tmp_path / "a.h5", frames)
    for one, other in zip(iter_frames(tmp_path / "a.h5"), frames, strict=True):
        for name, value in other.arrays.items():
            np.testing.assert_array_equal(one.arrays[name], value)
        for name in ("REF_hessian", "REF_hessian_rows"):
            if name in other.info:
                np.testing.assert_array_equal(one.info[name], other.info[name])


@pytest.mark.parametrize("suffix", ["xyz", "h5"])
@pytest.mark.parametrize("index", [":", "1:3", "::2", -1, 2, "-2", slice(None, None, -1)])
def test_index(tmp_path, suffix, index):
    frames = make_frames()
    write_frames(tmp_path / f"a.{suffix}", frames)
    wanted = frames[int(index)] if str(index).lstrip("-").isdigit() else None
    if wanted is None:
        parts = (
            index if isinstance(index, slice) else slice(*[int(p) if p else None for p in index.split(":")])
        )
        wanted = frames[parts]
    else:
        wanted = [wanted]
    found = read_frames(tmp_path / f"a.{suffix}", index)
    assert [a.get_chemical_formula() for a in found] == [a.get_chemical_formula() for a in wanted]


def test_frames_are_counted(tmp_path):
    """Without reading them where the format allows, and of all that a name stands for."""
    frames = [molecule("H2O"), molecule("CH4"), molecule("N2")]
    for name in ("a.xyz", "a.h5", "set-1.h5", "set-2.h5"):
        write_frames(tmp_path / name, frames)
    ase.io.write(tmp_path / "a.traj", frames)
    counts = {name: count_frames(tmp_path / name) for name in ("a.xyz", "a.h5", "a.traj", "set-*.h5")}
    assert counts == {"a.xyz": 3, "a.h5": 3, "a.traj": 3, "set-*.h5": 6}
    with pytest.raises(DataError, match="no such file"):
        count_frames(tmp_path / "b.xyz")


def test_float32_and_compression(tmp_path):
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(40):
        atoms = molecule("C6H6")
        matrix = rng.normal(size=(36, 36))
        write_label(atoms, HessianLabel.full(matrix + matrix.T))
        frames.append(atoms)
    write_frames(tmp_path / "double.h5", frames)
    write_frames(tmp_path / "single.h5", frames, hessian_dtype="float32", compression="gzip")
    assert (tmp_path / "single.h5").stat().st_size < 0.7 * (tmp_path / "double.h5").stat().st_size
    assert (tmp_path / "double.h5").stat().st_size < 40 * 36 * 37 / 2 * 8 + 300_000  # the lower triangle
    for one, other in zip(iter_frames(tmp_path / "single.h5"), frames, strict=True):
        np.testing.assert_allclose(one.info["REF_hessian"], other.info["REF_hessian"], rtol=1.2e-7)
        assert one.info["REF_hessian"].dtype == np.float64


def test_append_and_random_access(tmp_path):
    frames = make_frames()
    with FrameStore.create(tmp_path / "a.h5") as store:
        store.extend(frames[:2])
        store.append(frames[2])
    with FrameStore.open(tmp_path / "a.h5", "a") as store:
        store.extend(frames[3] for _ in range(300))  # more than a block
        assert len(store) == 303
    with FrameStore.open(tmp_path / "a.h5") as store:
        for number in (302, 0, 2, 1, -1, 150):
            assert_same(store[number], frames[min(number, 3)])
        assert len(store[::100]) == 4
        assert sum(1 for _ in store) == 303
        with pytest.raises(DataError, match="no frame 303"):
            store[303]


def test_leftovers_of_a_killed_append_are_cut_off(tmp_path):
    frames, path = make_frames(), tmp_path / "a.h5"
    write_frames(path, frames)
    with h5py.File(path, "r+") as handle:
        handle.attrs["frames"] = 2  # as if the last two had been written, and not yet counted
    with FrameStore.open(path, "a") as store:
        assert len(store) == 2
        store.extend([frames[3], frames[1]])
    for one, other in zip(iter_frames(path), [frames[0], frames[1], frames[3], frames[1]], strict=True):
        assert_same(one, other)


def test_damaged_and_foreign_files(tmp_path):
    frames = make_frames()
    for name in ("a.h5", "a.xyz"):
        path = tmp_path / name
        write_frames(path, frames)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * 0.6)])
        with pytest.raises(DataError, match=name):
            read_frames(path)
    with h5py.File(tmp_path / "foreign.h5", "w") as handle:
        handle["x"] = 1
    with pytest.raises(DataError, match="no store of frames"):
        read_frames(tmp_path / "foreign.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(DataError, match="no HDF5"):
        read_frames(tmp_path / "text.h5")
    (tmp_path / "text.xyz").write_text("hello")
    with pytest.raises(DataError, match="frame 0"):
        read_frames(tmp_path / "text.xyz")
    with pytest.raises(DataError, match="no such file"):
        read_frames(tmp_path / "missing.xyz")
    with pytest.raises(DataError, match="no known format of frames; wanted .arrow"):
        (tmp_path / "a.abc").write_text("nothing")
        read_frames(tmp_path / "a.abc")
    with pytest.raises(DataError, match="does not exist"):
        write_frames(tmp_path / "no" / "folder.xyz", frames)


def test_newer_version(tmp_path):
    write_frames(tmp_path / "a.h5", make_frames())
    with h5py.File(tmp_path / "a.h5", "r+") as handle:
        handle.attrs["version"] = 99
    with pytest.raises(UnknownVersionError, match="Update HINT"):
        read_frames(tmp_path / "a.h5")


@pytest.mark.parametrize("suffix", ["xyz", "h5"])
def test_a_failed_write_leaves_the_old_file(tmp_path, suffix):
    path, frames = tmp_path / f"a.{suffix}", make_frames()
    write_frames(path, frames)
    before = path.read_bytes()

    def breaks():
        yield frames[0]
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_frames(path, breaks())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_stored_is_named(tmp_path):
    atoms = molecule("H2O")
    atoms.info["thing"] = object()
    with pytest.raises(DataError, match=r"frame 0.*object"):
        write_frames(tmp_path / "a.h5", [atoms])
