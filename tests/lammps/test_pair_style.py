"""`pair_style hint` in the real `lmp`: the same numbers as in Python, on any number of processes."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from artifacts import structures
from ase import Atoms, units
from ase.build import bulk, molecule
from lammps_runs import (
    SINGLE_POINT,
    Lammps,
    energies,
    header,
    read_single_point,
    run_lmp,
    single_point,
    single_points,
    write_data,
)

from hint_plugin.potentials.artifact_potential import Potential

FORCES = {"float64": 1e-9, "float32": 5e-5}
UNIT = 3e-7  # relative: LAMMPS's constants of pressure are rounded


@pytest.fixture(scope="module")
def points(models, tmp_path_factory):
    """``points(model, names, ranks, options)``: single points of structures by name, in one run of `lmp`."""

    @functools.cache
    def found(model: str, names: tuple[str, ...], ranks: int = 1, options: str = "") -> dict[str, Lammps]:
        frames = {name: atoms for name, atoms in structures().items() if name in names}
        folder = tmp_path_factory.mktemp("points")
        return single_points(folder, frames, models[model], ranks=ranks, options=options)

    return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["alphanet", "mace"])
@pytest.mark.parametrize("name", list(structures()))
def test_one_process(models, points, name, kind, dtype):
    (wanted,) = Potential(models[f"{kind} {dtype}"]).evaluate([structures()[name]])
    check(points(f"{kind} {dtype}", tuple(structures()))[name], wanted, dtype)


BOX = "box smaller than the cutoff"
RUNS = (
    ("alphanet", 2, "", ("triclinic",)),
    ("alphanet", 4, "", ("slab", BOX, "isolated atoms")),  # one process has no isolated atom
    ("mace", 4, "", ("triclinic",)),
    ("mace", 2, "", ("ethanol", BOX, "one atom")),
    ("mace", 1, "mode ghost", (BOX,)),
)


@pytest.mark.parametrize(("run", "name"), [(run, name) for run in RUNS for name in run[3]])
def test_many_processes(models, points, run, name):
    kind, ranks, options, names = run
    (wanted,) = Potential(models[f"{kind} float64"]).evaluate([structures()[name]])
    check(points(f"{kind} float64", names, ranks, options)[name], wanted, "float64")


COMPILED = ("ethanol", "slab", "isolated atoms", "one atom")


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize(
    "model", ["alphanet float64 compiled", pytest.param("mace float32 compiled", marks=pytest.mark.long)]
)
def test_compiled_models(models, points, model, name, ranks):
    (wanted,) = Potential(models[model].with_suffix(".pt")).evaluate([structures()[name]])
    found = points(model, COMPILED, ranks)[name]
    assert ", compiled), cutoff 4 A" in found.log
    check(found, wanted, model.split()[1])


def check(found, wanted, dtype):
    assert np.abs(found.forces - wanted.forces).max() <= FORCES[dtype]
    relative = {"float64": 1e-13, "float32": 3e-8}[dtype]
    np.testing.assert_allclose(found.energies, wanted.energies, rtol=relative)
    np.testing.assert_allclose(found.energy, wanted.energy, rtol=relative)
    size = np.abs(wanted.virial).max()
    assert np.abs(found.virial - wanted.virial).max() <= UNIT * size + 20 * FORCES[dtype]


def test_per_atom_virials_add_up(models, tmp_path):
    """To the virial of the whole, which is tested against dE/d strain (tests/export)."""
    atoms = structures()["triclinic"]
    for ranks in (1, 2):
        found = single_point(tmp_path, atoms, models["mace float64"], ranks=ranks)
        log = found.log.splitlines()
        start = next(i for i, line in enumerate(log) if line.split()[:2] == ["Step", "PotEng"])
        values = [float(x) for x in log[start + 1].split()]
        total = np.array(values[2:8]) * values[8]
        np.testing.assert_allclose(found.atom_virials.sum(axis=0), total, rtol=1e-9, atol=1e-3)
        assert np.abs(total).max() > 1e4


def test_shuffled_types_and_missing_ids(models, tmp_path):
    """IDs with holes, in another order than the atoms; types in another order than the model's elements."""
    atoms = structures()["ethanol"]
    path = models["alphanet float64"]
    (wanted,) = Potential(path).evaluate([atoms])
    rng = np.random.default_rng(0)
    ids = rng.choice(np.arange(1, 60), len(atoms), replace=False)
    for ranks in (1, 2):
        found = single_point(
            tmp_path, atoms, path, ranks=ranks, types=["Cu", "O", "H", "C"], ids=ids, options="device cpu"
        )
        assert np.abs(found.forces - wanted.forces).max() <= 1e-9


