"""Files of ORCA, Gaussian and Q-Chem, xtb and VASP, against what the programs print and against others."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.units import Bohr, Hartree, _amu, _c, _e

from hint_plugin.data import read_frames, read_label
from hint_plugin.data.formats.vasp_convergence import check_outcar
from hint_plugin.errors import DataError, LabelWarning

FILES = Path(__file__).parents[1] / "data" / "formats"
TO_CM = np.sqrt(_e * 1e20 / _amu) / (2 * np.pi * 100 * _c)  # of sqrt(eV/A^2/amu)


def frequencies(atoms) -> np.ndarray:
    """cm^-1, the highest 3N - 6."""
    hessian = read_label(atoms).hessian
    weights = np.repeat(atoms.get_masses(), 3) ** -0.5
    squared = np.linalg.eigvalsh(weights[:, None] * 0.5 * (hessian + hessian.T) * weights)
    return (np.sign(squared) * np.sqrt(np.abs(squared)) * TO_CM)[6:]


def test_orca_gives_its_own_frequencies() -> None:
    """A stretched CH4, so rotations mix in a little; the stretches are not touched by that."""
    [atoms] = read_frames(FILES / "orca" / "CH4.hess")
    text = (FILES / "orca" / "CH4.hess").read_text()
    block = text.split("$vibrational_frequencies")[1].split("$")[0]
    printed = np.array([line.split()[1] for line in block.strip().splitlines()[1:]], dtype=float)[6:]
    np.testing.assert_allclose(frequencies(atoms)[-4:], printed[-4:], atol=0.5)
    assert printed[-1] > 2500


def test_orca_energy_and_forces_of_the_engrad(tmp_path: Path) -> None:
    [atoms] = read_frames(FILES / "orca" / "CH4.hess")
    assert atoms.info["REF_energy"] == pytest.approx(-40.451584615385 * Hartree)
    # the first hydrogen is too far out: the gradient is negative along the bond, in the direction of +x
    np.testing.assert_allclose(atoms.arrays["REF_forces"][1, 0], 0.006508356369 * Hartree / Bohr, rtol=1e-9)
    shutil.copy(FILES / "orca" / "CH4.hess", tmp_path)
    [alone] = read_frames(tmp_path / "CH4.hess")
    assert "REF_forces" not in alone.arrays
    assert alone.info["REF_energy"] == pytest.approx(-40.451555 * Hartree)
    engrad = (FILES / "orca" / "CH4.engrad").read_text()
    (tmp_path / "CH4.engrad").write_text(engrad.replace("2.0598015", "2.1598015"))
    [other] = read_frames(tmp_path / "CH4.hess")  # another geometry
    assert "REF_forces" not in other.arrays


def test_fchk_equals_cclib() -> None:
    cclib = pytest.importorskip("cclib")
    path = FILES / "gaussian" / "water.fchk"
    [atoms] = read_frames(path)
    other = cclib.io.ccread(str(path))
    np.testing.assert_allclose(atoms.positions, other.atomcoords[-1], atol=1e-8)
    np.testing.assert_allclose(read_label(atoms).hessian / Hartree * Bohr**2, other.hessian, atol=1e-12)
    assert (atoms.info["charge"], atoms.info["spin"]) == (0, 1)
    assert "REF_energy" not in atoms.info and "REF_forces" not in atoms.arrays


def test_fchk_equals_the_hessian_of_pyscf() -> None:
    """Q-Chem's B3LYP/STO-3G of water, computed again; the grids differ."""
    gto = pytest.importorskip("pyscf.gto")
    from pyscf import dft

    [atoms] = read_frames(FILES / "gaussian" / "water.fchk")
    molecule = gto.M(
        atom=list(zip(atoms.symbols, atoms.positions, strict=True)), basis="sto-3g", verbose=0, unit="A"
    )
    field = dft.RKS(molecule, xc="b3lyp").run(conv_tol=1e-10)
    hessian = field.Hessian().kernel().transpose(0, 2, 1, 3).reshape(9, 9) * Hartree / Bohr**2
    np.testing.assert_allclose(read_label(atoms).hessian, hessian, atol=0.2)
    assert np.abs(hessian).max() > 50


