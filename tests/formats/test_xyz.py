"""Where frames of an xyz file begin and end: blank lines, glued and truncated files, packed ones."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from hint_plugin.data import iter_frames, read_frames, write_frames
from hint_plugin.data.formats import xyz
from hint_plugin.data.stores.part_files import write_parts
from hint_plugin.errors import DataError

WATER = "3\n{}\nO 0 0 .1\nH 0 .7 -.4\nH 0 -.7 -.4\n"
FIRST, SECOND = WATER.format("first"), WATER.format("second")


def _file(folder: Path, text: str) -> Path:
    path = folder / "a.xyz"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [f"{FIRST}\n{SECOND}", f"{FIRST}\n  \n\n{SECOND}\n\n", f"\n{FIRST}{SECOND}", f"{FIRST}\r\n{SECOND}"],
)
def test_blank_lines_between_frames_end_nothing(tmp_path: Path, text: str) -> None:
    path = _file(tmp_path, text)
    assert [list(atoms.info) for atoms in iter_frames(path)] == [["first"], ["second"]]
    assert xyz.count(path) == 2
    assert [atoms.info for atoms in read_frames(path, -1)] == [{"second": True}]


@pytest.mark.parametrize("name", ["a.xyz", "a.xyz.gz", "a.txt"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, name: str) -> None:
    """As editors on Windows put it before a file, and `cat` of such files within one."""
    text = f"\ufeff{FIRST}\ufeff{SECOND}\n\ufeff{FIRST}".encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert [list(a.info) for a in iter_frames(path, "extxyz")] == [["first"], ["second"], ["first"]]
    assert [list(a.info) for a in read_frames(path, "-2:", "extxyz")] == [["second"], ["first"]]
    assert xyz.count(path) == 3


def test_files_of_which_ase_itself_would_leave_out_frames_are_named(tmp_path: Path) -> None:
    path = _file(tmp_path, f"{FIRST}\n{SECOND}")
    assert len(ase.io.read(path, ":")) == 1  # the fault that `check_as_ase_reads` is for
    with pytest.raises(DataError, match=r"a.xyz, line 6: a blank line .* frame 1,.*dataset convert"):
        xyz.check_as_ase_reads(path)
    xyz.check_as_ase_reads(_file(tmp_path, f"{FIRST}{SECOND}\n\n"))
    path = _file(tmp_path, f"\ufeff{FIRST}")
    with pytest.raises((ValueError, OSError)):
        ase.io.read(path)
    with pytest.raises(
        DataError, match=r"a.xyz begins with a byte order mark, .*hint dataset convert .*a-whole.xyz"
    ):
        xyz.check_as_ase_reads(path)


@pytest.mark.parametrize(
    "text, said",
    [
        (FIRST.removesuffix("\n") + "3\nsecond\nO 0 0 .1\n", r"frame 1 .*line 6 is 'second'"),
        (f"{FIRST}H 0 0 0\n{SECOND}", r"frame 1 .*line 6 is 'H 0 0 0'"),
        (f"{FIRST}\nthe end", r"frame 1 .*line 7 is 'the end'"),
        (f"{FIRST}-3\nsecond\n", r"frame 1 .*line 6 is '-3'"),
        (f"{FIRST}3\nsecond\nO 0 0 .1\n", r"frame 1: the file ends after 1 of 3 atoms"),
        (f"{FIRST}3\n", r"frame 1: the file ends after 0 of 3 atoms"),
        (FIRST.replace("3\n", "4\n", 1) + SECOND, r"frame 0, from line 1 on"),
    ],
)
def test_what_is_no_frame_is_an_error_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(DataError, match=said):
        read_frames(path)


@pytest.mark.parametrize("index", [0, 3, -1, -5, "::2", "1:", "-2:", "::-1", "3:1:-1", ":9", -6, 5])
def test_indices_are_those_of_python(tmp_path: Path, index: int | str) -> None:
    path = tmp_path / "a.xyz"
    write_frames(path, [Atoms("H", [(0, 0, float(k))], info={"k": k}) for k in range(5)])
    if isinstance(index, int) and not -5 <= index < 5:
        with pytest.raises(DataError, match=f"no frame {index}"):
            read_frames(path, index)
        return
    parts = [int(p) if p else None for p in str(index).split(":")]
    wanted = list(range(5))[slice(*parts)] if isinstance(index, str) else [range(5)[index]]
    assert [atoms.info["k"] for atoms in read_frames(path, index)] == wanted


def test_frames_are_those_of_ase(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    frames = [molecule("CH4"), bulk("Cu"), molecule("H2O")]
    frames[0].info["REF_hessian"] = np.random.default_rng(0).normal(size=(15, 15))
    frames[1].arrays["REF_forces"] = np.ones((1, 3))
    write_frames(path, frames)
    for ours, theirs in zip(iter_frames(path), ase.io.read(path, ":"), strict=True):
        assert ours == theirs and ours.info.keys() == theirs.info.keys()
    text = path.read_text() + "1\ncell\nCu 0 0 0\nVEC1 0 1.8 1.8\nVEC2 1.8 0 1.8\nVEC3 1.8 1.8 0\n"
    path.write_text(text + FIRST)
    assert read_frames(path, 3)[0].cell.volume == pytest.approx(2 * 1.8**3)
    assert xyz.count(path) == 5


@pytest.mark.parametrize("suffix, pack", [(".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)])
def test_packed_files(tmp_path: Path, suffix: str, pack: Callable) -> None:
    path = tmp_path / f"a.xyz{suffix}"
    with pack(path, "wt") as handle:
        handle.write(f"{FIRST}\n{SECOND}")
    assert len(read_frames(path)) == 2
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"frame \d: cannot be read on"):
        read_frames(path)
    with pytest.raises(DataError, match="known format"):
        write_frames(path, [molecule("H2O")])


ODD = {
    "empty": "", "space": " ", "line": "a\nb", "tab": "a\tb", "zeros": "007", "float": "1e5", "flag": "T",
    "words": "T F", "numbers": "1 2 3", "comma": "1,2", "nan": "nan", "quotes": 'say "hi"', "one": "it's",
    "brace": "{1 2}", "bracket": "[1]", "back": "C:\\new", "equals": "a=b", "json": "_JSON [1]", "none": None,
    "int": np.int64(7), "small": np.float64(1 / 3), "bool": np.bool_(True), 
    "array0": np.zeros(0), "array": np.arange(3), "square": np.eye(2), "list": [np.int64(1), "a"],
    "dict": {"a": np.float64(0.5)}, "key with space": 3, "umlaut": "\u00e4 \u03b1", "Word-1": "B3LYP/6-31G*",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_values_come_back_and_eat_no_key(tmp_path: Path, name: str) -> None:
    atoms = Atoms("H", info={name: ODD[name], "REF_energy": -1.5})
    write_frames(tmp_path / "a.xyz", [atoms])
    list(write_parts(tmp_path, ["b"], ".xyz", [("b", atoms)]))
    assert (tmp_path / "a.xyz").read_bytes() == (tmp_path / "b.xyz").read_bytes()
    for (found,) in (read_frames(tmp_path / "a.xyz"), ase.io.read(tmp_path / "a.xyz", ":")):
        assert list(found.info) == [name, "REF_energy"] and found.info["REF_energy"] == -1.5
        got, wanted = found.info[name], ODD[name]
        assert np.shape(got) == np.shape(wanted) and isinstance(got, str) == isinstance(wanted, str)
        np.testing.assert_equal(got, wanted)


@pytest.mark.parametrize(
    "info, said",
    [
        ({"Properties": "x"}, "key 'Properties'"),
        ({"a=b": 1}, "key 'a=b'"),
        ({3: 1}, "key 3"),
        ({"virial": np.ones(6)}, "info.'virial'. has the shape .6,."),
    ],
)
def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, info: dict, said: str) -> None:
    with pytest.raises(DataError, match=f"a.xyz, frame 0 .H.: cannot be written.*{said}"):
        write_frames(tmp_path / "a.xyz", [Atoms("H", info=info)])
    atoms = Atoms("H2")
    atoms.arrays["name"] = np.array(["a", ""])
    with pytest.raises(DataError, match="'name' has empty text"):
        write_frames(tmp_path / "a.xyz", [atoms])


@pytest.mark.parametrize(
    "comment, said",
    [
        ("REF_energy=-1 REF_energy=-2", "line 2: the key REF_energy is there twice"),
        ("Properties=species:S:1:pos:R:3:f:R:1:f:R:1 a=1", "the column f is there twice"),
        ("name= REF_energy=-1", "the key name has no value, and readers take REF_energy=... for it"),
        ('name="" REF_energy=-1', "the key name has no value"),
    ],
)
def test_comments_of_which_something_would_be_lost_are_refused(
    tmp_path: Path, comment: str, said: str
) -> None:
    path = _file(tmp_path, f"1\n{comment}\nH 0 0 0 1 1\n")
    for read in (read_frames, xyz.check_as_ase_reads):
        with pytest.raises(DataError, match=said):
            read(path)
    good = _file(tmp_path, '1\nE = -5 t="a=1 a=2" note="" \nH 0 0 0\n')
    assert read_frames(good)[0].info["E"] == -5


@pytest.mark.parametrize("name", ["a.XYZ", "a.xyz.gz", "a.extxyz", "unnamed"])
def test_every_name_under_which_ase_reads_xyz_is_looked_at(tmp_path: Path, name: str) -> None:
    with opened_for_text(tmp_path / name) as handle:
        handle.write(f"{FIRST}\n{SECOND}".replace("first", "Properties=species:S:1:pos:R:3 first=1"))
    with pytest.raises(DataError, match="line 6: a blank line"):
        xyz.check_as_ase_reads(tmp_path / name)
    (tmp_path / "a.cif").write_text("\n\n")
    xyz.check_as_ase_reads(tmp_path / "a.cif")


def opened_for_text(path: Path) -> IO[str]:
    return gzip.open(path, "wt") if path.suffix == ".gz" else open(path, "w")
