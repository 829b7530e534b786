"""Quantum ESPRESSO: inputs, outputs of real runs, and the programs themselves where they are installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io.espresso import read_espresso_in, read_fortran_namelist
from ase.units import Bohr, Rydberg

from hint_plugin.dft.qe_input import QEOptions, ph_input, pw_input, read_pw
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.labelling import make_engine, make_labels
from hint_plugin.potentials.engines.qe import QuantumEspresso
from hint_plugin.settings import parse_options

DATA = Path(__file__).parents[1] / "data" / "qe"
PSEUDO = Path("/usr/share/espresso/pseudo")  # where Debian's quantum-espresso-data puts them
SILICON = {"ecutwfc": 10, "kpts": (2, 2, 2), "pseudopotentials.Si": "Si.pz-vbc.UPF"}

needs_pw = pytest.mark.skipif(
    shutil.which("pw.x") is None or not (PSEUDO / "Si.pz-vbc.UPF").is_file(),
    reason="needs pw.x and Si.pz-vbc.UPF (Debian: quantum-espresso, quantum-espresso-data)",
)


def silicon() -> Atoms:
    atoms = bulk("Si")
    atoms.rattle(0.02, seed=0)
    return atoms


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Si.pz.UPF", "H.pbe.upf", "H_std.upf", "He.UPF", "notes.txt"):
        (tmp_path / name).write_text("")
    return tmp_path


def options(folder: Path, **values: object) -> QEOptions:
    return parse_options(QEOptions, {"pseudo_dir": folder, "ecutwfc": 30, **values}, "engine qe")


def test_what_the_frame_and_the_options_say_is_told(folder):
    atoms = silicon()
    found = options(folder, **{"kspacing": "0.3", "ecutrho": 200, "input.system.nspin": "2"})
    told = QuantumEspresso.settings(found)
    assert (told["input"], told["ecutrho_Ry"], told["engine_version"]) == ("system.nspin=2", 200, None)
    atoms.info["total_charge"] = -1  # MACE's key
    assert QuantumEspresso.of_structure(found, atoms)["charge"] == -1
    atoms.info = {"charge": 0, "total_charge": 1}
    with pytest.raises(EngineError, match="contradict"):
        QuantumEspresso.of_structure(found, atoms)
    atoms.info = {"spin": 3}
    assert QuantumEspresso.of_structure(found, atoms)["charge"] == 0  # nspin is in the input
    plain = options(folder, kspacing="0.3")
    with pytest.raises(EngineError, match=r"multiplicity 3.*tot_magnetization=2"):
        QuantumEspresso.of_structure(plain, atoms)
    atoms.set_initial_magnetic_moments([1.0, 1.0])
    QuantumEspresso.of_structure(plain, atoms)


def test_the_input_says_what_the_options_say(folder, tmp_path):
    atoms = silicon()
    found = options(
        folder,
        **{"kspacing": "0.3", "smearing": "mv", "degauss": "0.01", "input.system.nbnd": "8"},
        **{"input.electrons.mixing_beta": "0.4", "ecutrho": 200},
    )
    (tmp_path / "pw.in").write_text(pw_input(found, atoms, charge=1, from_density=True))
    with open(tmp_path / "pw.in") as handle:
        namelist, _ = read_fortran_namelist(handle)
        handle.seek(0)
        structure = read_espresso_in(handle)
    np.testing.assert_allclose(structure.positions, atoms.positions, atol=1e-9)
    np.testing.assert_allclose(structure.cell.array, atoms.cell.array, atol=1e-9)
    system, electrons = namelist["system"], namelist["electrons"]
    assert (system["ecutwfc"], system["ecutrho"], system["nbnd"], system["tot_charge"]) == (30, 200, 8, 1)
    assert (system["occupations"], system["smearing"], system["degauss"]) == ("smearing", "mv", 0.01)
    assert (electrons["startingpot"], electrons["mixing_beta"]) == ("file", 0.4)
    assert namelist["control"]["tprnfor"] and namelist["control"]["tstress"]
    # |b| = sqrt(3)/a for fcc: 2 pi 1.7321/5.43 = 2.004 1/A, at most 0.3 apart
    assert (
        "7 7 7  0 0 0" in (tmp_path / "pw.in").read_text() and "Si.pz.UPF" in (tmp_path / "pw.in").read_text()
    )
    assert "startingpot" not in pw_input(found, atoms, charge=0)


def test_pseudopotentials_are_found_or_asked_for(folder):
    grid = {"kpts": "1,1,1"}
    hydrogen = Atoms("H", cell=[3, 3, 3], pbc=True)
    with pytest.raises(EngineError, match=r"several \(H.pbe.upf, H_std.upf\).*pseudopotentials.H=FILE"):
        pw_input(options(folder, **grid), hydrogen, 0)
    assert "H_std.upf" in pw_input(
        options(folder, **grid, **{"pseudopotentials.H": "H_std.upf"}), hydrogen, 0
    )
    assert "He.UPF" in pw_input(options(folder, **grid), Atoms("He", cell=[3, 3, 3], pbc=True), 0)
    with pytest.raises(EngineError, match="pseudopotential of C .*none") as caught:
        pw_input(options(folder, **grid), bulk("C"), 0)
    assert caught.value.kind == "element"


def test_options_that_do_not_fit(folder):
    run = {"command": "true"}  # any program will do
    with pytest.raises(OptionsError, match="kspacing or kpts"):
        QuantumEspresso.check(options(folder, **run))
    with pytest.raises(OptionsError, match="keep=FOLDER"):
        QuantumEspresso.check(options(folder, **run, kpts="1,1,1", ph_grid="2,2,2", ph_command="true"))
    engine = make_engine("qe", pseudo_dir=folder, ecutwfc=30, kpts="1,1,1", **run)
    with pytest.raises(EngineError, match="3D-periodic") as caught:
        make_labels(engine, molecule("H2O"), "none")
    assert caught.value.kind == "cell" and not engine.translation_invariant


def test_phonon_input(folder):
    text = ph_input(
        options(folder, ph_grid="2,2,1", **{"ph_input.epsil": "true", "ph_input.tr2_ph": "1e-16"})
    )
    namelist, _ = read_fortran_namelist(iter(text.splitlines()[1:]))
    values = namelist["inputph"]
    assert [values[f"nq{i}"] for i in (1, 2, 3)] == [2, 2, 1]
    assert (
        values["ldisp"] and values["epsil"] and values["tr2_ph"] == 1e-16 and values["fildyn"] == "hint.dyn"
    )


def test_output_of_pw():
    """Against the numbers of the file: Ry, Ry/bohr, and Ry/bohr^3 with the other sign."""
    point = read_pw(DATA / "si.pw.out")
    text = (DATA / "si.pw.out").read_text()
    energy = float(text.split("!    total energy")[1].split("=")[1].split()[0])
    assert point.energy == pytest.approx(energy * Rydberg, rel=1e-7) and energy < -15
    force = np.array(text.split("force =")[1].split()[:3], dtype=float)
    np.testing.assert_allclose(point.forces[0], force * Rydberg / Bohr, rtol=1e-6)
    first_row = np.array(text.split("total   stress")[1].split("\n")[1].split()[:3], dtype=float)
    np.testing.assert_allclose(point.stress[[0, 5, 4]], -first_row * Rydberg / Bohr**3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [("not_converged", "scf", "not converged"), ("stopped", "program", "too few bands")],
)
def test_failures_of_pw_are_told_apart(name, kind, message):
    with pytest.raises(EngineError, match=message) as caught:
        read_pw(DATA / f"{name}.pw.out")
    assert caught.value.kind == kind


def test_output_that_was_cut_off(tmp_path):
    text = (DATA / "si.pw.out").read_text()
    (tmp_path / "cut.out").write_text(text[: len(text) // 2])
    with pytest.raises(EngineError, match="ended early"):
        read_pw(tmp_path / "cut.out")


def test_a_program_that_fails(folder):
    engine = make_engine("qe", pseudo_dir=folder, ecutwfc=30, kpts="1,1,1", command="false")
    with pytest.raises(EngineError, match="status 1") as caught:
        make_labels(engine, silicon(), "none")
    assert caught.value.kind == "program"


@needs_pw
def test_forces_of_pw_are_its_gradient(tmp_path):
    engine = make_engine("qe", pseudo_dir=PSEUDO, **SILICON)
    rng = np.random.default_rng(0)
    labels = make_labels(engine, silicon(), "projected", n_probes=1, rng=rng)
    assert labels.provenance["engine_version"].startswith("Quantum ESPRESSO")
    assert labels.provenance["kpoints"] == "2x2x2"
    prepared = engine.prepare(silicon())
    energies = []
    for sign in (1, -1):
        moved = silicon()
        moved.positions[0, 2] += sign * 0.01
        prepared._atoms = moved
        energies.append(prepared.single_point().energy)
    force = labels.point.forces[0, 2]
    assert (energies[0] - energies[1]) / 0.02 == pytest.approx(-force, rel=0.01)
    assert labels.hessian.noise < 0.05


@needs_pw
@pytest.mark.skipif(shutil.which("ph.x") is None, reason="needs ph.x (Debian: quantum-espresso)")
def test_ph_agrees_with_differences_of_pw(tmp_path):
    """One primitive cell: its Hessian is the dynamical matrix at Gamma. Seen: 2.5e-3 eV/A^2."""
    keep = tmp_path / "kept"
    with_ph = make_engine("qe", pseudo_dir=PSEUDO, **SILICON, ph_grid="1,1,1", keep=keep)
    labels = make_labels(with_ph, silicon(), "none")
    start = Path(labels.provenance["dynamical_matrices"])
    lines = start.with_name("hint.dyn1").read_text().splitlines()
    heads = [
        i
        for i, line in enumerate(lines)
        if line.split() in ([["1", "1"], ["1", "2"], ["2", "1"], ["2", "2"]])
    ]
    blocks = [[[float(x) for x in line.split()[::2]] for line in lines[i + 1 : i + 4]] for i in heads[:4]]
    matrix = np.array(blocks).reshape(2, 2, 3, 3).transpose(0, 2, 1, 3).reshape(6, 6) * Rydberg / Bohr**2
    rows = make_labels(make_engine("qe", pseudo_dir=PSEUDO, **SILICON), silicon(), "rows", row_atoms=[0])
    assert np.abs(matrix).max() > 10
    assert np.abs(matrix[:3] - rows.hessian.hessian).max() < 0.02
    assert not (start.parent / "out").exists()
