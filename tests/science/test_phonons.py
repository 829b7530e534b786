"""Phonons: a spring crystal with known dispersion, phonopy, Quantum ESPRESSO and CellConstructor as
oracles."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.neighborlist import neighbor_list

pytest.importorskip("phonopy", reason="needs phonopy: pip install '.[phonons]'")
pytest.importorskip("seekpath", reason="needs seekpath: pip install '.[phonons]'")

import phonopy

from hint_plugin.cli.app import main
from hint_plugin.data import read_frames, write_frames
from hint_plugin.data.file_io import write_csv
from hint_plugin.data.structures.unit_cell import read_crystal, to_ase
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.science.lattice_units import CM_PER_EV, HBAR
from hint_plugin.science.phonons import band_structure, harmonic_phonons, plot_bands
from hint_plugin.science.phonons.bands import band_path, frequencies_at, path_between
from hint_plugin.science.phonons.born import born_of_a_start, crystal_born, share_born
from hint_plugin.science.phonons.cell_relaxation import relax_crystal
from hint_plugin.science.phonons.crystals import in_a_box, new_phonopy, phonopy_from_hessian, supercell_matrix
from hint_plugin.science.phonons.differences import compare_bands, differences
from hint_plugin.science.phonons.dos import density_of_states, thermodynamics
from hint_plugin.science.phonons.double_well import (
    along_displacement,
    along_mode,
    compare_profiles,
    profile,
    stored_profile,
)
from hint_plugin.science.phonons.force_constants import forces_at_rest
from hint_plugin.science.phonons.phonon_files import default_supercell, write_phonopy
from hint_plugin.science.phonons.qe import write_dyn
from hint_plugin.science.phonons.reference_phonons import (
    Table,
    add_born,
    along_path,
    compare,
    compare_table,
    read_reference,
    with_sum_rule,
)
from hint_plugin.science.phonons.same_crystal import check_reference

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:primitive_matrix defaulted")
FORMATS = Path(__file__).parents[1] / "data" / "formats"
CASES = Path(__file__).parents[1] / "data" / "cases" / "crystals"
SHARED = Path(__file__).parents[3] / "shared" / "data"
A, MASS = 2.5, 20.0
SQRT = units._hbar / units._e * np.sqrt(units._e * 1e20 / units._amu) / units.invcm
"""cm^-1 of sqrt(eV/A^2/amu)."""


class Springs(Calculator):
    """Simple cubic, neighbours bound by K = diag(k1, k2, k2) turned to their axis, and a quartic term at
    home.

    m w_x^2 = 2 k1 (1 - cos qx a) + 2 k2 (2 - cos qy a - cos qz a), and so on for y and z.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, k1: float = 4.0, k2: float = 1.0, onsite: float = 0.0, quartic: float = 0.0) -> None:
        super().__init__()
        self.k1, self.k2, self.onsite, self.quartic, self.products = k1, k2, onsite, quartic, 0

    def response(self, atoms: Atoms, u: np.ndarray) -> np.ndarray:
        """H u without the terms at home."""
        sites = np.rint(atoms.positions / A).astype(int)
        size = np.rint(np.diag(atoms.cell.array) / A).astype(int)
        place = {tuple(s % size): n for n, s in enumerate(sites)}
        found = np.zeros_like(u)
        for axis in range(3):
            k = np.full(3, self.k2)
            k[axis] = self.k1
            for step in (1, -1):
                other = [place[tuple((s + step * np.eye(3, dtype=int)[axis]) % size)] for s in sites]
                found += k * (u - u[other])
        return found

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        u = self.atoms.positions - A * np.rint(self.atoms.positions / A)
        inner = self.response(self.atoms, u)
        self.results = {
            "energy": 0.5 * (u * inner).sum() + (0.5 * self.onsite * u**2 + 0.25 * self.quartic * u**4).sum(),
            "forces": -inner - self.onsite * u - self.quartic * u**3,
        }


