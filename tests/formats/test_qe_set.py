"""A file of a set of dynamical matrices means the set, everywhere; q2r's force constants; what is hashed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hint_plugin.cli.support.provenance import run_provenance
from hint_plugin.cli.verbs.dataset import dataset
from hint_plugin.data import read_frames, read_label
from hint_plugin.data.formats.qe_set import dyn_set, is_dyn, is_stem
from hint_plugin.errors import DataError

QE = Path(__file__).parents[1] / "data" / "formats" / "qe"
NAMES = ["pdh.dyn0", "pdh.dyn1", "pdh.dyn2", "pdh.dyn3"]
BEGINNING = "Dynamical matrix file\n"


def _touch(folder: Path, *names: str, listing: dict[str, int] | None = None) -> None:
    for name in names:
        (folder / name).write_text(BEGINNING)
    for name, count in (listing or {}).items():
        (folder / name).write_text(f"   4   4   4\n  {count}\n  0.0 0.0 0.0\n")


@pytest.mark.parametrize("name", ["pdh.dyn", *NAMES])
def test_every_name_of_a_set_means_the_set(name: str) -> None:
    found = dyn_set(QE / name)
    assert [file.name for file in found.all_files] == NAMES and found.grid == (2, 2, 2)
    assert is_dyn(QE / name) and is_stem(QE / name) == (name == "pdh.dyn")
    [atoms] = read_frames(QE / name)
    assert len(atoms) == 16 and atoms.info["hint_files"] == " ".join(NAMES)
    hashed = [Path(one["path"]).name for one in run_provenance([QE / name])["data"]]
    assert hashed == NAMES
    assert dyn_set(QE / "pdh.dyn1", only_this_file=True).all_files == (QE / "pdh.dyn1",)


def test_the_verbs_print_what_they_read_and_can_read_one_file(tmp_path: Path) -> None:
    command = ["convert", str(QE / "pdh.dyn1"), "-o"]
    said = CliRunner().invoke(dataset, [*command, str(tmp_path / "all.xyz")])
    assert "pdh.dyn0, pdh.dyn1, pdh.dyn2, pdh.dyn3, 2 x 2 x 2 q points" in said.output
    assert len(read_frames(tmp_path / "all.xyz", 0)[0]) == 16
    said = CliRunner().invoke(dataset, [*command, str(tmp_path / "one.xyz"), "--only-this-file"])
    assert "pdh.dyn1 alone" in said.output and len(read_frames(tmp_path / "one.xyz", 0)[0]) == 2
    record = json.loads((tmp_path / "one.xyz.json").read_text())
    assert [Path(one["path"]).name for one in record["provenance"]["data"]] == ["pdh.dyn1"]
    said = CliRunner().invoke(dataset, ["convert", str(QE / "pdh.dyn"), "-o", str(tmp_path / "stem.xyz")])
    assert said.exit_code == 0


def test_all_readers_give_the_same_matrices() -> None:
    from hint_plugin.data.structures.unit_cell import read_crystal
    from hint_plugin.science.superconductivity.ph_x_files import read_force_constants

    for name in ("pdh.dyn", *NAMES):
        atoms, _, constants = read_force_constants(QE / name, [[0.0, 0.0, 0.0], [0.5, -0.5, 0.5]])
        assert constants.shape == (2, 6, 6) and len(atoms) == 2
        assert len(read_crystal(QE / name)) == 2


def test_eleven_files_are_not_mistaken_for_a_set_of_the_first(tmp_path: Path) -> None:
    eleven = [f"X.dyn{number}" for number in range(1, 12)]
    _touch(tmp_path, *eleven)
    for name in ("X.dyn", "X.dyn1", "X.dyn10", "X.dyn11"):
        assert [file.name for file in dyn_set(tmp_path / name).files] == eleven, name
    _touch(tmp_path, "X.dyn12", listing={"X.dyn0": 12})
    assert len(dyn_set(tmp_path / "X.dyn1").files) == 12
    (tmp_path / "X.dyn7").unlink()
    for name in ("X.dyn", "X.dyn1", "X.dyn12"):
        with pytest.raises(DataError, match="lacks X.dyn7, and X.dyn0 announces 12.*a folder of its own"):
            dyn_set(tmp_path / name)


def test_names_that_end_in_digits(tmp_path: Path) -> None:
    _touch(tmp_path, "run21", "run22", listing={"run20": 2})
    assert dyn_set(tmp_path / "run21").stem == tmp_path / "run2"
    _touch(tmp_path, "fe2")
    assert dyn_set(tmp_path / "fe2").in_words() == "fe2 alone"
    _touch(tmp_path, "matdyn")
    assert dyn_set(tmp_path / "matdyn").files == (tmp_path / "matdyn",)
    with pytest.raises(DataError, match="no such file, nor none.dyn1"):
        dyn_set(tmp_path / "none.dyn")
    with pytest.raises(DataError, match="run20 lists the q points"):
        dyn_set(tmp_path / "run20", only_this_file=True)
    (tmp_path / "run22").write_text("<?xml version='1.0'?>")
    with pytest.raises(DataError, match="run22: dynamical matrices as XML"):
        dyn_set(tmp_path / "run21")


def test_the_grid_is_found_where_no_file_tells_it(tmp_path: Path) -> None:
    for name in NAMES[1:]:
        shutil.copy(QE / name, tmp_path)
    [atoms] = read_frames(tmp_path / "pdh.dyn2")
    [wanted] = read_frames(QE / "pdh.dyn0")
    assert atoms.info["hint_q_grid"] == "2 2 2"
    np.testing.assert_allclose(read_label(atoms).hessian, read_label(wanted).hessian, atol=1e-12)


def test_force_constants_of_q2r_are_the_same_hessian(tmp_path: Path) -> None:
    [ours] = read_frames(QE / "nacl" / "nacl.fc")
    [wanted] = read_frames(QE / "nacl" / "nacl.dyn0")
    np.testing.assert_allclose(ours.positions, wanted.positions, atol=1e-9)
    np.testing.assert_allclose(read_label(ours).hessian, read_label(wanted).hessian, atol=1e-9)
    text = (QE / "nacl" / "nacl.fc").read_text()
    (tmp_path / "polar.fc").write_text(text.replace(" F\n", " T\n"))
    with pytest.raises(DataError, match="short-range part .* no Hessian"):
        read_frames(tmp_path / "polar.fc")
    (tmp_path / "cut.fc").write_text("\n".join(text.splitlines()[:-1]))
    with pytest.raises(DataError, match="179 lines of force constants; wanted 180"):
        read_frames(tmp_path / "cut.fc")
