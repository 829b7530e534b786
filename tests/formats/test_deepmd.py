"""deepmd-kit's folders: read as dpdata wrote them, written so that they come back."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hint_plugin.data import HessianLabel, read_frames, read_label, write_frames, write_label
from hint_plugin.errors import DataError, LabelWarning

DATA = Path(__file__).parents[1] / "data"
MOLECULES = read_frames(DATA / "molecules.xyz")
CELLS = read_frames(DATA / "cells.xyz")


def same(found, wanted, *, hessian: bool = True) -> None:
    np.testing.assert_array_equal(found.numbers, wanted.numbers)
    np.testing.assert_allclose(found.positions, wanted.positions, atol=1e-12)
    np.testing.assert_array_equal(found.pbc, wanted.pbc)
    np.testing.assert_allclose(found.cell.array, wanted.cell.array, atol=1e-12)
    assert found.info["REF_energy"] == pytest.approx(wanted.info["REF_energy"], abs=1e-12)
    np.testing.assert_allclose(found.arrays["REF_forces"], wanted.arrays["REF_forces"], atol=1e-12)
    if "REF_stress" in wanted.info:
        np.testing.assert_allclose(found.info["REF_stress"], wanted.info["REF_stress"], atol=1e-12)
    if hessian:
        np.testing.assert_allclose(found.info["REF_hessian"], wanted.info["REF_hessian"], atol=1e-12)


def test_what_dpdata_wrote() -> None:
    """Its virial is minus volume times stress."""
    frames = read_frames(DATA / "formats" / "deepmd")
    wanted = [atoms for atoms in CELLS if "Au" not in atoms.symbols][:2]
    assert len(frames) == 2
    for atoms, other in zip(frames, wanted, strict=True):
        same(atoms, other, hessian=False)


def test_one_system_goes_to_the_folder_itself(tmp_path: Path) -> None:
    waters = [atoms for atoms in MOLECULES if len(atoms) == 3 and "O" in atoms.symbols]
    assert write_frames(tmp_path / "water", iter(waters), format="deepmd", set_size=2) == 3
    assert sorted(p.name for p in (tmp_path / "water").iterdir()) == [
        "nopbc", "set.000", "set.001", "type.raw", "type_map.raw",
    ]  # fmt: skip
    assert np.load(tmp_path / "water" / "set.000" / "hessian.npy").shape == (2, 81)
    for atoms, wanted in zip(read_frames(tmp_path / "water"), waters, strict=True):
        same(atoms, wanted)
    assert [p.name for p in tmp_path.iterdir()] == ["water"]


def test_mixed_frames_become_systems(tmp_path: Path) -> None:
    """By composition, order of atoms, periodicity and labels; nothing is lost."""
    bare = MOLECULES[0].copy()
    write_label(bare, None)
    turned = MOLECULES[0][[2, 1, 0]]
    write_label(turned, None)
    frames = [*MOLECULES, *CELLS, bare, turned]
    assert write_frames(tmp_path / "all", frames, format="deepmd") == len(frames)
    found = read_frames(tmp_path / "all")
    assert len(found) == len(frames)
    by_energy = {round(a.info["REF_energy"], 9): a for a in frames[: len(MOLECULES) + len(CELLS)]}
    seen = 0
    for atoms in found:
        if "REF_hessian" in atoms.info:
            same(atoms, by_energy[round(atoms.info["REF_energy"], 9)])
            seen += 1
    assert seen == len(by_energy)
    systems = {atoms.info["system"] for atoms in found}
    assert {"H2O.0", "H2O.1", "H2O.2", "Cu4"} <= systems


@pytest.mark.filterwarnings("ignore::hint_plugin.errors.LabelWarning")  # no energies
def test_mixed_types_of_a_set(tmp_path: Path) -> None:
    """deepmd's "mixed" sets: types by frame, -1 for an atom that is not there."""
    folder = tmp_path / "set.000"
    folder.mkdir()
    (tmp_path / "nopbc").touch()
    (tmp_path / "type.raw").write_text("0\n0\n0\n")
    (tmp_path / "type_map.raw").write_text("H\nO\n")
    np.save(folder / "coord.npy", np.arange(18.0).reshape(2, 9))
    np.save(folder / "real_atom_types.npy", np.array([[1, 0, 0], [0, -1, 0]]))
    np.save(folder / "hessian.npy", np.stack([np.eye(9).ravel(), np.diag(np.arange(9.0)).ravel()]))
    first, second = read_frames(tmp_path)
    assert str(first.symbols) == "OH2" and str(second.symbols) == "H2"
    np.testing.assert_array_equal(second.positions, [[9, 10, 11], [15, 16, 17]])
    np.testing.assert_array_equal(np.diag(second.info["REF_hessian"]), [0, 1, 2, 6, 7, 8])