class CellSprings(Calculator):
    """Springs between all atoms, weaker with their distance: it knows no cell and no axis."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}

    def get_hvp(self, atoms, v):
        i, j, d = neighbor_list("ijD", atoms, 4.4)
        r = np.linalg.norm(d, axis=1)
        apart = v[:, j] - v[:, i]
        pull = np.einsum("p,pa,pb,kpb->kpa", np.exp(-(r**2) / 4) / r**2, d, d, apart) * 40
        found = np.zeros(v.shape)
        for k, part in enumerate(pull):
            np.add.at(found[k], i, -part)
        return found


class WithProducts(Springs):
    def get_hvp(self, atoms, v):
        probes = np.asarray(v).reshape(-1, len(atoms), 3)
        self.products += len(probes)
        return np.array([self.response(atoms, p) + self.onsite * p for p in probes]).reshape(np.shape(v))


class WithHessian(WithProducts):
    get_hvp = None  # type: ignore[assignment]

    def __getattribute__(self, name):
        if name == "get_hvp":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def get_hessian(self, atoms):
        unit = np.eye(3 * len(atoms)).reshape(-1, len(atoms), 3)
        return np.array([self.response(atoms, p) for p in unit]).reshape(3 * len(atoms), -1)


def cubic(mass: float = MASS) -> Atoms:
    atoms = Atoms("Al", cell=[A] * 3, pbc=True)
    atoms.set_masses([mass])
    return atoms


def exact(q: np.ndarray, k1: float = 4.0, k2: float = 1.0, mass: float = MASS) -> np.ndarray:
    """cm^-1 [K, 3] ascending, at fractional q [K, 3]."""
    part = 2 * (1 - np.cos(2 * np.pi * q))
    squared = k2 * part.sum(axis=1, keepdims=True) + (k1 - k2) * part
    return np.sort(SQRT * np.sqrt(squared / mass), axis=1)


@pytest.fixture(scope="module")
def springs():
    return harmonic_phonons(cubic(), WithProducts(), 4)


# Force constants


@pytest.mark.parametrize("kind", [WithProducts, WithHessian, Springs])
@pytest.mark.parametrize("symmetry", [True, False])
def test_a_spring_crystal_is_exact(kind, symmetry):
    """By products, by the Hessian, by displacements (exact as well: it is harmonic)."""
    bands = band_structure(harmonic_phonons(cubic(), kind(), 4, symmetry=symmetry), points=11)
    wanted = exact(np.concatenate(bands.path.points))
    np.testing.assert_allclose(np.concatenate(bands.frequencies), wanted, atol=2e-4)
    assert bands.highest > 250


def test_symmetry_saves_products():
    few, all_ = WithProducts(), WithProducts()
    harmonic_phonons(cubic(), few, 3)
    harmonic_phonons(cubic(), all_, 3, symmetry=False)
    assert (few.products, all_.products) == (1, 3)


def test_atoms_far_apart_share_products():
    """With a pattern, products are shared, and the force constants are the same."""

    class Known(WithProducts):
        def get_hessian_pattern(self, atoms):
            from scipy.sparse import csr_matrix

            distances = atoms.get_all_distances(mic=True)
            return csr_matrix(distances < 1.1 * A)

    row = cubic().repeat((8, 1, 1))
    plain, known = WithProducts(), Known()
    options = {"symmetry": False, "primitive": "P"}
    first, second = (harmonic_phonons(row, c, (1, 4, 4), **options) for c in (plain, known))
    assert plain.products == 24 and known.products < 20
    np.testing.assert_allclose(first.force_constants, second.force_constants, atol=1e-12)


def test_isotopes():
    light = band_structure(harmonic_phonons(cubic(5.0), WithProducts(), 3), points=5)
    heavy = band_structure(harmonic_phonons(cubic(20.0), WithProducts(), 3), points=5)
    np.testing.assert_allclose(light.frequencies[0], 2 * heavy.frequencies[0], atol=1e-3)


def test_group_velocities(springs):
    """dw/dq of the longitudinal mode along x: a k1 sin(qa) / (m w)."""
    path = path_between(springs, [("A", "B", (0.1, 0, 0), (0.4, 0, 0))], 4)
    bands = band_structure(springs, path, group_velocities=True)
    q = 2 * np.pi * path.points[0][:, 0] / A
    omega = np.sqrt(2 * 4.0 / MASS * (1 - np.cos(q * A)))
    slope = A * 4.0 * np.sin(q * A) / (MASS * omega)  # A sqrt(eV/A^2/amu)
    to_km_per_s = np.sqrt(units._e * 1e20 / units._amu) * 1e-13
    np.testing.assert_allclose(bands.group_velocities[0][:, 2, 0], slope * to_km_per_s, rtol=1e-4)


def test_the_scale_says_how_soft_a_model_is() -> None:
    wanted = np.array([[100.0, 200.0], [0.0, 400.0]])
    assert differences(0.9 * wanted, wanted).scale == pytest.approx(0.9)
    # the least squares of 90 = 100 s, 200 = 200 s
    assert differences(np.array([[90.0, 200.0]]), wanted[:1]).scale == pytest.approx(49 / 50)
    assert differences(wanted, 0 * wanted).scale == 0


def test_a_model_agrees_with_phonopys_displacements(models):
    """phonopy's own workflow for the same potential: 0.1 cm^-1, imaginary modes included."""
    from hint_plugin.potentials.hint_calculator import HintCalculator

    atoms, calculator = bulk("Si"), HintCalculator(models["alphanet float64"])
    mine = harmonic_phonons(atoms, calculator, 2, force_tolerance=None)
    theirs = phonopy.Phonopy(mine.unitcell, [2, 2, 2], primitive_matrix="P")
    theirs.generate_displacements(distance=0.01)
    forces = []
    for cell in theirs.supercells_with_displacements:
        moved = to_ase(cell)
        moved.calc = calculator
        forces.append(moved.get_forces())
    theirs.forces = forces
    theirs.produce_force_constants()
    theirs.symmetrize_force_constants()
    found = compare_bands(band_structure(mine, points=11), band_structure(theirs, points=11))
    assert found.largest < 0.1 and band_structure(mine, points=11).lowest < -10
    everything = harmonic_phonons(atoms, calculator, 2, symmetry=False, force_tolerance=None)
    assert compare_bands(band_structure(mine, points=11), band_structure(everything, points=11)).rms < 1e-4


def test_a_crystal_that_is_not_at_rest():
    class Pulled(WithProducts):
        def calculate(self, *args, **options):
            super().calculate(*args, **options)
            self.results["forces"] = self.results["forces"] + [[0.0, 0.0, 0.123]]

    with pytest.warns(UserWarning, match=r"0\.123 eV/A"):
        harmonic_phonons(cubic(), Pulled(), 2)


class Nothing(Springs):
    """Atoms that do not feel each other."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        Calculator.calculate(self, atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def test_crystals_without_vibrations():
    with pytest.raises(DataError, match="all force constants are zero"):
        harmonic_phonons(cubic(), Nothing(), 2)
    with pytest.raises(DataError, match="supercell of one atom .* no vibration"):
        harmonic_phonons(cubic(), WithProducts(), 1)
    left = bulk("Cu")
    left.set_cell(left.cell.array[[1, 0, 2]])
    with pytest.raises(DataError, match="left-handed.*Exchange two"):
        harmonic_phonons(left, EMT(), 2)
    chain = bulk("Cu")
    chain.pbc = (True, False, False)
    with pytest.raises(DataError, match="Cu is a chain .pbc TFF."):
        harmonic_phonons(chain, EMT(), 2)


@pytest.mark.parametrize("ibrav", [1, 2, 3, -3, 4, 5, -5, 6, 7, 8, 9, -9, 91, 10, 11, 12, -12, 13, -13, 14])
def test_cells_of_ibrav_are_right_handed(ibrav):
    from hint_plugin.data.formats.qe_lattice import lattice

    assert np.linalg.det(lattice(ibrav, (8.0, 1.1, 1.3, 0.1, 0.15, 0.2))) > 0


# Layers


def square_layer(height: float = 0.0) -> Atoms:
    """One plane of the spring crystal; `height` of the box, 0 for none."""
    atoms = Atoms("Al", cell=[A, A, height], pbc=(True, True, False))
    atoms.set_masses([MASS])
    return atoms


class Plane(Springs):
    """The springs within a plane, and a weak one that ties each atom to it."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        Calculator.calculate(self, atoms, properties, system_changes)
        assert not atoms.pbc[2]
        u = atoms.positions - A * np.rint(atoms.positions / A)
        bare = atoms.copy()
        bare.cell[2] = (0, 0, 3 * A)
        inner = self.response(bare, u)
        self.results = {"energy": 0.5 * float((u * inner).sum()), "forces": -inner}

    def response(self, atoms, u):
        found = np.zeros_like(u)
        size = np.rint(np.diag(atoms.cell.array) / A).astype(int)
        sites = np.rint(atoms.positions / A).astype(int)
        place = {tuple(s[:2] % size[:2]): n for n, s in enumerate(sites)}
        for axis in range(2):
            k = np.full(3, self.k2)
            k[axis] = self.k1
            for step in (1, -1):
                there = sites[:, :2] + step * np.eye(2, dtype=int)[axis]
                found += k * (u - u[[place[tuple(s % size[:2])] for s in there]])
        return found


