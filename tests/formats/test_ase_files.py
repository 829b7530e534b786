"""Structures in any format that ASE reads, for every verb: one reader."""

import gzip
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from typer.testing import CliRunner

from hint_plugin.cli.verbs.sample import app
from hint_plugin.data import iter_frames, read_frames, write_frames
from hint_plugin.data.formats import recognise
from hint_plugin.data.labels.frame_labels import frame_labels
from hint_plugin.data.structures.unit_cell import read_crystal
from hint_plugin.errors import DataError

MOLECULE, CRYSTAL = molecule("CH3OH"), bulk("NaCl", "rocksalt", 5.64, cubic=True)

OUTPUTS = Path(__file__).parents[1] / "data" / "formats" / "quantum_chemistry"


def _written(folder: Path, name: str) -> Path:
    path = folder / name
    if name == "a.xyz.gz":
        ase.io.write(folder / "a.xyz", MOLECULE)
        with gzip.open(path, "wb") as handle:
            handle.write((folder / "a.xyz").read_bytes())
    else:
        is_crystal = name.startswith(("POSCAR", "cell"))
        ase.io.write(path, CRYSTAL if is_crystal else MOLECULE, format="vasp" if "POSCAR" in name else None)
    return path


@pytest.mark.parametrize(
    "name",
    ["POSCAR", "cell.cif", "a.traj", "a.pdb", "a.gen", "a.db", "a.xyz.gz", "cell.vasp", "a.xsf", "coord"],
)
def test_displaced_from_any_format(tmp_path: Path, name: str) -> None:
    path = _written(tmp_path, name)
    arguments = ["displace", str(path), "-o", str(tmp_path / "p.json"), "--sigma", "0.02"]
    said = CliRunner().invoke(app, [*arguments, "--extract", str(tmp_path / "new.xyz")])
    assert said.exit_code == 0, said.output
    (found,) = read_frames(tmp_path / "new.xyz")
    wanted = CRYSTAL if name.startswith(("POSCAR", "cell")) else MOLECULE
    assert sorted(found.symbols) == sorted(wanted.symbols) and found.pbc.all() == wanted.pbc.all()


@pytest.mark.parametrize("name", ["POSCAR", "cell.cif", "cell.cif.gz", "a.pdb", "a.gen", "coord"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, name: str) -> None:
    """As editors on Windows put it before a file: what ASE reads from a file without it."""
    path = _written(tmp_path, name.removesuffix(".gz"))
    wanted = read_frames(path)
    marked = tmp_path / "marked" / name
    marked.parent.mkdir()
    text = b"\xef\xbb\xbf" + path.read_bytes()
    marked.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read_frames(marked) == wanted
    if name in ("POSCAR", "cell.cif"):
        assert read_crystal(marked) == wanted[0]
    marked.write_bytes(text[:40])
    with pytest.raises(DataError, match=str(marked)):
        read_frames(marked)


def test_all_frames_of_a_trajectory_with_their_results(tmp_path: Path) -> None:
    frames = []
    for k in range(3):
        atoms = molecule("H2O")
        atoms.calc = SinglePointCalculator(atoms, energy=float(k), forces=np.full((3, 3), k))
        frames.append(atoms)
    ase.io.write(tmp_path / "a.traj", frames)
    found = list(iter_frames(tmp_path / "a.traj"))
    assert [frame_labels(atoms).energy for atoms in found] == [0.0, 1.0, 2.0]
    assert found[0].calc is not None and frame_labels(found[2]).ase == ("energy", "forces")
    (tmp_path / "cut.traj").write_bytes((tmp_path / "a.traj").read_bytes()[:-40])
    with pytest.raises(DataError, match="cut.traj.*(cannot be read|no known format)"):
        read_frames(tmp_path / "cut.traj")


def test_cif_goes_into_stores_and_shared_sites_are_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, "cell.cif")
    assert write_frames(tmp_path / "a.h5", iter_frames(path)) == 1
    (atoms,) = read_frames(tmp_path / "a.h5")
    assert isinstance(atoms.info["spacegroup"], str)
    text = "\n".join(
        ["data_x", *(f"_cell_length_{x} 4.0" for x in "abc")]
        + [f"_cell_angle_{x} 90" for x in ("alpha", "beta", "gamma")]
        + ["_symmetry_space_group_name_H-M 'P 1'", "loop_", "_atom_site_label", "_atom_site_type_symbol"]
        + [f"_atom_site_fract_{x}" for x in "xyz"]
        + ["_atom_site_occupancy", "Cu1 Cu 0 0 0 0.75", "Au1 Au 0 0 0 0.25"]
    )
    (tmp_path / "alloy.cif").write_text(text + "\n")
    with pytest.raises(DataError, match=r"alloy.cif, frame 0: the site at .0, 0, 0. is 75 % Cu, 25 % Au"):
        read_frames(tmp_path / "alloy.cif")


def test_blank_lines_are_no_end_under_other_names_either(tmp_path: Path) -> None:
    shutil.copy(_written(tmp_path, "a.xyz.gz").with_suffix(""), tmp_path / "b.extxyz")
    text = (tmp_path / "b.extxyz").read_text()
    (tmp_path / "b.extxyz").write_text(f"{text}\n{text}")
    assert len(read_frames(tmp_path / "b.extxyz", format="ase")) == 2


def test_a_database_in_json_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    """By itself a .json is none: ours are plans and results."""
    labelled = MOLECULE.copy()
    labelled.calc = SinglePointCalculator(labelled, energy=-1.5)
    ase.io.write(tmp_path / "d.json", labelled)
    (found,) = read_frames(tmp_path / "d.json", format="ase")
    assert found.get_potential_energy() == -1.5
    with pytest.raises(DataError, match="no known format"):
        read_frames(tmp_path / "d.json")


@pytest.mark.parametrize("name", ["gaussian16_dvb_ir", "orca6_dvb_ir"])
def test_an_output_under_any_name_is_no_file_for_ase(tmp_path: Path, name: str) -> None:
    """ASE's readers know the programs, and no Hessian."""
    packed = OUTPUTS / f"{name}.out.gz"
    (tmp_path / "g.txt").write_bytes(gzip.decompress(packed.read_bytes()))
    assert recognise(tmp_path / "g.txt").name == recognise(packed).name == "quantum-chemistry"


def test_what_is_not_of_atoms(tmp_path: Path) -> None:
    for name, text in (("plan.json", '{"frames": 1}'), ("notes.txt", "hello"), ("a.dat", "1 2 3\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=f"{name}.*no known format"):
            recognise(tmp_path / name)
    with pytest.raises(DataError, match="no known format"):
        write_frames(tmp_path / "a.cif", [Atoms("H")])