def test_deleted_atoms(models, tmp_path):
    """After `delete_atoms` IDs have holes, and compress is off."""
    atoms = structures()["slab"]
    path = models["mace float64"]
    (wanted,) = Potential(path).evaluate([atoms[[i for i in range(len(atoms)) if i not in (3, 7)]]])
    extra = "group gone id 4 8\ndelete_atoms group gone compress no\n"
    ids = np.array([i for i in range(len(atoms)) if i not in (3, 7)])
    for ranks in (1, 2):
        prism = write_data(tmp_path / "structure.data", atoms, ["Cu"])
        run_lmp(tmp_path, header(atoms, path, ["Cu"]) + extra + SINGLE_POINT, ranks=ranks)
        found = read_single_point(tmp_path, prism, ids)
        assert np.abs(found.forces - wanted.forces).max() <= 1e-9


def test_units_real(models, tmp_path):
    atoms = structures()["ethanol"]
    path = models["alphanet float64"]
    (wanted,) = Potential(path).evaluate([atoms])
    types = sorted(set(atoms.symbols))
    prism = write_data(tmp_path / "structure.data", atoms, types)
    run_lmp(tmp_path, header(atoms, path, types, units="real") + SINGLE_POINT)
    found = read_single_point(tmp_path, prism, energy_unit=units.kcal / units.mol)
    np.testing.assert_allclose(found.forces, wanted.forces, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.energy, wanted.energy, rtol=1e-6)


MD = """
velocity all create {temperature} 1 loop geom
fix 1 all {ensemble}
timestep {timestep}
thermo {every}
thermo_style custom step pe ke etotal temp press
thermo_modify format float %.16g
run {steps}
write_dump all custom end.dump id type x y z vx vy vz fx fy fz modify sort id format float %.16g
"""


def trajectory(
    folder: Path, atoms: Atoms, path: Path, *, ranks: int = 1, extra: str = "", **md: object
) -> tuple[np.ndarray, np.ndarray, str]:
    """Thermo lines [n, 6], the last step's x v f [N, 9], and the log."""
    types = sorted(set(atoms.symbols))
    write_data(folder / "structure.data", atoms, types)
    values = {"temperature": 600, "ensemble": "nve", "timestep": 0.001, "steps": 50, "every": 10} | md
    run_lmp(folder, header(atoms, path, types) + extra + MD.format(**values), ranks=ranks)
    log = (folder / "log.lammps").read_text()
    lines = [line.split() for line in log.splitlines()]
    numbers = [line for line in lines if len(line) == 6 and re.fullmatch(r"\d+", line[0])]
    end = np.loadtxt(folder / "end.dump", skiprows=9, ndmin=2)
    return np.array(numbers, dtype=float), end[:, 2:], log


def hot_crystal() -> Atoms:
    """Si, O and H in one cell, so hot that atoms change process within 200 steps."""
    rng = np.random.default_rng(0)
    atoms = bulk("Si", cubic=True).repeat((2, 2, 1))
    atoms.symbols[::5] = "O"
    atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    return atoms


def test_trajectories_are_the_same_on_1_2_and_4_processes(models, tmp_path):
    """200 steps, with new neighbour lists and atoms that change process."""
    atoms = hot_crystal()
    ends = {}
    for ranks in (1, 2, 4):
        _, ends[ranks], log = trajectory(
            tmp_path,
            atoms,
            models["alphanet float64"],
            ranks=ranks,
            temperature=3000,
            steps=200,
            timestep=0.0005,
        )
        assert int(re.search(r"Neighbor list builds = (\d+)", log)[1]) > 3
    for ranks in (2, 4):
        assert np.abs(ends[ranks] - ends[1]).max() <= 1e-10
    moved = np.abs(ends[1][:, :3] - atoms.positions)
    assert moved.max() > 0.5


def test_energy_drift_scales_with_the_square_of_the_timestep(models, tmp_path):
    atoms = hot_crystal()
    errors = []
    for timestep, every in ((0.002, 1), (0.001, 2)):
        thermo, *_ = trajectory(
            tmp_path,
            atoms,
            models["mace float64"],
            timestep=timestep,
            steps=round(0.1 / timestep),
            every=every,
            temperature=300,
        )
        total = thermo[:, 3]
        errors.append(np.abs(total - total[0]).max())
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)