@pytest.mark.parametrize("height", [0.0, 3.0, 40.0])
def test_a_layer(height):
    """Periodic in two directions: exact in the plane, whatever the box, and no path across."""
    phonon = harmonic_phonons(square_layer(height), Plane(), (4, 4, 1))
    q = np.array([(0.25, 0, 0), (0.5, 0.5, 0), (0.25, 0.5, 0)])
    part = 2 * (1 - np.cos(2 * np.pi * q[:, :2]))
    wanted = np.stack([4 * part[:, 0] + part[:, 1], part[:, 0] + 4 * part[:, 1], part.sum(axis=1)], axis=1)
    np.testing.assert_allclose(
        frequencies_at(phonon, q), np.sort(SQRT * np.sqrt(wanted / MASS), axis=1), atol=1e-3
    )
    path = band_path(phonon, 5, across=2)
    assert path.labels and all(abs(points[:, 2]).max() == 0 for points in path.points)
    with pytest.raises(OptionsError, match="repeats a layer along its vector 3"):
        harmonic_phonons(square_layer(height), Plane(), (4, 4, 2))


def test_an_image_of_a_layer_is_no_second_layer():
    """Two planes half a box apart look like one plane twice as often; the layer is given a larger box."""
    two = Atoms("Al2", [(0, 0, 0), (0, 0, A)], cell=[A, A, 2 * A], pbc=(True, True, False))
    assert len(new_phonopy(in_a_box(two), 1).primitive) == 2
    assert in_a_box(two).cell[2, 2] > 4 * A and in_a_box(two).pbc.tolist() == [True, True, False]


def test_fixed_atoms_do_not_hide_forces():
    """Of selective dynamics in a POSCAR, for instance."""
    crystal = bulk("Cu", a=3.7, cubic=True)
    crystal.positions[0] += 0.1
    crystal.set_constraint(FixAtoms(range(4)))
    assert forces_at_rest(crystal, EMT()) > 0.1


def test_forces_that_are_nan():
    class Broken(WithProducts):
        def calculate(self, *args, **options):
            super().calculate(*args, **options)
            self.results["forces"] = self.results["forces"] * np.nan

    class BrokenProducts(WithProducts):
        def get_hvp(self, atoms, v):
            return super().get_hvp(atoms, v) * np.nan

    for calculator in (Broken(), BrokenProducts()):
        with pytest.raises(DataError, match="NaN"):
            harmonic_phonons(cubic(), calculator, 2)


def test_bad_structures_and_supercells():
    with pytest.raises(DataError, match="not periodic"):
        harmonic_phonons(molecule("H2O"), EMT(), 2)
    for wrong in ((2, 2), 0, (2, -1, 2), 1.5, np.zeros((3, 3))):
        with pytest.raises(OptionsError, match="supercell"):
            harmonic_phonons(cubic(), WithProducts(), wrong)
    with pytest.raises(OptionsError, match="displacements of"):
        harmonic_phonons(cubic(), WithProducts(), 2, displacement=-0.01)
    twice = Atoms("Al2", cell=[A] * 3, pbc=True)
    with pytest.raises(DataError):
        harmonic_phonons(twice, EMT(), 2)
    assert supercell_matrix([[0, 1, 1], [1, 0, 1], [1, 1, 0]]).shape == (3, 3)
    assert default_supercell(cubic()) == [4, 4, 4]


# Sums


def test_density_and_thermodynamics(springs):
    density = density_of_states(springs, (12, 12, 12))
    assert np.trapezoid(density.total, density.frequencies) == pytest.approx(3, rel=0.01)
    assert set(density.elements) == {"Al"}
    found = thermodynamics(springs, [0.0, 300.0, 2000.0], (9, 9, 9))
    grid = np.array(list(np.ndindex(9, 9, 9))) / 9
    quanta = exact(grid)[1:].ravel() * units.invcm  # without q = 0, as phonopy
    share = len(quanta) / (len(quanta) + 3)
    assert found.free_energy[0] == pytest.approx(0.5 * quanta.sum() / 729, rel=1e-4)
    for k, temperature in ((1, 300.0), (2, 2000.0)):
        x = quanta / (units.kB * temperature)
        free = (0.5 * quanta + units.kB * temperature * np.log(1 - np.exp(-x))).sum() / 729
        heat = units.kB * (x**2 * np.exp(x) / np.expm1(x) ** 2).sum() / 729
        assert found.free_energy[k] == pytest.approx(free, rel=1e-3)
        assert found.heat_capacity[k] == pytest.approx(heat, rel=1e-3)
    assert found.heat_capacity[2] == pytest.approx(3 * units.kB * share, rel=0.01)  # Dulong, Petit
    assert found.imaginary == 0
    with pytest.raises(OptionsError):
        density_of_states(springs, -3.0)
    with pytest.raises(OptionsError):
        thermodynamics(springs, [-1.0])


# Files of others


@pytest.fixture(scope="module")
def palladium_hydride():
    return read_reference(FORMATS / "qe" / "pdh.dyn0")


def test_dynamical_matrices_of_ph_x(palladium_hydride):
    """The frequencies that ph.x printed: cm^-1 at Gamma, L and X of unstable PdH."""
    q = [(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.5)]
    wanted = [
        [-170.94] * 3 + [13.05] * 3,
        [-206.48, -206.48, 71.5, 71.5, 193.4, 535.54],
        [-199.31, -199.31, 135.5, 135.5, 164.83, 302.63],
    ]
    np.testing.assert_allclose(frequencies_at(palladium_hydride, q), wanted, atol=0.06)


