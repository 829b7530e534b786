"""Outputs of Gaussian, ORCA, Q-Chem and TURBOMOLE, real ones of cclib's, against what they print."""

import gzip
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr, Hartree, _amu, _c, _e

from hint_plugin.data import read_frames, read_label
from hint_plugin.data.formats import files_read, recognise
from hint_plugin.data.formats.gaussian_archive import last_archive
from hint_plugin.data.formats.qc_jobs import ORCA_ENDS, jobs
from hint_plugin.data.formats.quantum_chemistry import _from_archive
from hint_plugin.data.labels.frame_labels import frame_labels
from hint_plugin.errors import DataError, LabelWarning

pytest.importorskip("cclib")
FILES = Path(__file__).parents[1] / "data" / "formats" / "quantum_chemistry"
ORCA = FILES.parent / "orca"


def _text(name: str) -> str:
    with gzip.open(FILES / f"{name}.out.gz", "rt") as handle:
        return handle.read()


def _printed(text: str, pattern: str) -> np.ndarray:
    """All numbers of the lines that begin so."""
    lines = re.findall(pattern, text, re.MULTILINE)
    return np.array([float(word) for line in lines for word in line.split()])


def frequencies(atoms: Atoms, hessian: np.ndarray) -> np.ndarray:
    """cm^-1, translations and rotations projected out, ascending."""
    masses, n = np.repeat(atoms.get_masses(), 3), len(atoms)
    arms = atoms.positions - atoms.get_center_of_mass()
    moves = [np.tile(axis, n) for axis in np.eye(3)] + [np.cross(axis, arms).ravel() for axis in np.eye(3)]
    basis = np.linalg.qr((np.array(moves) * np.sqrt(masses)).T)[0]
    project = np.eye(3 * n) - basis @ basis.T
    squared = np.linalg.eigvalsh(project @ (hessian / np.sqrt(np.outer(masses, masses))) @ project)
    kept = np.sort(squared[np.argsort(np.abs(squared))[6:]])
    return np.sign(kept) * np.sqrt(np.abs(kept) * _e * 1e20 / _amu) / (2 * np.pi * _c * 100)


@pytest.mark.parametrize(
    "name, pattern, decimals, modes",
    [
        ("gaussian16_dvb_ir", r"^ Frequencies --(.*)$", 8, 54),
        ("qchem51_water_ir", r"^ Frequency:(.*)$", 7, 3),
        ("turbomole59_dvb_aoforce", r"^ +frequency +(.*)$", 7, 54),
    ],
)
def test_frequencies_are_those_that_the_program_printed(
    name: str, pattern: str, decimals: int, modes: int
) -> None:
    path = FILES / f"{name}.out.gz"
    assert recognise(path).name == "quantum-chemistry"
    atoms = read_frames(path)[-1]
    label = read_label(atoms)
    wanted = _printed(_text(name), pattern)
    wanted = np.sort(wanted[wanted != 0.0])
    assert len(wanted) == modes
    np.testing.assert_allclose(frequencies(atoms, label.hessian), wanted, atol=0.1)
    assert label.noise == pytest.approx(10.0**-decimals / 12**0.5 * Hartree / Bohr**2)


def test_hessian_and_forces_of_gaussian_have_the_orientation_of_the_geometry() -> None:
    """H (w x r) = w x g, to the noise of the grid; the printed orientation is another one."""
    (atoms,) = read_frames(FILES / "gaussian16_dvb_ir.out.gz")
    hessian, forces = read_label(atoms).hessian, atoms.arrays["REF_forces"]
    arms = atoms.positions - atoms.positions.mean(axis=0)
    for axis in np.eye(3):
        got, wanted = hessian @ np.cross(axis, arms).ravel(), -np.cross(axis, forces).ravel()
        np.testing.assert_allclose(got, wanted, atol=0.03)


@pytest.mark.parametrize(
    "name, energy, steps, gradients",
    [
        ("gaussian16_dvb_gopt", r"^ SCF Done:  E\(\S+\) = +(\S+)", 5, 5),
        ("orca6_dvb_gopt", r"^FINAL SINGLE POINT ENERGY +(\S+)", 4, 3),
        ("qchem54_dvb_gopt", r"^ Total energy in the final basis set = +(\S+)", 5, 5),
    ],
)
def test_every_step_has_its_own_energy_and_forces(name: str, energy: str, steps: int, gradients: int) -> None:
    frames = read_frames(FILES / f"{name}.out.gz")
    assert len(frames) == steps and sum("REF_forces" in atoms.arrays for atoms in frames) == gradients
    wanted = _printed(_text(name), energy) * Hartree
    np.testing.assert_allclose([atoms.info["REF_energy"] for atoms in frames], wanted, atol=1e-6)
    assert all(atoms.info["charge"] == 0 and atoms.info["spin"] == 1 for atoms in frames)
    for one, other in zip(frames, frames[1:], strict=False):
        change = other.info["REF_energy"] - one.info["REF_energy"]
        _check_work(one, other, one.arrays["REF_forces"], change)