def test_what_the_format_cannot_hold(tmp_path: Path) -> None:
    slab = CELLS[0].copy()
    slab.pbc = (True, True, False)
    with pytest.raises(DataError, match=r"frame 1 .*periodic in some directions"):
        write_frames(tmp_path / "a", [CELLS[0], slab], format="deepmd")
    pairs = MOLECULES[0].copy()
    write_label(pairs, HessianLabel.projected(np.ones((1, 3, 3)), np.zeros((1, 3, 3))))
    with pytest.raises(DataError, match=r"frame 0 .*kind projected"):
        write_frames(tmp_path / "a", [pairs], format="deepmd")
    with pytest.raises(DataError, match="no frames"):
        write_frames(tmp_path / "a", [], format="deepmd")
    assert not list(tmp_path.iterdir())  # nothing half-written
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="exists"):
        write_frames(tmp_path / "a", MOLECULES, format="deepmd")


def test_damaged_systems(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def fresh() -> None:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(DATA / "formats" / "deepmd", path)

    fresh()
    np.save(path / "set.000" / "energy.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"set.000.*energy.npy has 3 frames and coord.npy 2"):
        read_frames(path)
    fresh()
    np.save(path / "set.000" / "force.npy", np.zeros((2, 9)))
    with pytest.raises(DataError, match=r"set.000, frame 0"):
        read_frames(path)
    fresh()
    (path / "set.000" / "box.npy").unlink()
    with pytest.raises(DataError, match=r"no box.npy; for molecules make a file nopbc"):
        read_frames(path)
    fresh()
    raw = (path / "set.000" / "coord.npy").read_bytes()
    (path / "set.000" / "coord.npy").write_bytes(raw[:-20])
    with pytest.raises(DataError, match=r"set.000"):
        read_frames(path)
    fresh()
    np.save(path / "set.000" / "coord.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"set.000"):
        read_frames(path)
    fresh()
    shutil.rmtree(path / "set.000")
    with pytest.raises(DataError, match=r"without set"):
        read_frames(path)


def test_labels_are_read_back_as_labels(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", MOLECULES[:1], format="deepmd")
    label = read_label(read_frames(tmp_path / "a")[0])
    assert label is not None and label.kind == "full"


def test_what_is_left_out_or_lacking_is_said(tmp_path: Path) -> None:
    shutil.copytree(DATA / "formats" / "deepmd", tmp_path / "a")
    first = tmp_path / "a" / "set.000"
    shutil.copytree(first, first.with_name("set.001"))
    (first / "force.npy").rename(first / "forces.npy")
    (first.with_name("set.001") / "energy.npy").unlink()
    with pytest.warns(LabelWarning) as said:
        read_frames(tmp_path / "a")
    text = " ".join(str(one.message) for one in said)
    assert "set.000: forces.npy is left out; labels are in energy.npy, force.npy" in text
    assert "set.000: no force.npy" in text and "set.001: no energy.npy" in text