def test_dyn_files_come_back(palladium_hydride, tmp_path):
    write_dyn(palladium_hydride, tmp_path / "x.dyn")
    back = read_reference(tmp_path / "x.dyn0")
    _, found = compare(back, band_structure(back, points=7), palladium_hydride)
    assert found.along.largest < 1e-3 and found.commensurate.largest < 1e-3
    assert found.commensurate.count == 48 and found.commensurate.imaginary == 17
    assert read_crystal(tmp_path / "x.dyn0").get_chemical_formula() == "HPd"


def test_the_sum_rule_on_a_reference_that_breaks_it(palladium_hydride):
    """Gamma: k (1, -1; -1, 1) is nearest to the matrix; L and X stay; the errors are given both ways."""
    q = [(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.5)]
    free = with_sum_rule(palladium_hydride)
    before, after = frequencies_at(palladium_hydride, q), frequencies_at(free, q)
    np.testing.assert_allclose(after[1:], before[1:], atol=1e-6)
    rows = palladium_hydride.force_constants.reshape(2, 2, -1, 3, 3).sum(axis=2)[:, :, 0, 0]
    spring = (rows[0, 0] + rows[1, 1] - rows[0, 1] - rows[1, 0]) / 4
    square = spring * (1 / palladium_hydride.primitive.masses).sum()
    wanted = -HBAR * np.sqrt(-square) * CM_PER_EV
    np.testing.assert_allclose(after[0], [wanted] * 3 + [0.0] * 3, atol=0.02)
    bands = band_structure(free, points=7)
    _, found = compare(free, bands, palladium_hydride)
    assert found.commensurate.largest == pytest.approx(abs(before[0] - after[0]).max(), abs=1e-3)
    assert found.sum_rule is not None and found.sum_rule.largest < 1e-3
    assert compare(free, bands, free)[1].sum_rule is None


def test_dyn_files_want_the_primitive_cell(tmp_path):
    phonon = harmonic_phonons(bulk("Cu", cubic=True), EMT(), 1, force_tolerance=None)
    with pytest.raises(DataError, match="primitive cell"):
        write_dyn(phonon, tmp_path / "x.dyn")


def test_cellconstructor_agrees(palladium_hydride, tmp_path):
    """phonopy -> dyn files -> CellConstructor: all frequencies of the supercell."""
    phonons = pytest.importorskip("cellconstructor.Phonons", reason="needs CellConstructor")
    files = write_dyn(palladium_hydride, tmp_path / "x.dyn")
    theirs = phonons.Phonons(str(tmp_path / "x.dyn"), len(files) - 1)
    found = np.sort(theirs.DiagonalizeSupercell()[0]) * units.Rydberg / units.invcm
    grid = np.array(list(np.ndindex(2, 2, 2))) / 2
    wanted = np.sort(frequencies_at(palladium_hydride, grid).ravel())
    assert np.abs(found - wanted).max() < 0.1
    theirs.save_qe(str(tmp_path / "back"))  # and back
    (tmp_path / "back0").write_bytes((tmp_path / "x.dyn0").read_bytes())
    back = read_reference(tmp_path / "back0")
    np.testing.assert_allclose(np.sort(frequencies_at(back, grid).ravel()), wanted, atol=0.1)


@pytest.mark.skipif(not shutil.which("matdyn.x"), reason="needs Quantum ESPRESSO (q2r.x, matdyn.x)")
def test_matdyn_agrees(palladium_hydride, tmp_path):
    """Frequencies between the grid's points, by q2r.x and matdyn.x from the files written here."""
    write_dyn(palladium_hydride, tmp_path / "x.dyn")
    masses = palladium_hydride.primitive.masses
    q = [(0.0, 0.5, 0.5), (0.25, 0.1, 0.3)]
    points = "\n".join(" ".join(map(str, point)) for point in q)
    run(tmp_path, "q2r.x", "&input fildyn='x.dyn', zasr='no', flfrc='x.fc' /\n")
    settings = f"flfrc='x.fc', asr='no', flfrq='f', q_in_cryst_coord=.true., amass(1)={masses[0]:.8f}"
    run(tmp_path, "matdyn.x", f"&input {settings}, amass(2)={masses[1]:.8f} /\n{len(q)}\n{points}\n")
    lines = (tmp_path / "f").read_text().splitlines()[1:]
    found = np.array([line.split() for line in lines[1::2]], dtype=float)
    np.testing.assert_allclose(found, frequencies_at(palladium_hydride, q), atol=0.01)


def run(folder: Path, program: str, text: str) -> None:
    subprocess.run([program], input=text, cwd=folder, text=True, capture_output=True, check=True, timeout=60)


def test_phonopys_files(palladium_hydride, tmp_path):
    """Written, and read by phonopy and by us."""
    write_phonopy(palladium_hydride, tmp_path)
    loaded = phonopy.load(
        str(tmp_path / "phonopy.yaml"),
        force_constants_filename=str(tmp_path / "FORCE_CONSTANTS"),
        is_nac=False,
        symmetrize_fc=False,
        log_level=0,
    )
    q = [(0.1, 0.2, 0.3), (0.5, 0, 0)]
    wanted = frequencies_at(palladium_hydride, q)
    np.testing.assert_allclose(frequencies_at(loaded, q), wanted, atol=1e-4)
    np.testing.assert_allclose(frequencies_at(read_reference(tmp_path), q), wanted, atol=1e-4)
    assert read_crystal(tmp_path / "phonopy.yaml").get_chemical_formula() == "HPd"


def test_forces_of_others():
    """NaCl of phonopy's examples, from its forces: acoustic modes vanish at Gamma, optical ones do not."""
    sodium_chloride = read_reference(FORMATS / "phonopy" / "NaCl")
    at_gamma = frequencies_at(sodium_chloride, [(0, 0, 0)])[0]
    assert np.abs(at_gamma[:3]).max() < 1e-3 and at_gamma[3:] == pytest.approx([153.2] * 3, abs=1.0)


BORN = """14.400
2.43533967 0 0 0 2.43533967 0 0 0 2.43533967
1.086875 0 0 0 1.086875 0 0 0 1.086875
-1.086875 0 0 0 -1.086875 0 0 0 -1.086875
"""