def test_overlay_equals_plain_and_adds(models, tmp_path):
    atoms = structures()["ethanol"]
    path = models["alphanet float64"]
    types = sorted(set(atoms.symbols))
    prism = write_data(tmp_path / "structure.data", atoms, types)
    plain = single_point(tmp_path, atoms, path)
    text = header(atoms, path, types, style="hybrid/overlay hint zero 4.0").replace(
        f"pair_coeff * * {path}", f"pair_coeff * * zero\npair_coeff * * hint {path}"
    )
    run_lmp(tmp_path, text + SINGLE_POINT)
    overlay = read_single_point(tmp_path, prism)
    np.testing.assert_allclose(overlay.forces, plain.forces, atol=1e-12)
    assert overlay.energy == pytest.approx(plain.energy, rel=1e-14)
    text = header(atoms, path, types, style="hybrid/overlay hint lj/cut 4.0").replace(
        f"pair_coeff * * {path}", f"pair_coeff * * lj/cut 0.01 2.0\npair_coeff * * hint {path}"
    )
    run_lmp(tmp_path, text + SINGLE_POINT)
    added = read_single_point(tmp_path, prism)
    assert np.abs(added.forces - plain.forces).max() > 1e-3


def test_minimisation(models, tmp_path):
    atoms = structures()["box smaller than the cutoff"]
    path = models["alphanet float64"]
    types = ["Cu"]
    prism = write_data(tmp_path / "structure.data", atoms, types)
    minimise = "min_style cg\nminimize 0 1e-6 500 2000\nreset_timestep 0\n"
    run_lmp(tmp_path, header(atoms, path, types) + minimise + SINGLE_POINT)
    found = read_single_point(tmp_path, prism)
    assert np.abs(found.forces).max() < 1e-5
    assert found.energy < Potential(path).evaluate([atoms])[0].energy - 1e-5


def test_npt_rerun_and_restart(models, tmp_path):
    """NPT changes the cell; a rerun of the dump gives its energies; a restart goes on where it stopped."""
    atoms = hot_crystal()
    path = models["mace float64"]
    record = (
        "dump d all custom 10 run.dump id type x y z ix iy iz\ndump_modify d sort id format float %.16g\n"
        "restart 20 half.restart\n"
    )
    thermo, end, _ = trajectory(
        tmp_path, atoms, path, extra=record, ensemble="npt temp 600 600 0.1 tri 0 0 1.0", steps=40
    )
    assert np.ptp(thermo[:, 5]) > 0
    text = header(atoms, path, sorted(set(atoms.symbols)))
    again = "thermo_style custom step pe\nthermo_modify format float %.16g\nthermo 1\n"
    again += "rerun run.dump dump x y z box yes\n"
    run_lmp(tmp_path, text + again)
    np.testing.assert_allclose(energies(tmp_path), thermo[:, 1], rtol=1e-12)
    resumed = (
        "units metal\natom_modify map yes\nread_restart half.restart.20\nnewton on\n"
        f"pair_style hint\npair_coeff * * {path} O Si\nneighbor 1.0 bin\n"
        "neigh_modify every 1 delay 0 check yes\nfix 1 all npt temp 600 600 0.1 tri 0 0 1.0\n"
        "timestep 0.001\nrun 20\n"
        "write_dump all custom again.dump id type x y z vx vy vz fx fy fz modify sort id format float %.16g\n"
    )
    run_lmp(tmp_path, resumed)
    again = np.loadtxt(tmp_path / "again.dump", skiprows=9)[:, 2:]
    np.testing.assert_allclose(again, end, atol=1e-8)


def test_dynamical_matrix_is_the_hessian(models, tmp_path):
    """LAMMPS's own differences of forces (PHONON package) against the exact second derivatives."""
    atoms = structures()["ethanol"]
    path = models["alphanet float64"]
    types = sorted(set(atoms.symbols))
    write_data(tmp_path / "structure.data", atoms, types)
    run_lmp(tmp_path, header(atoms, path, types) + "dynamical_matrix all eskm 1e-5 file dynmat.dat\n")
    size = 3 * len(atoms)
    found = np.loadtxt(tmp_path / "dynmat.dat").reshape(size, size)
    masses = np.repeat(atoms.get_masses(), 3)
    scale = 9648.5  # eV/A^2/amu in the units of eskm, 10 J/mol/A^2/amu
    wanted = Potential(path).hessian(atoms) / np.sqrt(np.outer(masses, masses)) * scale
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_how_much_work_ghosts_are_is_said(models, tmp_path):
    found = single_point(tmp_path, hot_crystal(), models["mace float64"], ranks=4)
    assert re.search(r"pair hint: 32 atoms are 128 nodes and \d+ edges on 4 processes \(4.0 x\)", found.log)
    said = " ".join(found.log.split())
    assert "reaches 8.0 A (2 hops of 4 A), so that 4 processes do 4.0 times the work of one" in said