def test_fchk_of_other_jobs(tmp_path: Path) -> None:
    """An optimisation may write a guess of the Hessian, a single point a gradient of zeros."""
    text = (FILES / "gaussian" / "water.fchk").read_text()
    gradient = "Cartesian Gradient                         R   N=           9\n"
    values = (
        "  1.00000000E-02  0.00000000E+00  0.00000000E+00  0.00000000E+00  0.00000000E+00\n" + 4 * "  0.0"
    )
    energy = "Total Energy                               R     -7.496432879130536E+01\n"
    path = tmp_path / "water.fchk"
    path.write_text(text + energy + gradient + values + "\n")
    [atoms] = read_frames(path)
    assert atoms.info["REF_energy"] == pytest.approx(-74.96432879130536 * Hartree)
    assert atoms.arrays["REF_forces"][0, 0] == pytest.approx(-0.01 * Hartree / Bohr)
    path.write_text(text + gradient + values.replace("1.0", "0.0") + "\n")
    assert "REF_forces" not in read_frames(path)[0].arrays
    path.write_text(text.replace("FREQ ", "FOpt ", 1))
    with pytest.warns(LabelWarning, match="'FOpt'.*left out"):
        [atoms] = read_frames(path)
    assert read_label(atoms) is None


def test_a_frequency_job_without_force_constants_is_said(tmp_path: Path) -> None:
    text = (FILES / "gaussian" / "water.fchk").read_text()
    (tmp_path / "water.fchk").write_text(text.replace("Force Constants", "Force Nothings"))
    with pytest.warns(LabelWarning, match="water.fchk: a job 'FREQ' without force constants"):
        assert read_label(read_frames(tmp_path / "water.fchk")[0]) is None


def test_two_checkpoints_in_one_file_are_refused(tmp_path: Path) -> None:
    text = (FILES / "gaussian" / "water.fchk").read_text()
    (tmp_path / "two.fchk").write_text(text + text)
    with pytest.raises(DataError, match="two.fchk.*twice: two checkpoints in one file"):
        read_frames(tmp_path / "two.fchk")


def test_xtb_equals_our_own_label() -> None:
    """`xtb --ohess` of formaldehyde, where nothing is projected out that is there; GFN2 by tblite."""
    pytest.importorskip("tblite")
    from hint_plugin.labelling import make_engine, make_labels

    [atoms] = read_frames(FILES / "xtb" / "hessian")
    labels = make_labels(make_engine("gfn2-xtb"), atoms, "full")
    assert np.abs(read_label(atoms).hessian - labels.hessian.hessian).max() < 0.02
    assert np.abs(labels.hessian.hessian).max() > 50
    assert atoms.info["REF_energy"] == pytest.approx(labels.point.energy, abs=1e-4)
    np.testing.assert_allclose(atoms.arrays["REF_forces"], labels.point.forces, atol=1e-3)


def test_geometry_of_an_xtb_hessian(tmp_path: Path) -> None:
    shutil.copy(FILES / "xtb" / "hessian", tmp_path)
    with pytest.raises(DataError, match=r"hessian: the structure is in another file.*there: none.*geometry"):
        read_frames(tmp_path / "hessian")
    shutil.copy(FILES / "xtb" / "xtbopt.xyz", tmp_path / "a.xyz")
    [atoms] = read_frames(tmp_path / "hessian")
    assert "REF_energy" not in atoms.info  # no file `gradient` here
    shutil.copy(FILES / "xtb" / "xtbopt.xyz", tmp_path / "b.xyz")
    with pytest.raises(DataError, match="a.xyz, b.xyz"):
        read_frames(tmp_path / "hessian")
    [named] = read_frames(tmp_path / "hessian", geometry=str(tmp_path / "b.xyz"))
    np.testing.assert_array_equal(named.positions, atoms.positions)
    (tmp_path / "c.xyz").write_text("2\n\nH 0 0 0\nH 0 0 1\n")
    with pytest.raises(DataError, match=r"hessian, frame 0.*36 numbers, for the 2 atoms of c.xyz"):
        read_frames(tmp_path / "hessian", geometry=str(tmp_path / "c.xyz"))