def test_born_charges(tmp_path):
    """Lyddane, Sachs, Teller near Gamma: w_LO^2 - w_TO^2 = 4 pi Z^2 e^2 / (V eps m)."""
    (tmp_path / "BORN").write_text(BORN)
    crystal = read_reference(FORMATS / "phonopy" / "NaCl")
    add_born(crystal, tmp_path / "BORN")
    path = path_between(crystal, [("G", "D", (0, 0, 0), (1e-4, 1e-4, 0))], 3)
    modes = band_structure(crystal, path).frequencies[0][-1]
    masses = crystal.primitive.masses
    reduced = masses.prod() / masses.sum()
    charge = 4 * np.pi * 14.399645 * 1.086875**2 / (crystal.primitive.volume * 2.43533967 * reduced)
    split = modes[5] ** 2 - modes[4] ** 2
    assert modes[5] > modes[4] + 50 and split == pytest.approx(SQRT**2 * charge, rel=1e-3)


def test_born_charges_of_phonopys_yaml(tmp_path):
    """They are used, of the crystal and of a reference, and go to the side that has none."""
    (tmp_path / "BORN").write_text(BORN)
    crystal = read_reference(FORMATS / "phonopy" / "NaCl")
    plain = read_reference(FORMATS / "phonopy" / "NaCl")
    add_born(crystal, tmp_path / "BORN")
    crystal.save(tmp_path / "phonopy_params.yaml", settings={"force_constants": True})
    again = read_reference(tmp_path / "phonopy_params.yaml")
    near = np.array([(1e-4, 1e-4, 0)])
    np.testing.assert_allclose(frequencies_at(again, near), frequencies_at(crystal, near), atol=1e-3)
    bare = frequencies_at(plain, near)
    assert abs(frequencies_at(again, near) - bare).max() > 50
    assert "of the reference are used for this crystal" in share_born(plain, again)
    np.testing.assert_allclose(frequencies_at(plain, near), frequencies_at(crystal, near), atol=1e-3)
    assert share_born(plain, again) == "" == share_born(*[read_reference(FORMATS / "phonopy" / "NaCl")] * 2)
    mine = new_phonopy(read_crystal(tmp_path / "phonopy_params.yaml"), 1)
    assert "modes split" in crystal_born(mine, tmp_path / "phonopy_params.yaml")
    np.testing.assert_allclose(mine.nac_params["born"], crystal.nac_params["born"], atol=1e-6)
    turned = bulk("NaCl", "rocksalt", 5.69)
    turned.rotate(30, "z", rotate_cell=True)
    assert "are used for this crystal" in share_born(new_phonopy(turned, 1), again)
    other = new_phonopy(bulk("NaCl", "cesiumchloride", 3.5), 1)
    assert "left out" in share_born(other, again) and again.nac_params is None


def test_born_charges_are_turned_with_the_crystal():
    """Uniaxial tensors of a crystal that is turned, in another cell, with its atoms in another order."""
    crystal = Atoms("GaN", scaled_positions=[(0, 0, 0), (0, 0, 0.4)], cell=[3.2, 3.2, 3.3], pbc=True)
    source = new_phonopy(crystal, 1)
    tensors = np.array([np.diag([1.0, 1.0, 3.0]), np.diag([-1.0, -1.0, -3.0])])
    source.nac_params = {"born": tensors, "dielectric": np.diag([2.0, 2.0, 5.0]), "factor": 14.4}
    turned = crystal.copy()
    turned.rotate(90, "y", rotate_cell=True)  # an operation of the lattice to 5 %, and none of the crystal
    turned = turned[[1, 0]]
    turned.set_cell(turned.cell.array[[1, 2, 0]])
    for repeats in (1, 2):
        target = new_phonopy(turned.repeat((1, 1, repeats)), 1, "P")
        assert "are used for the reference" in share_born(source, target)
        for symbol, found in zip(target.primitive.symbols, target.nac_params["born"], strict=True):
            sign = 1.0 if symbol == "Ga" else -1.0
            np.testing.assert_allclose(found, sign * np.diag([3.0, 1.0, 1.0]), atol=1e-8)
        np.testing.assert_allclose(target.nac_params["dielectric"], np.diag([5.0, 2.0, 2.0]), atol=1e-8)


def test_born_charges_of_a_yaml_whose_cell_is_not_primitive(tmp_path):
    """Eight of them, of the conventional cell: they go to both atoms of the primitive one; or it is said."""
    (tmp_path / "BORN").write_text(BORN)
    crystal = read_reference(FORMATS / "phonopy" / "NaCl")
    add_born(crystal, tmp_path / "BORN")
    path = tmp_path / "phonopy.yaml"
    whole = new_phonopy(bulk("NaCl", "rocksalt", 5.69, cubic=True), 1, "P")
    share_born(whole, crystal)
    whole.save(path)
    mine = new_phonopy(read_crystal(path), 1)
    assert len(whole.nac_params["born"]) == 8 and len(mine.primitive) == 2
    assert "modes split" in crystal_born(mine, path)
    np.testing.assert_allclose(mine.nac_params["born"], crystal.nac_params["born"], atol=1e-6)
    words = "matrices that are written have none, and no modes split"
    assert words in born_of_a_start(path) and not born_of_a_start(FORMATS / "qe" / "pdh.dyn0")
    text = path.read_text()
    cut = text.replace("nac:", "nac:\n  ignored: 0", 1)
    start = cut.index("born_effective_charge:")
    lines = cut[start:].splitlines()
    (tmp_path / "cut.yaml").write_text(cut[:start] + "\n".join(lines[:1] + lines[5:]) + "\n")
    with pytest.raises(DataError, match="7 Born charges .nac.; wanted 8"):
        crystal_born(mine, tmp_path / "cut.yaml")


def test_a_reference_turned_by_an_operation_of_the_lattice_alone():
    """a and b differ by 4 %: the lattice is turned by 90 degrees within the strain, the crystal is not."""
    crystal = Atoms("PoRn", scaled_positions=[(0, 0, 0), (0.5, 0.1, 0)], cell=[3.9, 3.75, 3.6], pbc=True)
    n = 54
    large = crystal.repeat(3)
    apart = large.get_all_distances(mic=True, vector=True)
    weights = np.exp(-((np.linalg.norm(apart, axis=2) / 1.5) ** 2))
    blocks = -np.einsum("ij,ija,ijb->ijab", weights, apart, apart)
    blocks[np.arange(n), np.arange(n)] -= blocks.sum(axis=1)
    hessian = blocks.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    phonon = phonopy_from_hessian(crystal, 3, large, hessian, primitive="P")
    turn = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    cell = (crystal.cell.array @ turn)[[1, 0, 2]] * np.array([[-1.0], [1], [1]])
    other = Atoms("PoRn", crystal.positions @ turn + 0.3, cell=cell, pbc=True)
    big = Atoms(large.numbers, large.positions @ turn + 0.3, cell=3 * cell, pbc=True)
    whole = np.kron(np.eye(n), turn)
    reference = phonopy_from_hessian(other, 3, big, whole.T @ hessian @ whole, primitive="P")
    _, found = compare(phonon, band_structure(phonon, points=5), reference)
    assert found.along.largest < 1e-3 and found.commensurate.largest < 1e-3 and not found.note


