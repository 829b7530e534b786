"""Public sets in their published layouts: what is read, in which units, and what they carry besides.

The files were written by the packages that the sets were written with (tests/data/make_formats.py), from the
molecules of molecules.xyz; what is read has to be what molecules.xyz holds.
"""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.units import Bohr

from hint_plugin.data import iter_frames, read_frames, read_label
from hint_plugin.errors import DataError, OptionsError

DATA = Path(__file__).parents[1] / "data"
FILES = DATA / "formats"
MOLECULES = read_frames(DATA / "molecules.xyz")[:3]


def assert_labels(found, wanted, *, forces: float = 1e-12) -> None:
    np.testing.assert_array_equal(found.numbers, wanted.numbers)
    np.testing.assert_allclose(found.positions, wanted.positions, atol=1e-12)
    assert found.info["REF_energy"] == pytest.approx(wanted.info["REF_energy"], abs=1e-9)
    np.testing.assert_allclose(found.arrays["REF_forces"], wanted.arrays["REF_forces"], atol=forces)
    label = read_label(found)
    assert label is not None and label.kind == "full"
    np.testing.assert_allclose(label.hessian, wanted.info["REF_hessian"], atol=1e-10)


def test_transition1x() -> None:
    frames = read_frames(FILES / "transition1x.h5")
    assert len(frames) == 3 * (1 + 1 + 3)
    assert [atoms.info["image"] for atoms in frames[:5]] == ["reactant", "product", "path", "path", "path"]
    assert {(a.info["split"], a.info["formula"], a.info["reaction"]) for a in frames} == {
        ("train", "H2O", "rxn0001"),
        ("train", "H3N", "rxn0002"),
        ("val", "CH4", "rxn0003"),
    }
    water = MOLECULES[0]
    for atoms, shift in zip(frames[:5], (0.1, 0.3, 0.0, 1.0, 2.0), strict=True):
        assert atoms.info["REF_energy"] == pytest.approx(water.info["REF_energy"] + shift)
        np.testing.assert_allclose(atoms.positions, water.positions + 0.01 * shift)
        np.testing.assert_allclose(atoms.arrays["REF_forces"], water.arrays["REF_forces"] * (1 + shift))
    assert read_label(frames[0]) is None
    assert frames[0].info["hint_method"] == "wB97X/6-31G(d)"


def test_parts_of_transition1x() -> None:
    path = FILES / "transition1x.h5"
    assert {atoms.info["formula"] for atoms in iter_frames(path, split="val")} == {"CH4"}
    assert len(read_frames(path, split="data")) == 15
    ends = read_frames(path, split="train", images="ends")
    assert [atoms.info["image"] for atoms in ends] == 2 * ["reactant", "transition_state", "product"]
    with pytest.raises(OptionsError, match=r"no split 'test'; it has data, train, val"):
        read_frames(path, split="test")
    with pytest.raises(OptionsError, match=r"images is 'some'.*all, ends"):
        read_frames(path, images="some")


def test_openreact() -> None:
    frames = read_frames(FILES / "openreact.h5")
    assert len(frames) == 6
    for atoms, wanted in zip(frames[::2], MOLECULES, strict=True):
        assert_labels(atoms, wanted)
        assert (atoms.info["charge"], atoms.info["spin"]) == (0, 1)
    assert frames[3].info["molecule"] == "mol0001"
    np.testing.assert_allclose(frames[3].info["REF_hessian"], 2 * MOLECULES[1].info["REF_hessian"])


@pytest.mark.parametrize("power", [1, 2])
def test_openreact_in_other_units_is_noticed(tmp_path: Path, power: int) -> None:
    """Forces per bohr and Hessians per bohr^2, or the Hessians alone: a turned molecule tells."""
    path = tmp_path / "bohr.h5"
    shutil.copy(FILES / "openreact.h5", path)
    with h5py.File(path, "r+") as file:
        for group in file.values():
            group["hessian"][...] *= Bohr**2
            if power == 1:
                group["forces"][...] *= Bohr
    with pytest.raises(DataError, match=r"bohr.h5, frame 0 \(H2O\).*factor 0.(53|28)"):
        read_frames(path)


def test_horm() -> None:
    pytest.importorskip("lmdb")
    frames = read_frames(FILES / "horm.lmdb")
    assert len(frames) == 3
    for number, (atoms, wanted) in enumerate(zip(frames, MOLECULES, strict=True)):
        assert_labels(atoms, wanted, forces=1e-6)  # single precision in the file
        assert atoms.info["reaction"] == 7 + number
        assert atoms.info["atomization_energy"] == pytest.approx(wanted.info["REF_energy"] / 10)