def _moved(text: str, distance: float) -> str:
    """A structure of .xyz with its second atom moved."""
    lines = text.splitlines()
    symbol, x, *rest = lines[3].split()
    lines[3] = " ".join([symbol, f"{float(x) + distance:.10f}", *rest])
    return "\n".join(lines) + "\n"


def test_a_stale_structure_beside_an_xtb_hessian(tmp_path: Path) -> None:
    """The rotations that xtb projects out tell which structure the Hessian is of."""
    text = (FILES / "xtb" / "xtbopt.xyz").read_text()
    shutil.copy(FILES / "xtb" / "hessian", tmp_path)
    (tmp_path / "xtbopt.xyz").write_text(text)
    (tmp_path / "input.xyz").write_text(_moved(text, 0.05))  # as --ohess leaves it
    assert len(read_frames(tmp_path / "hessian")) == 1
    (tmp_path / "xtbopt.xyz").write_text(_moved(text, 0.05))
    (tmp_path / "input.xyz").write_text(text)
    with pytest.raises(DataError, match="may well be of input.xyz. Name the right one by the option"):
        read_frames(tmp_path / "hessian")
    (tmp_path / "input.xyz").unlink()
    (tmp_path / "xtbopt.xyz").rename(tmp_path / "path.xyz")
    (tmp_path / "path.xyz").write_text(text + text)
    with pytest.raises(DataError, match="2 structures, and the Hessian is of one"):
        read_frames(tmp_path / "hessian")


def test_gradients_of_other_elements_are_not_taken(tmp_path: Path) -> None:
    for name in ("hessian", "xtbopt.xyz"):
        shutil.copy(FILES / "xtb" / name, tmp_path)
    gradient = (FILES / "xtb" / "gradient").read_text()
    (tmp_path / "gradient").write_text(gradient.replace(" O ", " S "))
    assert "REF_forces" not in read_frames(tmp_path / "hessian")[0].arrays
    shutil.copy(FILES / "orca" / "CH4.hess", tmp_path)
    engrad = (FILES / "orca" / "CH4.engrad").read_text()
    (tmp_path / "CH4.engrad").write_text(engrad.replace("\n   6  ", "\n   7  "))
    with pytest.raises(DataError, match="CH4.engrad.*elements 7, 1, 1, 1, 1; CH4.hess has 6, 1"):
        read_frames(tmp_path / "CH4.hess")


def test_xtb_away_from_a_minimum_warns(tmp_path: Path) -> None:
    for name in ("hessian", "xtbopt.xyz"):
        shutil.copy(FILES / "xtb" / name, tmp_path)
    lines = (FILES / "xtb" / "gradient").read_text().splitlines()
    lines[-2] = "     1.0E-02  0.0E+00  0.0E+00"
    (tmp_path / "gradient").write_text("\n".join(lines) + "\n")
    with pytest.warns(LabelWarning, match="projects rotations out"):
        read_frames(tmp_path / "hessian")


MASSES = {"Na": 22.990, "Cl": 35.453}
TO_THZ2 = _e * 1e20 / _amu / (2 * np.pi * 1e12) ** 2  # of eV/A^2/amu