def test_born_files_that_do_not_fit(tmp_path, springs):
    with pytest.raises(DataError, match="no such file"):
        add_born(springs, tmp_path / "BORN")
    (tmp_path / "BORN").write_text("14.4\n1 0 0\n")
    with pytest.raises(DataError, match="BORN"):
        add_born(springs, tmp_path / "BORN")


def test_tables(springs, tmp_path):
    """bands.csv as a reference, and single measured points."""
    q = np.array([(0.25, 0, 0), (0.5, 0.5, 0)])
    rows = [f"{x},{y},{z},{nu[2] + 1.5}" for (x, y, z), nu in zip(q, exact(q), strict=True)]
    lines = ["qx,qy,qz,frequency", *rows]
    (tmp_path / "measured.csv").write_text("\n".join(lines))
    found = compare_table(springs, read_reference(tmp_path / "measured.csv"))
    assert found.table.mean == pytest.approx(1.5, abs=1e-3) and found.table.count == 2
    for wrong in ("qx,qy,qz\n0,0,0\n", "qx,qy,qz,frequency\n0,0,0,nan\n", "q,frequency\n0,1\n", ""):
        (tmp_path / "wrong.csv").write_text(wrong)
        with pytest.raises(DataError, match="wanted"):
            read_reference(tmp_path / "wrong.csv")


def test_a_table_of_bands_knows_its_crystal(tmp_path, springs):
    """By the phonopy.yaml beside it: another crystal is refused, q points are turned with their cell."""
    crystal = Atoms("PoRn", scaled_positions=[(0, 0, 0), (0.5, 0.1, 0)], cell=[3.9, 3.75, 3.6], pbc=True)

    def of(atoms: Atoms) -> phonopy.Phonopy:
        return harmonic_phonons(atoms, CellSprings(), 2, primitive="P", symmetry=False)

    mine, other = of(crystal), tmp_path / "other"
    other.mkdir()
    write_csv(other / "bands.csv", band_structure(mine, points=4).rows())
    write_phonopy(mine, other)
    alone = read_reference(other / "bands.csv")
    assert alone.crystal is None and "could not be told" in compare_table(mine, alone).note
    (other / "phonons.json").write_text("{}")
    table = read_reference(other / "bands.csv")
    turned = crystal.copy()
    turned.rotate(90, "z", rotate_cell=True)
    turned.set_cell(turned.cell.array[[1, 2, 0]])
    here = of(turned)
    found = compare_table(here, table)
    assert found.table.largest < 1e-3 and found.strain < 1e-6 and not found.note
    assert len(along_path(table, band_structure(here, points=4).path, here)[0]) == len(
        along_path(alone, band_structure(mine, points=4).path)[0]
    )
    with pytest.raises(DataError, match="path has .* of this crystal is"):
        compare_table(here, alone)
    with pytest.raises(DataError, match="of another crystal: a primitive cell of it is"):
        compare_table(springs, table)
    with pytest.raises(DataError, match="of another crystal"):
        check_reference(to_ase(springs.primitive), table)
    few = Table(alone.points, tuple(row[:3] for row in alone.frequencies), None, alone.corners)
    with pytest.raises(DataError, match="bands have 3 modes at a q point; this crystal has 6"):
        compare_table(mine, few)


def test_references_that_do_not_fit(springs, palladium_hydride, tmp_path):
    bands = band_structure(springs, points=5)
    with pytest.raises(DataError, match="another crystal"):
        compare(springs, bands, palladium_hydride)
    with pytest.raises(DataError, match="no such file"):
        read_reference(tmp_path / "missing.yaml")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="no reference"):
        read_reference(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="in one figure"):
        other = band_structure(palladium_hydride, points=5)
        plot_bands(tmp_path / "x.png", [("", bands), ("", other)])


def test_another_cell_of_the_same_lattice(palladium_hydride):
    """The same crystal by other primitive vectors: the same frequencies at the same points."""
    turned = palladium_hydride.primitive.cell.copy()[[1, 2, 0]]
    atoms = to_ase(palladium_hydride.primitive)
    other = Atoms(atoms.symbols, atoms.positions, cell=turned, masses=atoms.get_masses(), pbc=True)
    rows = np.asarray(palladium_hydride.force_constants)
    large = to_ase(palladium_hydride.supercell)
    full = phonopy.harmonic.force_constants.compact_fc_to_full_fc(palladium_hydride.primitive, rows)
    hessian = full.transpose(0, 2, 1, 3).reshape(3 * len(large), -1)
    phonon = phonopy_from_hessian(other, 2, large, hessian, primitive="P")
    _, found = compare(phonon, band_structure(phonon, points=5), palladium_hydride)
    assert found.along.largest < 1e-3 and found.commensurate.largest < 1e-3


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data beside the project")
@pytest.mark.parametrize("name, highest", [("NaCl", 247), ("MgO", 666)])
def test_shared_sets(name, highest):
    folder = SHARED / "phonopy" / name
    crystal = read_reference(folder)
    add_born(crystal, folder / "BORN")
    bands = band_structure(crystal, points=11)
    assert bands.highest == pytest.approx(highest, abs=1) and bands.lowest > -0.1


# Relaxation


def test_relaxation_keeps_the_symmetry():
    """Copper on EMT: its lattice constant, and the space group of the start."""
    start = bulk("Cu", a=3.75)
    found = relax_crystal(start, EMT())
    assert found.atoms.cell.lengths()[0] * np.sqrt(2) == pytest.approx(3.59, abs=0.01)
    assert abs(found.pressure) < 0.05 and found.largest_force < 1e-3 and "Fm-3m" in found.space_group
    assert len(start) == 1 and start.cell.lengths()[0] * np.sqrt(2) == pytest.approx(3.75)
    with pytest.raises(EngineError, match="left after 1 steps"):
        relax_crystal(start, EMT(), steps=1)
    with pytest.raises(OptionsError):
        relax_crystal(start, EMT(), fmax=-1)