def test_molecules_of_a_gas(models, tmp_path):
    """Many molecules, most without neighbours in others."""
    rng = np.random.default_rng(0)
    atoms = Atoms(cell=[18, 18, 18], pbc=True)
    for corner in np.ndindex(3, 3, 3):
        piece = molecule("H2O")
        piece.rotate(rng.uniform(0, 360), rng.normal(size=3))
        piece.positions += 6 * np.array(corner) + rng.uniform(0, 2, 3)
        atoms += piece
    path = models["alphanet float64"]
    (wanted,) = Potential(path).evaluate([atoms])
    for ranks in (1, 4):
        check(single_point(tmp_path, atoms, path, ranks=ranks), wanted, "float64")


def test_forces_of_a_stretched_molecule_are_continuous_at_the_cutoff(models, tmp_path):
    """Neighbours beyond the cutoff are left out of the graph: that must not be felt."""
    forces = []
    for distance in (3.9999, 4.0001):
        atoms = molecule("H2")
        atoms.positions[:] = [[0, 0, 0], [0, 0, distance]]
        forces.append(single_point(tmp_path, atoms, models["mace float64"]).forces)
    assert np.abs(forces[0] - forces[1]).max() < 1e-8


def test_fix_ipi(models, tmp_path):
    """LAMMPS as the client of i-PI makes the run that HINT's own client makes."""
    ipi_runs = pytest.importorskip("ipi_runs")
    phonons = pytest.importorskip("ipi_driver.phonons")
    pytest.importorskip("ipi")
    atoms, types, path = structures()["ethanol"], ["C", "H", "O"], models["alphanet float64"]
    atoms.set_cell([phonons.ISOLATED] * 3)
    atoms.pbc = True
    atoms.positions += phonons.ISOLATED / 2 - atoms.positions.mean(axis=0)
    outputs = []
    for client in ("lmp", "hint"):
        folder = tmp_path / client
        folder.mkdir()
        (folder / "start.xyz").write_text(phonons.start_text(atoms))
        atoms.write(folder / "template.xyz", format="extxyz")
        address = ipi_runs.unique()
        (folder / "input.xml").write_text(ipi_runs.simulation(ipi_runs.socket(address), steps=5))
        server = ipi_runs.launch(folder, "i-pi", "input.xml")
        if client == "lmp":
            write_data(folder / "structure.data", atoms, types)
            text = header(atoms, path, types) + f"fix ipi all ipi {address} 31415 unix\nrun 100000\n"
            ipi_runs.wait_for_path(Path(f"/tmp/ipi_{address}"))
            assert "EXIT" in run_lmp(folder, text, check=False).stdout
        else:
            options = ("--model", path, "--template", "template.xyz", "--address", address)
            assert ipi_runs.launch(folder, "hint", "ipi", "run", *options).wait(timeout=120) == 0
        assert server.wait(timeout=60) == 0
        outputs.append(np.loadtxt(folder / "run.out"))
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-7)


def test_from_python(models, tmp_path):
    """LAMMPS's own module, and ASE's LAMMPSlib, run the style."""
    atoms = structures()["ethanol"]
    atoms.set_cell([20, 20, 20])
    atoms.pbc = True
    atoms.write(tmp_path / "atoms.xyz")
    script = f"""
import lammps_pair; lammps_pair.preload()
import numpy as np
from ase.io import read
from ase.calculators.lammpslib import LAMMPSlib
from hint_plugin.potentials.hint_calculator import HintCalculator

atoms = read("atoms.xyz")
wanted = HintCalculator({str(models["alphanet float64"])!r}).potential.evaluate([atoms])[0]
atoms.calc = LAMMPSlib(
    lmpcmds=["pair_style hint", "pair_coeff * * {models["alphanet float64"]} C H O"],
    atom_types={{"C": 1, "H": 2, "O": 3}}, keep_alive=True,
    lammps_header=["units metal", "atom_style atomic", "atom_modify map yes"], log_file="lib.log",
)
assert abs(atoms.get_forces() - wanted.forces).max() < 1e-9
assert abs(atoms.get_potential_energy() - wanted.energy) < 1e-9
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


@pytest.mark.parametrize("name", ["lammps_module", "lammps_ase"])
def test_examples_from_python(models, tmp_path, name):
    script = Path(__file__).parents[2] / "examples" / f"{name}.py"
    command = [sys.executable, str(script), str(models["alphanet float64"])]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert re.search(r"-?\d+\.\d{6} eV", result.stdout)