def vasprun(hessian: np.ndarray, unit: str, steps: int = 1) -> str:
    """A vasprun.xml of two atoms, as VASP lays it out: the Hessian negative and divided by the masses."""
    masses = np.repeat(list(MASSES.values()), 3)
    scaled = -hessian / np.sqrt(np.outer(masses, masses)) * (TO_THZ2 if unit else 1.0)
    rows = "\n".join("    <v>" + " ".join(f"{value:16.8f}" for value in row) + "</v>" for row in scaled)
    mark = f'   <i name="unit" type="string">{unit}</i>\n' if unit else ""
    atoms = "".join(f"<rc><c>{name}</c><c>{n + 1}</c></rc>" for n, name in enumerate(MASSES))
    types = "".join(
        f"<rc><c>1</c><c>{name}</c><c>{mass:.4f}</c><c>1.0</c><c>PAW_PBE {name}</c></rc>"
        for name, mass in MASSES.items()
    )
    cell = "<v>5 0 0</v><v>0 6 0</v><v>0 0 7</v>"
    step = f"""<calculation>
  <scstep><energy><i name="e_fr_energy">-6.75</i><i name="e_wo_entrp">-6.65</i>
   <i name="e_0_energy">-6.70</i></energy></scstep>
  <structure><crystal><varray name="basis">{cell}</varray></crystal>
   <varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.4</v></varray></structure>
  <varray name="forces"><v>0.1 0 0</v><v>-0.1 0 0</v></varray>
  <varray name="stress"><v>10 1 0</v><v>1 20 0</v><v>0 0 30</v></varray>
  <energy><i name="e_fr_energy">-6.75</i><i name="e_wo_entrp">-6.65</i><i name="e_0_energy">-6.70</i></energy>
"""
    dynmat = f'  <dynmat>\n{mark}   <varray name="hessian" >\n{rows}\n   </varray>\n  </dynmat>\n'
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        '<generator><i name="program" type="string">vasp</i>\n<i name="version" type="string">5.4.4</i>\n'
        "</generator>\n"
        '<kpoints><varray name="kpointlist"><v>0 0 0</v></varray>'
        '<varray name="weights"><v>1</v></varray></kpoints>\n<parameters></parameters>\n'
        f'<atominfo><atoms>2</atoms><types>2</types><array name="atoms"><set>{atoms}</set></array>'
        f'<array name="atomtypes"><set>{types}</set></array></atominfo>\n'
        f'<structure name="initialpos"><crystal><varray name="basis">{cell}</varray></crystal>'
        '<varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.4</v></varray></structure>\n'
        + (step + "</calculation>\n") * (steps - 1)
        + step
        + dynmat
        + "</calculation>\n</modeling>\n"
    )


@pytest.mark.parametrize("unit", ["", "THz^2"])
def test_vasp_hessian_sign_masses_and_units(tmp_path: Path, unit: str) -> None:
    pytest.importorskip("phonopy")
    spring = np.diag([1.8, 1.8, 2.0])
    hessian = np.block([[spring, -spring], [-spring, spring]])
    path = tmp_path / "vasprun.xml"
    path.write_text(vasprun(hessian, unit, steps=3))
    frames = read_frames(path)
    assert len(frames) == 3
    np.testing.assert_allclose(read_label(frames[0]).hessian, hessian, rtol=2e-6)
    assert read_label(frames[1]) is None  # it belongs to the first structure
    first = frames[0]
    assert first.info["REF_energy"] == pytest.approx(-6.75)  # whose derivative the forces are
    assert first.info["energy_sigma0"] == pytest.approx(-6.70)
    np.testing.assert_allclose(first.arrays["REF_forces"], [[0.1, 0, 0], [-0.1, 0, 0]])
    kbar = -0.1 * 6.241509e-3  # VASP's stress has the other sign, in kbar
    np.testing.assert_allclose(first.info["REF_stress"], kbar * np.array([10, 20, 30, 0, 0, 1]), rtol=1e-6)
    np.testing.assert_allclose(first.cell.lengths(), [5, 6, 7])


