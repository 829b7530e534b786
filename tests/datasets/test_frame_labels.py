"""What energy, forces and stress a frame has: one answer, under `REF_` names and under ASE's own."""

import shlex
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from typer.testing import CliRunner

from hint_plugin.cli.verbs.dataset import dataset
from hint_plugin.data import LabelKeys, clear_labels, read_frames, read_label, write_frames
from hint_plugin.data.labels.ase_energies import energy_of
from hint_plugin.data.labels.frame_labels import frame_labels, malformed, rename_ase_labels, rename_line
from hint_plugin.data.sets.audit import audit
from hint_plugin.data.sets.statistics import gather
from hint_plugin.errors import LabelError
from hint_plugin.sampling.population import survey
from hint_plugin.science.labelled_frames import read_reference

CASE = Path(__file__).parents[1] / "data" / "cases" / "files" / "ase_keys.xyz"


def _periodic(folder: Path, **info: float) -> Path:
    atoms = bulk("Cu", cubic=True)
    atoms.calc = SinglePointCalculator(
        atoms, energy=-1.5, forces=np.full((4, 3), 0.25), stress=np.arange(6.0), dipole=np.ones(3)
    )
    atoms.info.update(info)
    ase.io.write(folder / "cu.xyz", atoms)
    return folder / "cu.xyz"


def test_all_verbs_count_the_same_under_ases_names(tmp_path: Path) -> None:
    frames = read_frames(CASE)
    found = gather(frames)
    assert (found.with_energy, found.with_forces, found.with_stress) == (1, 1, 0)
    assert found.ase_names == {"energy": 1, "forces": 1}
    checked = audit([CASE])
    assert checked.labels[str(CASE)] == {"energy": 1, "forces": 1}
    assert checked.ase_names[str(CASE)] == {"energy": 1, "forces": 1} and not checked.problems
    reference = read_reference(frames[0], LabelKeys(), "a.xyz", 0)
    assert reference.energy == -137.9 and reference.forces is not None
    assert survey([CASE], "REF_energy").energies == [-137.9]
    for verb in ("stats", "check"):
        said = CliRunner().invoke(dataset, [verb, str(CASE)])
        text = "".join(said.output.split())
        assert said.exit_code == 0 and "ASE'sownnames:energy(1frames),forces(1frames)" in text
        assert "".join(rename_line(CASE).split()) in text


@pytest.mark.parametrize("name", ["a b.xyz", "Set.extxyz.gz", "set.h5", "set.traj"])
def test_the_line_that_renames(tmp_path: Path, name: str) -> None:
    wanted = {"a b.xyz": "a b-ref.xyz", "Set.extxyz.gz": "Set-ref.xyz", "set.h5": "set-ref.h5"}
    arguments = shlex.split(rename_line(tmp_path / name))
    assert arguments[:3] == ["hint", "dataset", "convert"] and arguments[3] == str(tmp_path / name)
    assert Path(arguments[5]) == tmp_path / wanted.get(name, "set-ref.xyz")


def test_convert_renames_and_loses_nothing(tmp_path: Path) -> None:
    path = _periodic(tmp_path)
    arguments = shlex.split(rename_line(path))[2:]
    said = CliRunner().invoke(dataset, arguments)
    assert said.exit_code == 0 and "1 renamed from ASE's names" in said.output
    (after,) = read_frames(arguments[-1])
    assert after.info["REF_energy"] == -1.5 and np.all(after.arrays["REF_forces"] == 0.25)
    np.testing.assert_allclose(after.info["REF_stress"], np.arange(6.0))
    assert set(after.calc.results) == {"dipole"}
    known = frame_labels(after)
    assert known.energy == -1.5 and known.ase == () == known.ignored
    shutil.copy(arguments[-1], tmp_path / "again.xyz")
    CliRunner().invoke(dataset, ["convert", str(tmp_path / "again.xyz"), "-o", str(tmp_path / "twice.xyz")])
    assert (tmp_path / "twice.xyz").read_text() == Path(arguments[-1]).read_text()


