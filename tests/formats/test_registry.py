"""Which format a file has, by name and content; options; indices; what is said of a file that is none."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.build import bulk, molecule

from hint_plugin.data import iter_frames, read_frames, write_frames
from hint_plugin.data.formats import FORMATS, get_format, recognise
from hint_plugin.errors import DataError, OptionsError

DATA = Path(__file__).parents[1] / "data"
FILES = DATA / "formats"
KNOWN = {
    "../molecules.xyz": "extxyz",
    "transition1x.h5": "transition1x",
    "openreact.h5": "openreact",
    "horm.lmdb": "horm",
    "cells.aselmdb": "aselmdb",
    "hessian_qm9": "hessian-qm9",
    "hessian_qm9/water": "hessian-qm9",
    "hessian_qm9/water/data-00000-of-00001.arrow": "hessian-qm9",
    "deepmd": "deepmd",
    "phonopy/KCl.yaml.xz": "phonopy",
    "phonopy/NaCl": "phonopy",
    "phonopy/NaCl/FORCE_SETS": "phonopy",
    "qe/pdh.dyn0": "qe-dyn",
    "qe/pdh.dyn3": "qe-dyn",
    "qe/pw.out": "qe-pw",
    "orca/CH4.hess": "orca-hess",
    "gaussian/water.fchk": "gaussian-fchk",
    "xtb/hessian": "xtb-hessian",
}


@pytest.mark.parametrize("name", KNOWN)
def test_recognised(name: str) -> None:
    assert recognise(FILES / name).name == KNOWN[name]


def test_our_store_is_told_from_other_hdf5(tmp_path: Path) -> None:
    write_frames(tmp_path / "a.h5", [molecule("H2O")])
    assert recognise(tmp_path / "a.h5").name == "hdf5"
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(DataError, match=r"foreign.h5.*transition1x, openreact.*--from"):
        read_frames(tmp_path / "foreign.h5")


def test_every_format_says_what_it_is_and_can_be_loaded() -> None:
    names = [known.name for known in FORMATS]
    assert len(set(names)) == len(names)
    for known in FORMATS:
        module = known.load()
        assert known.what and callable(module.read), known.name
        assert callable(getattr(module, "write", None)) == known.writes, known.name
        assert callable(getattr(module, "recognise", None)) or not known.shared, known.name


def test_a_list_of_formats_imports_none_of_their_packages() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import hint_plugin.data; from hint_plugin.data.formats import describe; describe();"
        "print([m for m in ('lmdb', 'pyarrow', 'phonopy', 'torch_geometric') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["a.abc", "folder", "notes.out", "data.xml", "a.yaml"])
def test_unknown_files_get_the_list(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir() if name == "folder" else path.write_text("hello\n")
    with pytest.raises(DataError, match=r"(?s)--from.*deepmd") as caught:
        read_frames(path)
    assert name in str(caught.value)


def test_named_format(tmp_path: Path) -> None:
    (tmp_path / "set.dat").write_bytes((DATA / "molecules.xyz").read_bytes())
    assert len(read_frames(tmp_path / "set.dat", format="extxyz")) == 15
    with pytest.raises(DataError, match=r"(?s)no format 'cif'.*extxyz"):
        read_frames(tmp_path / "set.dat", format="cif")
    with pytest.raises(DataError, match="no such file"):
        read_frames(tmp_path / "gone.h5", format="horm")


def test_unknown_options_are_named() -> None:
    with pytest.raises(OptionsError, match=r"transition1x.*'splits'.*split, images"):
        next(iter_frames(FILES / "transition1x.h5", splits="train"))
    with pytest.raises(OptionsError, match=r"'fast' to read; it has none"):
        read_frames(FILES / "horm.lmdb", fast=True)


@pytest.mark.parametrize("index", [":", "1:3", "::2", -1, 2, "-2", slice(None, None, -1), "-2:"])
def test_index_without_random_access(index: object) -> None:
    every = [atoms.info["REF_energy"] for atoms in read_frames(FILES / "transition1x.h5")]
    found = [atoms.info["REF_energy"] for atoms in read_frames(FILES / "transition1x.h5", index)]  # type: ignore[arg-type]
    if isinstance(index, slice):
        assert found == every[index]
    elif str(index).lstrip("-").isdigit():
        assert found == [every[int(str(index))]]
    else:
        parts = [int(part) if part else None for part in str(index).split(":")]
        assert found == every[slice(*parts)]
    with pytest.raises(DataError, match="no frame 99"):
        read_frames(FILES / "transition1x.h5", 99)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"horm can be read, not written"):
        write_frames(tmp_path / "a.lmdb", [molecule("H2O")], format="horm")
    with pytest.raises(DataError, match=r"(?s)a.vasp.*extxyz"):
        write_frames(tmp_path / "a.vasp", [bulk("Cu")])
    with pytest.raises(OptionsError, match="set_size"):
        write_frames(tmp_path / "a", [molecule("H2O")], format="deepmd", size=3)
    assert get_format("deepmd").writes and not list(tmp_path.iterdir())