def test_hessian_qm9() -> None:
    pytest.importorskip("pyarrow")
    frames = read_frames(FILES / "hessian_qm9")
    assert [atoms.info["environment"] for atoms in frames] == ["vacuum"] * 3 + ["water"] * 3
    for number, (atoms, wanted) in enumerate(zip(frames, MOLECULES, strict=False)):
        assert_labels(atoms, wanted)
        assert atoms.info["label"] == f"dsgdb9nsd_{number:06d}"
    for path, options in (("hessian_qm9", {"environment": "water"}), ("hessian_qm9/water", {})):
        found = read_frames(FILES / path, **options)
        assert [a.info["environment"] for a in found] == ["water"] * 3
        assert found[0].info["REF_energy"] == pytest.approx(MOLECULES[0].info["REF_energy"] - 1)
    with pytest.raises(OptionsError, match=r"no environment 'thf'; it has vacuum, water"):
        read_frames(FILES / "hessian_qm9", environment="thf")


def test_aselmdb_with_a_deleted_row() -> None:
    pytest.importorskip("lmdb")
    frames = read_frames(FILES / "cells.aselmdb")
    cells = read_frames(DATA / "cells.xyz")
    assert [atoms.info["source"] for atoms in frames] == ["cell0", "cell2"]
    for atoms, wanted in zip(frames, (cells[0], cells[2]), strict=True):
        np.testing.assert_allclose(atoms.positions, wanted.positions, atol=1e-12)
        np.testing.assert_allclose(atoms.cell.array, wanted.cell.array, atol=1e-12)
        assert atoms.pbc.all() and atoms.calc is None
        assert atoms.info["REF_energy"] == pytest.approx(wanted.info["REF_energy"])
        np.testing.assert_allclose(atoms.arrays["REF_forces"], wanted.arrays["REF_forces"], atol=1e-12)
        np.testing.assert_allclose(atoms.info["REF_stress"], wanted.info["REF_stress"], atol=1e-12)
        assert (atoms.info["charge"], atoms.info["spin"]) == (0, 1)


@pytest.mark.parametrize("name", ["horm.lmdb", "cells.aselmdb"])
def test_a_truncated_lmdb_does_not_kill_the_process(tmp_path: Path, name: str) -> None:
    pytest.importorskip("lmdb")
    whole = (FILES / name).read_bytes()
    for part in (0.3, 0.7):
        (tmp_path / name).write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(DataError, match=rf"{name}.*truncated"):
            read_frames(tmp_path / name)


def test_lmdb_of_something_else(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    shutil.copy(FILES / "horm.lmdb", tmp_path / "a.aselmdb")
    with pytest.raises(DataError, match=r"a.aselmdb.*no ASE database"):
        read_frames(tmp_path / "a.aselmdb")
    shutil.copy(FILES / "cells.aselmdb", tmp_path / "a.lmdb")
    with pytest.raises(DataError, match=r"a.lmdb"):
        read_frames(tmp_path / "a.lmdb")


def test_a_set_of_tables_of_which_some_are_missing(tmp_path: Path) -> None:
    """By state.json, and by the names; and a table that ends behind one of its batches."""
    folder = tmp_path / "vacuum"
    shutil.copytree(FILES / "hessian_qm9" / "vacuum", folder)
    table, state = folder / "data-00000-of-00001.arrow", folder / "state.json"
    text = state.read_text()
    state.write_text(text.replace("[\n", '[{"filename": "data-00001-of-00002.arrow"},\n', 1))
    with pytest.raises(DataError, match="vacuum: 1 of 2 tables are missing, the first is data-00001"):
        read_frames(folder)
    state.unlink()
    whole = table.read_bytes()
    table.rename(folder / "data-00001-of-00003.arrow")
    with pytest.raises(DataError, match="2 of 3 tables are missing, the first is data-00000-of-00003"):
        read_frames(folder)
    assert read_frames(folder / "data-00001-of-00003.arrow")
    table.write_bytes(whole[:-8])
    with pytest.raises(DataError, match="lacks the mark at its end.*truncated"):
        read_frames(table)


def test_a_length_of_horm_that_is_too_small(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    shutil.copy(FILES / "horm.lmdb", tmp_path)
    environment = lmdb.open(str(tmp_path / "horm.lmdb"), subdir=False, map_size=2**24)
    with environment, environment.begin(write=True) as transaction:
        transaction.put(b"length", b"1")
    with pytest.raises(DataError, match="there is a sample 1, and the key 'length' says 1 samples"):
        read_frames(tmp_path / "horm.lmdb")