def test_two_methods_are_not_mixed_within_a_frame(tmp_path: Path) -> None:
    (atoms,) = read_frames(_periodic(tmp_path, REF_energy=-7.0))
    known = frame_labels(atoms)
    assert known.energy == -7.0 and known.forces is None
    assert known.ignored == ("energy", "forces", "stress") and known.ase == ()
    remarks = audit([tmp_path / "cu.xyz"]).remarks
    assert any("energy, forces, stress under ASE's own names do not count" in str(r) for r in remarks)
    asked = frame_labels(atoms, LabelKeys(energy="energy", forces="forces", stress="stress"))
    assert asked.energy == -1.5 and asked.forces is not None and asked.stress is not None


def test_malformed_labels_under_ases_names_are_found(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=float("nan"), forces=np.zeros((3, 3)))
    write_frames(tmp_path / "a.xyz", [atoms])
    assert [p.message for p in audit([tmp_path / "a.xyz"]).problems] == [
        "energy holds NaN or infinity. Relabel the frame or remove the key"
    ]
    with pytest.raises(LabelError, match="energy holds NaN"):
        frame_labels(atoms)


def test_clear_labels_takes_ases_away_too(tmp_path: Path) -> None:
    (atoms,) = read_frames(_periodic(tmp_path))
    clear_labels(atoms)
    assert set(atoms.calc.results) == {"dipole"}


@pytest.mark.parametrize(
    "comment", ["energy -137.96", "REF_energy -137.96", "REF_energy=T", 'REF_energy="-137.96 eV"']
)
def test_flags_and_text_are_no_energies(tmp_path: Path, comment: str) -> None:
    (tmp_path / "a.xyz").write_text(f"1\n{comment}\nH 0 0 0\n")
    (atoms,) = read_frames(tmp_path / "a.xyz")
    with pytest.raises(LabelError, match="energy is (True|'-137.96 eV'); wanted numbers.*`key=`"):
        frame_labels(atoms)
    with pytest.raises(LabelError, match="wanted one number"):
        energy_of(atoms)
    (problem,) = audit([tmp_path / "a.xyz"]).problems
    assert "energy is" in str(problem)


def test_arrays_of_flags_or_text_are_no_labels() -> None:
    atoms = molecule("H2")
    atoms.info = {"REF_energy": -1.0, "REF_hessian": np.eye(6).astype(bool)}
    with pytest.raises(LabelError, match="REF_hessian: the Hessian is not .*true or false"):
        read_label(atoms)
    atoms.info["REF_hessian"] = np.zeros((6, 6)).astype(str)
    with pytest.raises(LabelError, match="text in place of real numbers"):
        read_label(atoms)
    atoms.info = {"REF_energy": np.int64(-1), "REF_stress": ["1"] * 6}
    atoms.arrays["REF_forces"] = np.ones((2, 3), dtype=bool)
    assert len(malformed(atoms)) == 2
    atoms.info, _ = {"REF_hessian_rows": np.zeros((3, 6))}, atoms.arrays.pop("REF_forces")
    atoms.arrays["REF_hessian_mask"] = np.array(["F", "T"])
    with pytest.raises(LabelError, match="no column of T and F"):
        read_label(atoms)


def test_the_energy_is_the_one_whose_derivative_the_forces_are(tmp_path: Path) -> None:
    """With smearing: `free_energy` of .traj and .xyz, as of VASP's files."""
    atoms = bulk("Cu")
    atoms.calc = SinglePointCalculator(atoms, energy=-14.5, free_energy=-14.6, forces=np.zeros((1, 3)))
    for name in ("a.traj", "a.xyz"):
        ase.io.write(tmp_path / name, atoms)
        (found,) = read_frames(tmp_path / name)
        known = frame_labels(found)
        assert (known.energy, known.other_energy) == (-14.6, -14.5) and energy_of(found) == -14.6
        (remark,) = audit([tmp_path / name]).remarks
        assert "the energy is free_energy, -14.600000 eV, whose derivative the forces are" in str(remark)
        assert rename_ase_labels(found) and found.calc is None
        assert (found.info["REF_energy"], found.info["energy_sigma0"]) == (-14.6, -14.5)
    atoms.calc.results["free_energy"] = -14.5
    assert frame_labels(atoms).other_energy is None
