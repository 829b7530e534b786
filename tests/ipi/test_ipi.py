"""Exported potentials in the real i-PI: the same numbers, one by one or batched, and no hang whoever dies."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import warm
from artifacts import structures
from ase import Atoms
from ase.build import bulk
from ase.cell import Cell
from ase.io import read
from ipi.utils.units import Elements, unit_to_internal
from ipi_runs import (
    PATIENCE,
    Process,
    direct,
    free_port,
    launch,
    simulation,
    socket,
    unique,
    wait_for_path,
    wait_until_still,
)
from pair_artifact import write_pair

import ipi_driver
from hint_plugin.artifact.domain import TrainingDomain, TrainingDomainWarning
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.science.anharmonic import Evaluator, SschaSettings, from_phonopy, relax
from hint_plugin.science.anharmonic import begin as begin_sscha
from hint_plugin.science.phonons import harmonic_phonons
from ipi_driver.client import ServerLostError, connect, wait_for_server
from ipi_driver.driver import BOHR, HARTREE, HintDriver
from ipi_driver.phonon_report import read_report
from ipi_driver.phonons import start_text, upright, write_start
from ipi_driver.template import read_template

FORCES = {"float64": 1e-9, "float32": 5e-5}

ASK = """
import sys, numpy as np
from ipi.scripting import InteractiveSimulation
simulation = InteractiveSimulation(open("input.xml"))
simulation.run(1)
system = simulation.syslist[0]
np.savez("found.npz", positions=system.beads.q.reshape(2, -1, 3), cell=np.array(system.cell.h).T,
    energy=np.array(system.forces.pots), forces=np.array(system.forces.f).reshape(2, -1, 3),
    virial=np.array(system.forces.virs))