def test_electronic_steps_that_have_not_converged_are_refused(tmp_path: Path) -> None:
    """As pw.x's: 3 steps of NELM = 3, whose last two energies differ."""
    limits = '<parameters><i type="int" name="NELM">   3</i>\n<i name="EDIFF">  1.0E-6</i></parameters>'
    text = re.sub(r"(?s)<dynmat>.*</dynmat>", "", vasprun(np.eye(6), "", steps=2))
    text = text.replace("<parameters></parameters>", limits)
    head, second = text.rsplit("<scstep>", 1)
    one = "<scstep>" + second[: second.index("</scstep>")] + "</scstep>\n"
    moved = one.replace("-6.75", "-6.74")
    path = tmp_path / "vasprun.xml"
    for before, is_good in ((one, True), (one + one, True), (moved, True), (moved + moved, False)):
        path.write_text(f"{head}{before}<scstep>{second}")
        if is_good:
            assert len(read_frames(path)) == 2
            continue
        with pytest.raises(DataError, match="vasprun.xml, frame 1: the electronic steps.*within NELM = 3"):
            read_frames(path)


@pytest.mark.parametrize(
    ("lines", "is_good"),
    [
        ("Iteration      1(   3)  ---", False),
        ("Iteration      1(   2)  ---", True),
        ("Iteration      1(   3)  ---\n aborting loop because EDIFF is reached", True),
        ("Iteration      1(   2)  ---\n aborting loop EDIFF was not reached (unconverged)", False),
        ("Iteration      1(   3)  ---\nIteration      2(   1)  ---", False),
    ],
)
def test_convergence_by_an_outcar(lines: str, is_good: bool) -> None:
    text = f"   NELM   =      3;   NELMIN=  2; NELMDL= -5     # of ELM steps\n{lines}\n".splitlines()
    if is_good:
        check_outcar(Path("OUTCAR"), text)
    else:
        with pytest.raises(DataError, match="OUTCAR, frame 0: the electronic steps have not converged"):
            check_outcar(Path("OUTCAR"), text)


def test_vasprun_is_a_reference_and_may_be_numbered(tmp_path: Path) -> None:
    """vasprun.xml of perturbation theory; vasprun.xml-001, as users of phonopy name them."""
    pytest.importorskip("phonopy")
    from hint_plugin.science.phonons.reference_phonons import read_reference

    spring = np.diag([1.8, 1.8, 2.0])
    text = vasprun(np.block([[spring, -spring], [-spring, spring]]), "THz^2")
    path = tmp_path / "vasprun.xml-001"
    path.write_text(text)
    constants = read_reference(path).force_constants
    np.testing.assert_allclose(constants[0, 1], -spring, rtol=2e-6)
    path.write_text(re.sub(r"(?s)<dynmat>.*</dynmat>", "", text))
    assert len(read_frames(path)) == 1
    with pytest.raises(DataError, match="1 frames and no Hessian in them.*phonopy -f"):
        read_reference(path)


def test_vasp_without_a_hessian_and_damaged(tmp_path: Path) -> None:
    text = vasprun(np.eye(6), "")
    path = tmp_path / "vasprun.xml"
    path.write_text(re.sub(r"(?s)<dynmat>.*</dynmat>", "", text))
    [atoms] = read_frames(path)
    assert read_label(atoms) is None and "REF_energy" in atoms.info
    path.write_text(text[: text.index("<dynmat>") + 150])
    with pytest.raises(DataError, match=r"vasprun.xml, frame 0"):
        read_frames(path)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("orca/CH4.hess", 0.1),
        ("orca/CH4.hess", 0.4),
        ("gaussian/water.fchk", 0.05),
        ("gaussian/water.fchk", 0.98),
    ],
)
def test_truncated_files_are_named(tmp_path: Path, name: str, part: float) -> None:
    text = (FILES / name).read_text()
    path = tmp_path / Path(name).name
    path.write_text(text[: int(part * len(text))])
    with pytest.raises(DataError, match=rf"{path.name}, frame 0"):
        read_frames(path)


def test_truncated_xtb(tmp_path: Path) -> None:
    for name in ("hessian", "xtbopt.xyz"):
        shutil.copy(FILES / "xtb" / name, tmp_path)
    text = (tmp_path / "hessian").read_text()
    (tmp_path / "hessian").write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match=r"hessian, frame 0.*144 numbers"):
        read_frames(tmp_path / "hessian")