# Double wells


def two_sided(depth: float = 0.05, place: float = 0.3) -> Springs:
    """E = 1/2 c u^2 + 1/4 b u^4 along an axis: minima of -depth at +-place."""
    curvature = -4 * depth / place**2
    return WithProducts(k1=0.0, k2=0.0, onsite=curvature, quartic=-curvature / place**2)


def test_a_double_well():
    line = along_displacement(cubic(), "0,z")
    found = profile(line, two_sided(), 0.5, 101)
    place, energy = found.minimum
    assert abs(place) == pytest.approx(0.3, abs=1e-3) and energy == pytest.approx(-0.05, abs=1e-5)
    assert found.energies[50] == 0 and len(found.amplitudes) == 101 and not found.at_edge
    assert profile(line, two_sided(), 0.2, 11).at_edge  # does not reach the well
    for wrong in ((-0.1, 11), (0.1, 2)):
        with pytest.raises(OptionsError, match="amplitude"):
            profile(line, two_sided(), *wrong)


def test_the_line_of_a_mode(springs):
    """Its curvature is that of the phonon, in a cell that q fits into, and it is the same each time."""
    for q, branch in (((0.5, 0, 0), 3), ((0.25, 0, 0), 1), ((0.5, 0.5, 0.5), 2)):
        line = along_mode(springs, q, branch)
        assert line.frequency == pytest.approx(exact(np.array([q]))[0, branch - 1], abs=1e-3)
        assert len(line.atoms) == {0.5: 2, 0.25: 4}[q[0]] * (4 if q[1] else 1)
        repeated = line.atoms.copy()
        found = profile(line, Springs(), 0.1, 5)
        curvature = 2 * found.energies[-1] / found.amplitudes[-1] ** 2
        mass = (repeated.get_masses()[:, None] * line.direction**2).sum()
        assert SQRT * np.sqrt(curvature / mass) == pytest.approx(line.frequency, rel=1e-6)
        again = along_mode(harmonic_phonons(cubic(), WithHessian(), 4), q, branch)
        np.testing.assert_allclose(again.direction, line.direction, atol=1e-6)
    with pytest.raises(OptionsError, match="branch from 1 to 3"):
        along_mode(springs, (0, 0, 0.5), 4)
    with pytest.raises(OptionsError, match="fits into no cell"):
        along_mode(springs, (0.1234567, 0, 0), 1)


def test_stored_frames_as_reference(tmp_path):
    """Those off the line are left out; the others are compared."""
    line, deeper = along_displacement(cubic().repeat(2), "3,0,1,1"), two_sided(0.06)
    frames = []
    for a in (-0.3, -0.1, 0.0, 0.2, 0.4):
        frame = line.at(a)
        frame.calc = deeper
        frame.info["REF_energy"] = frame.get_potential_energy() - 5.0
        frame.calc = None
        frame.positions += 0.07  # all together
        frames.append(frame)
    aside = line.atoms.copy()
    aside.positions[0, 0] += 0.3
    reference = stored_profile(line, [*frames, aside])
    np.testing.assert_allclose(reference.amplitudes, [-0.3, -0.1, 0.0, 0.2, 0.4], atol=1e-9)
    errors = compare_profiles(profile(line, deeper, 0.5, 41), reference)
    assert errors["largest"] < 1e-4
    with pytest.raises(DataError, match="lie on the line"):
        stored_profile(line, [aside])
    with pytest.raises(DataError, match="1 are no Al8"):
        stored_profile(line, [aside, bulk("Cu")])
    with pytest.raises(DataError, match="moves all 1 atoms of the cell alike"):
        stored_profile(along_displacement(cubic(), "0,x"), frames)
    write_frames(tmp_path / "ase.xyz", frames)
    text = (tmp_path / "ase.xyz").read_text()
    (tmp_path / "ase.xyz").write_text(text.replace("REF_energy=", "energy="))
    as_ase_writes = stored_profile(line, read_frames(tmp_path / "ase.xyz"))
    np.testing.assert_allclose(as_ase_writes.energies, reference.energies)
    del frames[1].info["REF_energy"]
    with pytest.raises(DataError, match="has no energy"):
        stored_profile(line, frames)


@pytest.mark.parametrize("words", ["9,z", "0,w", "0,0,0,0", "z", "0,1,1"])
def test_displacements_that_cannot_be_read(words):
    with pytest.raises(OptionsError, match="wanted a file, or an atom"):
        along_displacement(cubic(), words)


# The verbs


EMT_ENGINE = ["--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT"]


def test_hint_phonons(tmp_path, capsys):
    """From an unrelaxed crystal to files and a comparison with those very files."""
    bulk("Cu", a=3.65).write(tmp_path / "cu.cif")
    first, second = tmp_path / "first", tmp_path / "second"
    options = [*EMT_ENGINE, "--supercell", "3", "3", "3", "--points", "11", "--mesh", "20"]
    main_quietly(["phonons", str(tmp_path / "cu.cif"), "--relax", "cell", "-o", str(first), *options])
    assert "Fm-3m" in capsys.readouterr().out
    names = "phonons.json bands.csv dos.csv thermal.csv phonopy.yaml FORCE_CONSTANTS relaxed.xyz"
    for name in names.split():
        assert (first / name).is_file(), name
    assert (first / "qe" / "matdyn.dyn0").is_file()
    result = json.loads((first / "phonons.json").read_text())
    assert result["products"] == 1 and result["lowest"] > -0.1 and result["imaginary"] == 0
    references = {"phonopy.yaml": "bands", "qe/matdyn.dyn0": "commensurate", "bands.csv": "table"}
    for reference, name in references.items():
        main_quietly(
            ["phonons", str(first / "relaxed.xyz"), "-o", str(second), *options, "--json"]
            + ["--displacement", "0.01", "--reference", str(first / reference)]
        )
        found = json.loads(capsys.readouterr().out)["errors"][name]
        assert 0 < found["largest"] < 0.1, reference