"""


LONG = pytest.mark.long
SHAPES = ("ethanol", "triclinic", "slab", "box smaller than the cutoff", "one atom")
FIRST = {("mace float64", "triclinic"), ("alphanet float32", "ethanol")}
"""Beside all shapes of structures with the one model; the other pairs are `long`."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=[] if kind == "alphanet float64" or (kind, name) in FIRST else LONG)
        for kind in ("alphanet float64", "mace float64", "alphanet float32")
        for name in SHAPES
    ],
)
def test_forces_in_ipi_are_those_of_the_artifact(models, tmp_path, kind, name):
    """As i-PI holds them after a step of two beads, which share a call of the model."""
    atoms = upright(structures()[name])
    (tmp_path / "start.xyz").write_text(start_text(atoms))
    atoms.write(tmp_path / "template.xyz", format="extxyz")
    (tmp_path / "input.xml").write_text(simulation(direct(str(models[kind]), batch=2), beads=2))
    result = warm.run([sys.executable, "-c", ASK], cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    found = np.load(tmp_path / "found.npz")
    potential = Potential(models[kind])
    dtype = potential.metadata.dtype
    for bead in range(2):
        moved = atoms.copy()
        moved.positions = found["positions"][bead] * BOHR
        if atoms.pbc.any():
            moved.set_cell(found["cell"] * BOHR)
        (wanted,) = potential.evaluate([moved])
        forces = found["forces"][bead] * HARTREE / BOHR
        assert np.abs(forces - wanted.forces).max() <= FORCES[dtype]
        assert found["energy"][bead] * HARTREE == pytest.approx(
            wanted.energy, rel=1e-12 if dtype == "float64" else 1e-7
        )
        virial = found["virial"][bead] * HARTREE  # i-PI keeps the upper half
        np.testing.assert_allclose(
            np.triu(virial), np.triu(wanted.virial), atol=20 * FORCES[dtype], rtol=1e-8
        )
    assert np.abs(found["positions"][0] - found["positions"][1]).max() > 0 or name == "one atom"


def output(folder: Path) -> np.ndarray:
    return np.loadtxt(folder / "run.out", ndmin=2)


def finish(process: Process, seconds: float = PATIENCE) -> int:
    try:
        return process.wait(timeout=seconds)
    finally:
        process.kill()


def our_client(model: Path, address: object, template: str = "template.xyz") -> tuple[object, ...]:
    return ("hint", "ipi", "run", "--model", model, "--template", template, "--address", address)


def run_pair(place: Path, xml: str, *client: object) -> tuple[int, int]:
    """i-PI and a client; their exit statuses."""
    (place / "input.xml").write_text(xml)
    server = launch(place, "i-pi", "input.xml")
    worker = launch(place, *client)
    return finish(server), finish(worker)


def test_sockets_of_every_kind_give_the_same_run(models, place):
    """UNIX and TCP, our client and i-PI's own, one structure a message and eight."""
    model = models["alphanet float64"]
    runs = []
    for batch in (1, 8):
        name = unique()
        xml = simulation(socket(name, batch=batch), beads=8, steps=5, mode="nvt")
        assert run_pair(place, xml, *our_client(model, name)) == (0, 0)
        runs.append(output(place))
    port = free_port()
    xml = simulation(socket("localhost", port=port), beads=8, steps=5, mode="nvt")
    assert run_pair(place, xml, *our_client(model, "localhost"), "--port", port) == (0, 0)
    assert (
        "connected; the structure is not periodic (template template.xyz)" in (place / "hint.log").read_text()
    )
    runs.append(output(place))
    name = unique()
    stock = ("i-pi-driver-py", "-m", "custom", "-P", ipi_driver.path(), "-u", "-a", name)
    (place / "input.xml").write_text(simulation(socket(name), beads=8, steps=5, mode="nvt"))
    server = launch(place, "i-pi", "input.xml")
    wait_for_path(Path(f"/tmp/ipi_{name}"))
    worker = launch(place, *stock, "-o", f"template=template.xyz,model={model}")
    assert (finish(server), finish(worker)) == (0, 0)
    runs.append(output(place))
    for other in runs[1:]:
        np.testing.assert_allclose(other, runs[0], rtol=1e-7)
    assert runs[0].shape == (6, 4) and np.ptp(runs[0][:, 2]) > 0


def wait_for_file(path: Path, text: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{text!r} not in {path}: {path.read_text()[-2000:] if path.exists() else ''}")


def wait_for_steps(place: Path, steps: int, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        out = place / "run.out"
        if out.exists() and len([x for x in out.read_text().splitlines() if not x.startswith("#")]) > steps:
            return
        time.sleep(0.05)
    raise AssertionError(f"i-PI makes no steps: {(place / 'i-pi.log').read_text()[-2000:]}")


def begin(place: Path, xml: str, client: tuple[object, ...], steps: int) -> tuple[Process, Process]:
    """i-PI and a client, after so many steps."""
    (place / "input.xml").write_text(xml)
    server, worker = launch(place, "i-pi", "input.xml"), launch(place, *client)
    wait_for_steps(place, steps)
    return server, worker


@pytest.mark.parametrize("victim", ["server", pytest.param("client", marks=LONG)])
def test_after_a_kill_nothing_hangs_and_a_restart_goes_on(models, place, victim):
    """SIGKILL. (i-PI 3.3.1 itself does not survive a client that is killed; it is killed, too.)"""
    name = unique()
    client = our_client(models["alphanet float64"], name)
    server, worker = begin(place, simulation(socket(name), steps=100000), client, steps=12)
    worker.send_signal(signal.SIGSTOP)  # i-PI waits: its checkpoint is whole
    wait_until_still(place / "run.out", place / "run.checkpoint")
    (worker if victim == "client" else server).kill()
    server.kill()
    worker.send_signal(signal.SIGCONT)
    assert finish(worker) == (-9 if victim == "client" else 2)
    if victim == "server":
        log = (place / "hint.log").read_text()
        assert re.search("error: (i-PI closed|the connection to i-PI broke)", log)
    checkpoint = (place / "run.checkpoint").read_text()
    again, count = re.subn(
        r"<total_steps>\s*100000\s*</total_steps>", "<total_steps>40</total_steps>", checkpoint
    )
    assert count == 1
    (place / "again.xml").write_text(again)
    server.wait()
    Path(f"/tmp/ipi_{name}").unlink()  # as i-PI asks for
    server = launch(place, "i-pi", "again.xml")
    worker = launch(place, *client)
    assert (finish(server), finish(worker)) == (0, 0)
    steps = output(place)[:, 0]
    assert steps[-1] == 40
    conserved = output(place)[:, 1]
    assert np.ptp(conserved) < 1e-4


def test_a_new_client_takes_the_place_of_one_that_is_ended(models, place):
    """As batch systems end a job: SIGTERM."""
    name = unique()
    client = our_client(models["alphanet float64"], name)
    server, worker = begin(place, simulation(socket(name), steps=100000), client, steps=5)
    worker.terminate()
    assert finish(worker) == 130
    wait_until_still(place / "run.out")
    done = len(output(place))
    worker = launch(place, *client)
    wait_for_steps(place, done + 5)
    (place / "EXIT").touch()
    assert (finish(server), finish(worker)) == (0, 0)


def test_a_client_that_is_told_to_waits_for_the_server_to_come_back(models, place):
    name = unique()
    (place / "input.xml").write_text(simulation(socket(name), steps=100000))
    client = our_client(models["alphanet float64"], name)
    worker = launch(place, *client, "--reconnect", "60")  # before the server, too
    server = launch(place, "i-pi", "input.xml")
    wait_for_steps(place, 5)
    server.kill()
    wait_for_file(place / "hint.log", "waiting 60 s for it to come back")
    Path(f"/tmp/ipi_{name}").unlink(missing_ok=True)
    (place / "run.out").unlink()
    (place / "input.xml").write_text(simulation(socket(name), steps=10))
    server = launch(place, "i-pi", "input.xml")
    assert (finish(server), finish(worker)) == (0, 0)
    assert output(place)[-1, 0] == 10


def test_no_server_is_one_sentence():
    def refused() -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    start = time.monotonic()
    with pytest.raises(ServerLostError, match="i-PI does not answer .*Connection refused.*is it running"):
        wait_for_server(refused, 0.5)
    assert time.monotonic() - start > 0.4


CONFIGS = Path(__file__).parents[2] / "configs" / "ipi"


def example(name: str, folder: Path, model: Path, **changes: str) -> np.ndarray:
    """Runs an input of `configs/ipi` as it says; its output."""
    address = unique()
    text = (
        (CONFIGS / f"{name}.xml")
        .read_text()
        .replace("<address> hint </address>", f"<address> {address} </address>")
    )
    for tag, value in changes.items():
        text, count = re.subn(rf"<{tag}>[^<]*</{tag}>", f"<{tag}> {value} </{tag}>", text)
        assert count == 1, tag
    (folder / "acetaldehyde.xyz").write_text((CONFIGS / "acetaldehyde.xyz").read_text())
    client = our_client(model, address, "acetaldehyde.xyz")
    assert run_pair(folder, text, *client) == (0, 0), (folder / "i-pi.log").read_text()[-2000:]
    return np.loadtxt(folder / f"{name}.out", ndmin=2)


def test_example_nve(models, tmp_path):
    found = example("nve", tmp_path, models["mace float64"], total_steps="200")
    assert found[-1, 0] == 200
    assert np.ptp(found[:, 2]) < 0.02 * np.ptp(found[:, 3])  # conserved, while the potential is not


@LONG
def test_example_pimd(models, tmp_path):
    """16 beads, one call of the model a step."""
    found = example("pimd", tmp_path, models["mace float64"], total_steps="100")
    assert found[-1, 0] == 100
    assert np.ptp(found[:, 2]) < 0.02 * np.ptp(found[:, 3])


@LONG
def test_example_scp(models, tmp_path):
    """Starts at the harmonic frequencies of the exact Hessian, and renormalises them."""
    model = models["mace float64"]
    (tmp_path / "acetaldehyde.xyz").write_text((CONFIGS / "acetaldehyde.xyz").read_text())
    assert (
        finish(launch(tmp_path, "hint", "ipi", "scp", "--model", model, "--template", "acetaldehyde.xyz"))
        == 0
    )
    example("scp", tmp_path, model)
    start = read(tmp_path / "start.xyz")
    hessian = Potential(model).hessian(start)
    masses = np.repeat([Elements.mass(s) for s in start.symbols], 3)
    wanted = np.linalg.eigvalsh(hessian * BOHR**2 / HARTREE / np.sqrt(np.outer(masses, masses)))
    found = np.loadtxt(tmp_path / "scp.sc.w.0")
    wanted = np.sort(np.sqrt(np.abs(wanted)))
    kept = wanted > 4e-5  # i-PI calls lower ones zero
    assert kept.sum() > 10
    np.testing.assert_allclose(np.sort(found)[kept], wanted[kept], rtol=1e-3)
    last = np.loadtxt(tmp_path / "scp.sc.w.3")
    assert not np.allclose(found, last, rtol=0.005)


def test_example_scp_of_a_crystal(tmp_path, monkeypatch):
    """Without free coordinates: i-PI moves off the harmonic frequencies, to those of `hint sscha`.

    LiH in the structure of caesium chloride by a pair potential; its start.xyz is the template.
    """
    monkeypatch.chdir(tmp_path)
    model = write_pair(tmp_path / "b2.hint.pt", ("H", "Li"), distance=1.9, cutoff=5.0)
    crystal = bulk("HLi", "cesiumchloride", a=2.5)
    crystal.write("b2.xyz", format="extxyz")
    (start, dynmat, lowest) = write_start(Potential(model), crystal, tmp_path, 1e-4)
    assert (start.name, dynmat.name) == ("start.xyz", "dynmat.txt") and lowest > -1e-12
    address = unique()
    text = (CONFIGS / "scp.xml").read_text()
    for old, new in (
        ("<address> hint ", f"<address> {address} "),
        ("(21, 21)", "(6, 6)"),
        ("<asr> poly", "<asr> crystal"),
    ):
        assert old in text
        text = text.replace(old, new)
    assert run_pair(tmp_path, text, *our_client(model, address, "start.xyz")) == (0, 0)
    said = (tmp_path / "hint.log").read_text()
    assert "connected; the structure is periodic along a, b, c (template start.xyz)" in said
    harmonic, *found = (np.loadtxt(f"scp.sc.w.{k}")[3:] * 219474.63 for k in range(4))
    calculator = HintCalculator(model)
    begun = from_phonopy(harmonic_phonons(crystal, calculator, 1), (1, 1, 1))
    settings = SschaSettings(temperature=300.0, configurations=200)
    wanted = relax(begin_sscha(begun, settings), Evaluator(calculator), settings).constants.frequencies()[
        0, 3:
    ]
    np.testing.assert_allclose(harmonic, begun.frequencies()[0, 3:], rtol=1e-3)
    assert np.mean(wanted) > 1.2 * np.mean(harmonic)
    for iteration in found:
        assert not np.allclose(iteration, harmonic, rtol=0.02)
    report = read_report("scp.sc", read_template(Path("start.xyz")))
    assert len(report.iterations) == 4 and report.last.before == 600 >= report.last.effective > 200
    np.testing.assert_allclose(report.last.used, found[-1], rtol=1e-6)
    spread = np.hypot(report.last.error, report.last.error_of_used)
    assert np.all(np.abs(report.last.wanted - wanted) < 5 * spread + 0.01 * wanted)
    assert report.iterations[0].unsettled.any()  # the harmonic start
    print(report.why())
    assert np.mean(found[-1]) == pytest.approx(np.mean(wanted), rel=0.06)  # 200 structures; i-PI: no symmetry


def test_units_are_those_of_ipi():
    assert abs(unit_to_internal("length", "angstrom", 1.0) * BOHR - 1.0) < 1e-12
    assert abs(unit_to_internal("energy", "electronvolt", 1.0) * HARTREE - 1.0) < 1e-12


BOX = [[4.0, 0, 0], [0.5, 4.2, 0], [-0.3, 0.2, 4.4]]
PLACES = np.array([[0.1, 0.2, 0.3], [2.0, 2.1, 2.2]])


class TestTemplate:
    """Files of i-PI by their cell, files of ASE by what they say."""

    @staticmethod
    def written(path: Path, comment: str, positions: np.ndarray = PLACES) -> Path:
        rows = [f"{s} {' '.join(map(repr, map(float, x)))}" for s, x in zip("HO", positions, strict=True)]
        path.write_text("\n".join(["2", comment, *rows]) + "\n")
        return path

    @pytest.mark.parametrize("unit", ["angstrom", "atomic_unit"])
    @pytest.mark.parametrize("kind", ["abcABC", "H", "GENH"])
    @pytest.mark.parametrize("brackets", ["()", "{}"])
    def test_cells_of_ipi(self, tmp_path, kind, unit, brackets):
        cell = np.array(BOX)
        upper, turn = Cell(cell).standard_form()
        upper, places = upper.array, PLACES if kind == "GENH" else PLACES @ turn.T
        rows = {"abcABC": Cell(cell).cellpar(), "H": upper.T.ravel(), "GENH": cell.ravel()}
        numbers = np.array(rows[kind])
        scale = 1.0 if unit == "angstrom" else 1 / BOHR
        numbers[: 3 if kind == "abcABC" else 9] *= scale
        row = " ".join(f"{x:.14g}" for x in numbers)
        comment = f"# CELL{brackets[0]}{kind}{brackets[1]}: {row} positions{{{unit}}} cell{{{unit}}}"
        found = read_template(self.written(tmp_path / "i.xyz", comment, places * scale))
        assert found.pbc.all() and list(found.symbols) == ["H", "O"]
        np.testing.assert_allclose(found.cell.array, upper, atol=1e-6)
        np.testing.assert_allclose(
            found.get_distance(0, 1, mic=True),
            Atoms("HO", places, cell=cell, pbc=True).get_distance(0, 1, mic=True),
            atol=1e-6,
        )

    @pytest.mark.parametrize("name", sorted(structures()))
    def test_a_start_of_ours_says_what_it_was(self, tmp_path, name):
        atoms = upright(structures()[name])
        (tmp_path / "start.xyz").write_text(start_text(atoms))
        found = read_template(tmp_path / "start.xyz")
        assert found.pbc.tolist() == atoms.pbc.tolist() or atoms.cell.rank < 3
        np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-6)
        assert np.array_equal(found.numbers, atoms.numbers)

    def test_files_of_ase(self, tmp_path):
        assert not read_template(self.written(tmp_path / "plain.xyz", "a comment")).pbc.any()
        slab = structures()["slab"]
        slab.write(tmp_path / "slab.xyz", format="extxyz")
        assert read_template(tmp_path / "slab.xyz").pbc.tolist() == [True, True, False]
        with pytest.raises(DataError, match=r"template .*broken.xyz cannot be read"):
            read_template(self.written(tmp_path / "broken.xyz", "# CELL(abcABC): 1 2 three 90 90 90"))
        (tmp_path / "empty.xyz").write_text("0\n\n")
        with pytest.raises(DataError, match=r"template .*empty.xyz (has no atoms|cannot be read)"):
            read_template(tmp_path / "empty.xyz")


class TestPeriodicity:
    """A crystal of i-PI is one for the driver, or it is an error."""

    CRYSTAL = bulk("HLi", "cesiumchloride", a=2.5)

    @pytest.fixture
    def model(self, tmp_path, monkeypatch) -> str:
        monkeypatch.chdir(tmp_path)
        return str(write_pair(tmp_path / "b2.hint.pt", ("H", "Li"), distance=1.9, cutoff=5.0))

    def energy(self, driver: HintDriver, atoms: Atoms) -> float:
        return float(driver.compute(atoms.cell.array.T / BOHR, atoms.positions / BOHR)[0]) * HARTREE

    def test_a_file_of_ipi_is_a_crystal(self, model, capsys):
        Path("start.xyz").write_text(start_text(self.CRYSTAL))
        wanted = Potential(model).evaluate([self.CRYSTAL])[0].energy
        driver = HintDriver("start.xyz", model)
        assert self.energy(driver, self.CRYSTAL) == pytest.approx(wanted, abs=1e-9)
        self.energy(driver, self.CRYSTAL)
        assert (
            capsys.readouterr().err.count("the structure is periodic along a, b, c (template start.xyz)") == 1
        )

    @pytest.mark.parametrize("name", ["plain.xyz", "said.extxyz"])
    def test_a_template_that_is_not_periodic_is_refused(self, model, name):
        bare = Atoms(self.CRYSTAL.symbols, self.CRYSTAL.positions)
        bare.write(name, format="extxyz" if "ext" in name else "xyz")
        driver = HintDriver(name, model)
        with pytest.raises(
            DataError, match=r"is not periodic, and in i-PI's cell atoms are within the cutoff"
        ):
            self.energy(driver, self.CRYSTAL)
        alone = bare.copy()
        alone.set_cell([20.0] * 3)  # around a molecule a cell is empty space
        wanted = Potential(model).evaluate([bare])[0].energy
        assert self.energy(driver, alone) == pytest.approx(wanted, abs=1e-9)
        alone.set_cell([4.5] * 3)  # and is still looked at when it has shrunk
        with pytest.raises(DataError, match="within the cutoff"):
            self.energy(driver, alone)

    def test_a_slab_of_a_crystal_is_refused(self, model):
        """pbc "T T F" in the comment, and images within the cutoff along c."""
        slab = self.CRYSTAL.copy()
        slab.pbc = [True, True, False]
        slab.write("slab.extxyz", format="extxyz")
        driver = HintDriver("slab.extxyz", model)
        with pytest.raises(DataError, match=r"is not periodic along c, and in i-PI's cell"):
            self.energy(driver, self.CRYSTAL)
        slab.cell[2] = slab.cell[2] + [0, 0, 20.0]
        wanted = Potential(model).evaluate([slab])[0].energy
        assert self.energy(driver, slab) == pytest.approx(wanted, abs=1e-9)

    def test_outside_of_the_training_is_said_once(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        domain = TrainingDomain(("H", "Li"), {"H-Li": 2.4}, None, 1).as_dict()
        model = write_pair(tmp_path / "b2.hint.pt", ("H", "Li"), cutoff=5.0, training_domain=domain)
        Path("start.xyz").write_text(start_text(self.CRYSTAL))
        driver = HintDriver("start.xyz", str(model))
        with pytest.warns(TrainingDomainWarning, match=r"\(H-Li\) are 2.17 A apart|no such pair") as said:
            self.energy(driver, self.CRYSTAL)
            self.energy(driver, self.CRYSTAL)
        assert len([w for w in said if w.category is TrainingDomainWarning]) == 1


class TestAddresses:
    """What no socket can have is said at once; nobody waits a minute for it."""

    @pytest.mark.parametrize("port", [99999, 0, -1])
    def test_ports(self, port):
        with pytest.raises(OptionsError, match=f"port {port}; wanted a number from 1 to 65535"):
            wait_for_server(lambda: connect("localhost", port), 60)

    def test_names(self):
        with pytest.raises(
            OptionsError, match=r"the UNIX socket /tmp/ipi_xx.* has a name that no system takes"
        ):
            wait_for_server(lambda: connect("x" * 200, None), 60)


class TestDriver:
    """Called as i-PI calls it."""

    @pytest.fixture
    def files(self, place, models, monkeypatch):
        monkeypatch.chdir(place)
        return {"template": "template.xyz", "model": str(models["alphanet float64"])}

    @staticmethod
    def bohr(atoms):
        return atoms.cell.array.T / BOHR, atoms.positions / BOHR

    def test_a_committee_is_its_mean(self, files, models):
        paths = [models["alphanet float64"], models["mace float64"]]
        driver = HintDriver(files["template"], ";".join(map(str, paths)))
        atoms = read("template.xyz")
        energy, forces, virial, extras = driver.compute(*self.bohr(atoms))
        members = [Potential(path).evaluate([atoms])[0] for path in paths]
        assert energy * HARTREE == pytest.approx(np.mean([m.energy for m in members]), rel=1e-12)
        np.testing.assert_allclose(
            forces * HARTREE / BOHR, np.mean([m.forces for m in members], axis=0), atol=1e-12
        )
        np.testing.assert_allclose(virial * HARTREE, np.mean([m.virial for m in members], axis=0), atol=1e-12)
        said = json.loads(extras)
        energies = np.array([m.energy for m in members])
        np.testing.assert_allclose(np.array(said["committee_pot"]) * HARTREE, energies)
        assert said["energy_std_ev_per_atom"] == pytest.approx(energies.std(ddof=1) / len(atoms))
        assert said["forces_std_ev_per_angstrom"] > 0

    def test_a_committee_that_disagrees_stops_the_run(self, files, models):
        both = f"{files['model']};{models['mace float64']}"
        with pytest.raises(DataError, match="standard deviation of .* eV/atom, above the threshold of 1e-06"):
            driver = HintDriver(files["template"], both, threshold=1e-6)
            driver.compute(*self.bohr(read("template.xyz")))
        assert len(read("hint-failed.xyz")) == 9
        with pytest.raises(OptionsError, match="threshold is for a committee"):
            HintDriver(**files, threshold=0.1)
        for value in (-1, "nan", "much"):
            with pytest.raises(OptionsError, match=f"threshold '?{value}'?; wanted a number of eV/atom"):
                HintDriver(files["template"], both, threshold=value)
        with pytest.raises(OptionsError, match="trust=perhaps; wanted true or false"):
            HintDriver(**files, trust="perhaps")

    def test_numbers_that_are_not_finite_stop_the_run(self, files):
        driver = HintDriver(**files)
        cell, positions = self.bohr(read("template.xyz"))
        positions[1] = positions[0]
        with pytest.raises(
            DataError, match=r"not finite: atoms too close.* The structure is in .*hint-failed"
        ):
            driver.compute(cell, positions)
        assert np.allclose(read("hint-failed.xyz").positions[0], read("hint-failed.xyz").positions[1])
        positions[1] = np.nan
        with pytest.raises(DataError, match="i-PI sends positions that are not finite"):
            driver.compute(cell, positions)

    def test_templates_and_models_that_do_not_fit(self, files, models):
        driver = HintDriver(**files)
        cell, positions = self.bohr(read("template.xyz"))
        with pytest.raises(DataError, match=r"i-PI sends 8 atoms and the template template.xyz has 9"):
            driver.compute(cell, positions[:-1])
        with pytest.raises(DataError, match="template nowhere.xyz: no such file"):
            HintDriver("nowhere.xyz", files["model"])
        with pytest.raises(OptionsError, match="needs -o template=start.xyz,model=model.hint.pt"):
            HintDriver()
        atoms = read("template.xyz")
        atoms.symbols[0] = "Ag"
        atoms.write("silver.xyz")
        with pytest.raises(DataError, match="has Ag; the model knows H, C, O, Si, Cu"):
            HintDriver("silver.xyz", files["model"])

    def test_a_client_says_why_it_ends(self, files, place):
        result = warm.run(["hint", "ipi", "run", "--model", files["model"]], cwd=place)
        assert (result.returncode, result.stderr.strip()) == (
            2,
            "error: hint ipi run needs --model and --template",
        )