def test_turbomole_s_gradient_has_all_steps_and_a_step_of_jobex_is_refused() -> None:
    frames = read_frames(FILES / "gradient")
    known = [frame_labels(atoms) for atoms in frames]
    assert len(frames) == 3
    for k in range(2):
        _check_work(frames[k], frames[k + 1], known[k].forces, known[k + 1].energy - known[k].energy)
    with pytest.raises(DataError, match="2 geometries, 1 energies, 1 gradients.*The file `gradient`"):
        read_frames(FILES / "turbomole75_dvb_gopt_job1.out.gz")


def _check_work(one: Atoms, other: Atoms, forces: np.ndarray, change: float) -> None:
    """The work of the first forces is about twice the energy that a step of an optimisation gains: signs,
    orientation, and that energies and forces are of the same geometries."""
    work = -(forces * (_onto(other.positions, one.positions) - one.positions)).sum()
    assert work < 0 and change < 0 and 0.15 < change / work < 1.0


def _onto(positions: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Turned and shifted for the smallest distance (Kabsch)."""
    a, b = positions - positions.mean(axis=0), target - target.mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ b)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ v))])
    return a @ u @ sign @ v + target.mean(axis=0)


def test_orca_takes_the_hessian_beside_the_output(tmp_path: Path) -> None:
    (known,) = read_frames(ORCA / "CH4.hess")
    lines = ["* O   R   C   A *", "Program Version 6.0.1", "CARTESIAN COORDINATES (ANGSTROEM)", "-----"]
    lines += [
        f"  {s}  {x:.6f}  {y:.6f}  {z:.6f}"
        for s, (x, y, z) in zip(known.symbols, known.positions, strict=True)
    ]
    lines += ["", "FINAL SINGLE POINT ENERGY      -40.451234567890", "VIBRATIONAL FREQUENCIES", ""]
    (tmp_path / "CH4.out").write_text("\n".join([*lines, "****ORCA TERMINATED NORMALLY****"]))
    with pytest.warns(LabelWarning, match="frequencies and no Hessian.*ends in .hess"):
        (alone,) = read_frames(tmp_path / "CH4.out")
    assert read_label(alone) is None and alone.info["REF_energy"] == pytest.approx(-40.45123456789 * Hartree)
    shutil.copy(ORCA / "CH4.hess", tmp_path)
    (atoms,) = read_frames(tmp_path / "CH4.out")
    wanted = read_label(known).hessian
    np.testing.assert_allclose(read_label(atoms).hessian, 0.5 * (wanted + wanted.T), atol=1e-9)
    assert files_read(tmp_path / "CH4.out") == [tmp_path / "CH4.out", tmp_path / "CH4.hess"]


@pytest.mark.parametrize(
    "name", ["gaussian16_dvb_gopt", "orca6_dvb_gopt", "qchem54_dvb_gopt", "turbomole59_dvb_aoforce"]
)
def test_outputs_that_break_off_are_refused(tmp_path: Path, name: str) -> None:
    text = _text(name)
    (tmp_path / "cut.out").write_text(text[: int(0.6 * len(text))])
    with pytest.raises(DataError, match="cut.out"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_frames(tmp_path / "cut.out")


def test_a_second_energy_for_one_geometry_is_refused(tmp_path: Path) -> None:
    text = _text("orca6_dvb_ir")
    (tmp_path / "two.out").write_text(
        text.replace("VIBRATIONAL FREQ", "FINAL SINGLE POINT ENERGY   -1.5\n", 1)
    )
    with pytest.raises(DataError, match=r"two.out, line \d+: a second energy for one geometry"):
        read_frames(tmp_path / "two.out")


def test_gradients_beside_excited_states_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from cclib.parser.data import ccData

    from hint_plugin.data.formats import qc_steps

    data = ccData({"atomcoords": np.zeros((1, 1, 3)), "grads": np.zeros((1, 1, 3)), "etenergies": [1.0]})
    monkeypatch.setattr(qc_steps, "_parsed", lambda path, program, text: data)
    with pytest.raises(DataError, match="a.log: excited states and gradients"):
        qc_steps.by_cclib(Path("a.log"), "Gaussian")


def test_forces_of_another_orientation_are_refused(tmp_path: Path) -> None:
    text = _text("orca6_dvb_gopt")
    turned = re.sub(r"(?m)^( +\d+ +[CH] +: +)(\S+)( +)(\S+)( +\S+)$", r"\1\4\3-\2\5", text).replace("--", "")
    assert turned != text
    (tmp_path / "turned.out").write_text(turned)
    with pytest.raises(DataError, match="turned.out, frame 0: the forces have a torque"):
        read_frames(tmp_path / "turned.out")


def test_an_archive_in_a_z_matrix_is_left_alone() -> None:
    entry = r" 1\1\X\Freq\RHF\STO-3G\H2\U\D\0\\#\\t\\0,1\H\H,1,R\\R=0.7\\NImag=0\\1.,2.,3.\\0.,0.\\\@"
    assert last_archive(entry) is None and last_archive("nothing") is None


def _other_job(text: str, energy: str) -> str:
    """The same run, as a single point with another energy."""
    for name in ("Hessian of the SCF Energy", "Final Hessian"):
        text = text.replace(name, name.replace("H", "X", 1))
    return re.sub(rf"({energy}\s+)-\d+\.\d+", r"\g<1>-99.000000000", text)


def test_each_job_of_an_output_keeps_its_own_labels(tmp_path: Path) -> None:
    text = _text("qchem51_water_ir")
    (tmp_path / "two.out").write_text(text + _other_job(text, "Total energy in the final basis set ="))
    with pytest.warns(LabelWarning, match="two.out, job 2 of 2: frequencies and no Hessian"):
        frequencies_job, single_point = read_frames(tmp_path / "two.out")
    (alone,) = read_frames(FILES / "qchem51_water_ir.out.gz")
    np.testing.assert_array_equal(read_label(frequencies_job).hessian, read_label(alone).hessian)
    assert frequencies_job.info["REF_energy"] == alone.info["REF_energy"]
    assert read_label(single_point) is None
    assert single_point.info["REF_energy"] == pytest.approx(-99 * Hartree)


def test_jobs_of_orca_have_their_own_charge_and_method(tmp_path: Path) -> None:
    text = _text("orca6_dvb_ir").replace("VIBRATIONAL FREQUENCIES", "")
    ion = _other_job(text, "FINAL SINGLE POINT ENERGY").replace("b3lyp", "blyp")
    ion = re.sub(r"(Total Charge +Charge +\.+ +)0", r"\g<1>1", ion)
    ion = re.sub(r"(Multiplicity +Mult +\.+ +)1", r"\g<1>2", ion)
    path = tmp_path / "two.out"
    path.write_text(text + ion)
    frames = read_frames(path)
    assert [(a.info["charge"], a.info["spin"]) for a in frames] == [(0, 1), (1, 2)]
    assert [a.info["hint_method"].split()[0] for a in frames] == ["b3lyp", "blyp"]
    path.write_text(text + ion[: len(ion) // 2])
    with pytest.raises(DataError, match="two.out, job 2 of 2: the run of ORCA did not end well"):
        read_frames(path)
    path.write_text(text + re.sub(r"^ +\* O   R   C   A \*", "", ion, flags=re.M))
    with pytest.raises(DataError, match="charge 0 and 1 in one job"):
        read_frames(path)


def test_jobs_of_one_input_of_orca_and_links_of_gaussian_are_told_apart() -> None:
    mark = "   *        $$$$$$$$$$$$$$$$  JOB NUMBER  {} $$$$$$$$$$$$$$    *\n"
    head = " * O   R   C   A *\n|  1> ! HF\n|  2> $new_job\n|  3> ! PBE\n"
    found = jobs(head + mark.format(1) + "first\n" + mark.format(2) + "second\n" + ORCA_ENDS, "ORCA")
    assert [("HF" in t, "PBE" in t, "first" in t, "second" in t) for t in found] == [
        (True, False, True, False),
        (False, True, False, True),
    ]
    assert all(ORCA_ENDS in text for text in found)
    text = _text("gaussian16_dvb_ir")
    assert jobs(text, "Gaussian") == [text] and jobs(text + text, "Gaussian")[0].count("SCF Done") == 1


def test_a_row_that_is_not_understood_is_no_end_of_a_table(tmp_path: Path) -> None:
    text = _text("orca6_dvb_ir")
    path = tmp_path / "ghost.out"
    path.write_text(re.sub(r"^  H (?= +-0\.8)", "  H: ", text, count=1, flags=re.M))
    with pytest.raises(DataError, match="ghost.out.*'H: .*is no row of the table; ghost atoms"):
        read_frames(path)


def test_an_archive_entry_of_another_energy_is_refused(tmp_path: Path) -> None:
    text = _text("gaussian16_dvb_ir")
    assert last_archive(text).energies == pytest.approx([-382.30826], abs=1e-4)
    atoms = Atoms("C10H10", positions=last_archive(text).positions)
    atoms.numbers = last_archive(text).numbers
    atoms.info["REF_energy"] = -399 * Hartree
    with pytest.raises(ValueError, match="energies of the archive entry are 17 hartree from"):
        _from_archive(atoms, last_archive(text))