def test_hint_phonons_says_what_is_wrong(tmp_path, capsys):
    bulk("Cu", a=3.6).write(tmp_path / "cu.cif")
    write_frames(tmp_path / "water.xyz", [molecule("H2O")])
    cases = {
        "not periodic": [str(tmp_path / "water.xyz")],
        "no such file": [str(tmp_path / "none.cif")],
        "supercell": [str(tmp_path / "cu.cif"), "--supercell", "0", "2", "2"],
        "--relax": [str(tmp_path / "cu.cif"), "--relax", "some"],
        "BORN": [str(tmp_path / "cu.cif"), "--supercell", "2", "2", "2", "--born", str(tmp_path / "BORN")],
        "wanted three whole numbers": [str(tmp_path / "cu.cif"), "--supercell", "2", "1,1", "2"],
        "(0, 0, 0) is 75 % Cu, 25 % Au": [str(CASES / "copper_gold.cif"), "--supercell", "2", "2", "2"],
        "primitive cell of it is NaCl, and not Cu": [
            *(str(tmp_path / "cu.cif"), "--supercell", "2", "2", "2"),
            *("--reference", str(FORMATS / "phonopy" / "NaCl")),
        ],
    }
    for message, words in cases.items():
        with pytest.raises(SystemExit) as caught:
            main(["phonons", *words, *EMT_ENGINE, "-o", str(tmp_path / "out")])
        assert caught.value.code == 2 and message in capsys.readouterr().err


def test_a_supercell_by_a_matrix(tmp_path, capsys):
    """Rows as in phonopy's --dim: the cube of 32 atoms from the primitive cell of fcc."""
    bulk("Cu", a=3.6).write(tmp_path / "cu.cif")
    words = ["--supercell", "-2,2,2", "2,-2,2", "2,2,-2", "--points", "3", "--mesh", "10"]
    main_quietly(
        ["phonons", str(tmp_path / "cu.cif"), *EMT_ENGINE, *words, "--json", "-o", str(tmp_path / "out")]
    )
    result = json.loads(capsys.readouterr().out)
    assert result["atoms_in_supercell"] == 32 and result["supercell"][0] == [-2, 2, 2]
    assert result["products"] == 1 and result["lowest"] > -0.1


def test_a_second_run_in_the_same_folder(tmp_path, capsys):
    """Matrices of a run before do not stay where this one has none; what is to be said is in the JSON."""
    cell = bulk("Cu", a=3.6)
    cell.write(tmp_path / "cu.xyz")
    bulk("Cu", a=3.6, cubic=True).write(tmp_path / "cube.xyz")
    words = [*EMT_ENGINE, "--supercell", "2", "2", "2", "--points", "3", "--mesh", "10", "--json"]
    for name, there in (("cu.xyz", True), ("cube.xyz", False)):
        main_quietly(["phonons", str(tmp_path / name), *words, "-o", str(tmp_path / "out")])
        notes = json.loads(capsys.readouterr().out)["notes"]
        assert (tmp_path / "out" / "qe" / "matdyn.dyn1").is_file() == there
        assert any("dyn files" in note for note in notes) == (not there)
    (tmp_path / "out" / "relaxed.xyz").write_text("of an earlier run")
    (tmp_path / "out" / "mine.xyz").write_text("somebody's own")
    main_quietly(["phonons", str(tmp_path / "cu.xyz"), *words, "-o", str(tmp_path / "out")])
    assert (tmp_path / "out" / "mine.xyz").is_file() and not (tmp_path / "out" / "relaxed.xyz").exists()
    cell.write(tmp_path / "out" / "relaxed.xyz")  # it is read: it stays
    main_quietly(["phonons", str(tmp_path / "out" / "relaxed.xyz"), *words, "-o", str(tmp_path / "out")])
    assert (tmp_path / "out" / "relaxed.xyz").is_file()


def test_an_exception_of_a_calculator_is_told(tmp_path, capsys, monkeypatch):
    (tmp_path / "broken.py").write_text(
        "from ase.calculators.emt import EMT\n\n\nclass Broken(EMT):\n"
        "    def calculate(self, *_, **__):\n        raise KeyError('weights')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    bulk("Cu", a=3.6).write(tmp_path / "cu.cif")
    with pytest.raises(SystemExit) as caught:
        main(
            ["phonons", str(tmp_path / "cu.cif"), "--engine", "calculator", "-e", "calculator=broken:Broken"]
        )
    message = capsys.readouterr().err
    assert caught.value.code == 2 and "failed (KeyError: 'weights', broken.py, line 6)" in message


def test_hint_double_well(tmp_path, capsys):
    bulk("Cu", a=3.6).write(tmp_path / "cu.cif")
    words = [str(tmp_path / "cu.cif"), *EMT_ENGINE, "--points", "5", "-o", str(tmp_path / "out")]
    words += ["--mode", "0.5,0.5,0,3", "--supercell", "2", "2", "2", "--amplitude", "0.1"]
    main_quietly(
        ["double-well", *words, "--reference", "calculator"]
        + ["--reference-option", "calculator=ase.calculators.emt:EMT"]
    )
    assert "MAE 0.00" in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "double-well.json").read_text())
    assert result["atoms"] == 4 and result["frequency"] > 100 and len(result["model"]["energies"]) == 5
    assert len(read_frames(tmp_path / "out" / "frames.xyz")) == 5
    for wrong in ([], ["--mode", "0,0,1"], ["--mode", "0,0,0,1", "--displacement", "0,z"]):
        with pytest.raises(SystemExit) as caught:
            main(["double-well", str(tmp_path / "cu.cif"), *EMT_ENGINE, *wrong])
        assert caught.value.code == 2 and "--mode" in capsys.readouterr().err


def main_quietly(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0


# The page


def test_options_of_the_page_exist(capsys):
    """Every command of docs/phonons.md has options that the verbs know."""
    page = (Path(__file__).parents[2] / "docs" / "phonons.md").read_text()
    commands = re.findall(r"^    (?:PYTHONPATH=\. )?hint (phonons|double-well) (.+)$", page, re.M)
    assert len(commands) >= 4
    for verb in ("phonons", "double-well"):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        known = capsys.readouterr().out
        table = re.findall(r"^\| `(--\w+)", page, re.M) if verb == "phonons" else []
        words = [w for v, rest in commands if v == verb for w in rest.split() if w.startswith("--")]
        for word in {*words, *table}:
            assert word in known, (verb, word)
