"""VPT2: closed forms, brute force in matrices, levels that are numerically exact, and the program SPECTRO."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import Bohr, Hartree

from hint_plugin.core.spectra import EV_PER_WAVENUMBER
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.science.molecules.anharmonic import anharmonic_vibrations
from hint_plugin.science.molecules.anharmonic_result import AnharmonicResult
from hint_plugin.science.molecules.vpt2 import (
    AnharmonicField,
    anharmonic_constants,
    fermi_resonances,
    perturbed_levels,
)
from hint_plugin.science.molecules.vpt2.effective import EffectiveHamiltonian
from hint_plugin.science.molecules.vpt2.levels import states_of
from hint_plugin.science.molecules.vpt2.resonances import degenerate_sets

QUARTIC = Path(__file__).parents[1] / "data" / "quartic"


class Morse(Calculator):
    """D (1 - exp(-a (r - r0)))^2 of a diatomic, in eV and A."""

    implemented_properties = ("energy", "forces")
    depth, a, r0 = 4.6, 2.2, 0.92

    def derivatives(self, atoms: Atoms) -> tuple[float, float, float, np.ndarray]:
        bond = atoms.positions[1] - atoms.positions[0]
        r = np.linalg.norm(bond)
        u = np.exp(-self.a * (r - self.r0))
        first, second = 2 * self.depth * self.a * u * (1 - u), 2 * self.depth * self.a**2 * u * (2 * u - 1)
        return self.depth * (1 - u) ** 2, first, second, bond / r

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        energy, first, _, unit = self.derivatives(self.atoms)
        self.results = {"energy": energy, "forces": np.array([first * unit, -first * unit])}

    def get_hessian(self, atoms: Atoms) -> np.ndarray:
        _, first, second, unit = self.derivatives(atoms)
        r = np.linalg.norm(atoms.positions[1] - atoms.positions[0])
        block = second * np.outer(unit, unit) + first / r * (np.eye(3) - np.outer(unit, unit))
        return np.block([[block, -block], [-block, block]])


class Taylor(Calculator):
    """A polynomial of fourth order in Cartesian displacements, of `tests/data/quartic`."""

    implemented_properties = ("energy", "forces")

    def __init__(self, about: dict) -> None:
        super().__init__()
        self.start = np.array(about["positions"]) * Bohr
        self.orders = []
        for order, name in ((2, "hessian"), (3, "cubic"), (4, "quartic")):
            tensor = np.zeros((self.start.size,) * order)
            for *index, value in about[name]:
                for permuted in set(itertools.permutations(index)):
                    tensor[permuted] = value * Hartree / Bohr**order
            self.orders.append(tensor)

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        u, (h, c, q) = (self.atoms.positions - self.start).ravel(), self.orders
        second, third, fourth = h @ u, c @ u @ u, q @ u @ u @ u
        energy = u @ (second / 2 + third / 6 + fourth / 24)
        self.results = {"energy": energy, "forces": -(second + third / 2 + fourth / 6).reshape(-1, 3)}

    def get_hessian(self, atoms: Atoms) -> np.ndarray:
        u, (h, c, q) = (atoms.positions - self.start).ravel(), self.orders
        return h + c @ u + q @ u @ u / 2


def published(name: str) -> tuple[Atoms, dict]:
    about = json.loads((QUARTIC / f"{name}.json").read_text(encoding="utf-8"))
    calculator = Taylor(about)
    atoms = Atoms(about["symbols"], calculator.start, masses=about["masses"])
    atoms.calc = calculator
    return atoms, about["spectro"]


def some_field(omega: list[float], seed: int = 1, size: float = 1.0) -> AnharmonicField:
    """Constants of the size that molecules have, with Coriolis couplings."""
    rng, n = np.random.default_rng(seed), len(omega)
    scale = size * np.sqrt(np.mean(omega))
    cubic = np.zeros((n, n, n))
    for index in itertools.combinations_with_replacement(range(n), 3):
        value = 4.0 * scale * rng.standard_normal()
        for permuted in set(itertools.permutations(index)):
            cubic[permuted] = value
    quartic, known = np.zeros((n, n, n)), {}
    for k, i, j in itertools.product(range(n), repeat=3):
        key = tuple(sorted((i, j, k, k)))
        quartic[k, i, j] = known.setdefault(key, size**2 * 60.0 * rng.standard_normal())
    zeta = rng.uniform(-1, 1, (3, n, n))
    rotational = size**2 * np.array([12.0, 5.0, 3.0])
    return AnharmonicField(np.array(omega), cubic, quartic, rotational, zeta - zeta.transpose(0, 2, 1))


class Matrices:
    """The Hamiltonian as matrices of q and p in a basis of harmonic oscillators."""

    def __init__(self, field: AnharmonicField, levels: int) -> None:
        n, one = len(field.frequencies), np.diag(np.sqrt(np.arange(1, levels)), 1)
        q1, p1 = (one + one.T) / np.sqrt(2), (one.T - one) / np.sqrt(2)  # p / i

        def whole(matrix: np.ndarray, mode: int) -> np.ndarray:
            found = np.eye(1)
            for k in range(n):
                found = np.kron(found, matrix if k == mode else np.eye(levels))
            return found

        q, p = ([whole(matrix, k) for k in range(n)] for matrix in (q1, p1))
        omega, size = field.frequencies, levels**n
        self.states = list(itertools.product(range(levels), repeat=n))
        self.energies = np.array([omega @ (np.array(state) + 0.5) for state in self.states])
        self.cubic, self.rest = np.zeros((size, size)), -field.rotational.sum() / 4 * np.eye(size)
        square = [[a @ b for b in q] for a in q]
        for i, j, k in itertools.product(range(n), repeat=3):
            self.cubic += field.cubic[i, j, k] / 6 * square[i][j] @ q[k]
        done = set()
        for k, i, j in itertools.product(range(n), repeat=3):
            key = tuple(sorted((i, j, k, k)))
            if key not in done:
                done.add(key)
                often = 24 / len(set(itertools.permutations(key)))
                self.rest += field.quartic[k, i, j] / often * square[i][j] @ square[k][k]
        for axis in range(3):
            turn = sum(
                field.zeta[axis, i, j] * np.sqrt(omega[j] / omega[i]) * q[i] @ p[j]
                for i in range(n)
                for j in range(n)
                if i != j
            )
            self.rest -= field.rotational[axis] * turn @ turn  # (i pi)^2

    def index(self, state: tuple[int, ...]) -> int:
        return self.states.index(state)

    def second(self, state: tuple[int, ...]) -> float:
        """Rayleigh-Schroedinger perturbation theory, summed over all states."""
        n = self.index(state)
        gaps, couplings = self.energies[n] - self.energies, self.cubic[n]
        gaps[n] = np.inf
        return float(self.energies[n] + self.rest[n, n] + (couplings**2 / gaps).sum())


@pytest.fixture(scope="module")
def three() -> tuple[AnharmonicField, Matrices]:
    field = some_field([700.0, 1130.0, 3010.0])
    return field, Matrices(field, 6)


def test_morse_is_exact():
    """E(v) = omega (v + 1/2) - omega^2 / 4D (v + 1/2)^2, which VPT2 gives without an error."""
    atoms = Atoms("HF", [(0, 0, 0), (0, 0, Morse.r0)])
    atoms.calc = Morse()
    for step in (0.05, 0.1):
        found = anharmonic_vibrations(atoms, step=step)
        omega = found.levels.field.frequencies[0]
        exact = omega**2 / (4 * Morse.depth / EV_PER_WAVENUMBER)
        assert found.levels.constants.x[0, 0] == pytest.approx(-exact, rel=2e-5 * (step / 0.05) ** 4)
        assert found.levels.fundamentals[0] == pytest.approx(omega - 2 * exact, abs=0.05)
        assert found.levels.energy((2,)) == pytest.approx(2 * omega - 6 * exact, abs=0.2)
        assert found.levels.zero_point_energy == pytest.approx(omega / 2 - exact / 4, abs=0.02)
        assert found.levels.constants.chi_0 == pytest.approx(0.0, abs=0.02)
        # what is said of the error covers it, and is not far too large
        assert abs(found.levels.fundamentals[0] - omega + 2 * exact) < found.errors[0] < 2.0
    assert found.cost == {"hessians": 2, "products": None, "forces": 4}
    assert found.remarks == []


def test_closed_forms_are_the_sums_over_states(three):
    """x_ij and the zero-point energy against matrices of q and p, states of up to two quanta."""
    field, matrices = three
    constants = anharmonic_constants(field)
    ground = matrices.second((0, 0, 0))
    assert constants.zero_point_energy == pytest.approx(ground, abs=1e-6)
    for state in [*states_of(3, 1), *states_of(3, 2)]:
        assert constants.energy(state) == pytest.approx(matrices.second(state) - ground, abs=1e-6)


def test_deperturbed_constants_are_the_diagonal_of_the_effective_hamiltonian(three):
    """With terms of resonances left out, of states of any quanta; and couplings against matrices."""
    field, matrices = three
    levels = perturbed_levels(field, resonances=[(0, 0, 1), (0, 1, 2)], second_order=False)
    hamiltonian = EffectiveHamiltonian(field, [one.change(3) for one in levels.fermi])
    ground = hamiltonian.second_order((0, 0, 0), (0, 0, 0))
    assert ground + field.frequencies.sum() / 2 - field.rotational.sum() / 4 == pytest.approx(
        levels.zero_point_energy, abs=1e-9
    )
    for state in ((1, 0, 0), (0, 1, 0), (2, 0, 1), (1, 2, 1)):
        found = hamiltonian.harmonic(state) + hamiltonian.second_order(state, state) - ground
        assert found == pytest.approx(levels.constants.energy(state), abs=1e-9)
    a, b = (2, 0, 0), (0, 1, 0)
    assert hamiltonian.first_order(a, b) == pytest.approx(field.cubic[0, 0, 1] / 4)
    element = matrices.cubic[matrices.index(a), matrices.index(b)]
    assert hamiltonian.first_order(a, b) == pytest.approx(element)
    plain = EffectiveHamiltonian(field)
    n, m = matrices.index((2, 0, 0)), matrices.index((0, 2, 0))
    gaps = [matrices.energies[at] - matrices.energies for at in (n, m)]
    for gap in gaps:
        gap[np.abs(gap) < 1e-9] = np.inf
    summed = matrices.cubic[n] * matrices.cubic[m] * (1 / gaps[0] + 1 / gaps[1]) / 2
    assert plain.second_order((2, 0, 0), (0, 2, 0)) == pytest.approx(
        matrices.rest[n, m] + summed.sum(), abs=1e-6
    )


def test_levels_in_resonance_against_exact_ones():
    """2 omega_1 = omega_2 within 2 cm^-1: the error of the mixed levels falls faster than the second power of
    the anharmonicity, and plain VPT2 is far off."""
    errors = []
    for size in (0.5, 0.25):
        field = some_field([1001.0, 2000.0], seed=2, size=size)
        levels = perturbed_levels(field, resonances=[(0, 0, 1)])
        matrices = Matrices(field, 14)
        kept = [n for n, state in enumerate(matrices.states) if sum(state) <= 10]
        whole = (np.diag(matrices.energies) + matrices.cubic + matrices.rest)[np.ix_(kept, kept)]
        exact, vectors = np.linalg.eigh(whole)
        place = {matrices.states[n]: row for row, n in enumerate(kept)}
        mixed = [(0, 1), (2, 0)]
        both = sum(vectors[place[state]] ** 2 for state in mixed)
        wanted = np.sort(exact[np.argsort(-both)[:2]]) - exact[0]
        found = np.sort([levels.energy(state) for state in mixed])
        errors.append(np.abs(found - wanted).max())
        assert levels.weight((0, 1)) < 0.9
        plain = np.sort([levels.plain.energy(state) for state in mixed])
        assert np.abs(plain - wanted).max() > 20 * errors[-1]
    assert errors[0] < 1.0 and errors[1] < 0.2 * errors[0]


def test_martins_test():
    """Type 1 at W^4 / D^3 = 1 cm^-1 and not below; degenerate modes go together."""
    cubic, omega = np.zeros((3, 3, 3)), np.array([1000.0, 1000.0, 1940.0])

    def field(phi: float, other: float) -> AnharmonicField:
        for mode, value in ((0, phi), (1, other)):
            for permuted in itertools.permutations((mode, mode, 2)):
                cubic[permuted] = value
        return AnharmonicField(omega, cubic.copy(), np.zeros((3, 3, 3)), np.zeros(3), np.zeros((3, 3, 3)))

    limit = 4 * 60.0**0.75
    assert fermi_resonances(field(0.99 * limit, 0.0)) == []
    (one,) = fermi_resonances(field(1.01 * limit, 0.0))
    assert (one.i, one.j, one.k, one.kind) == (0, 0, 2, 1) and one.gap == pytest.approx(-60)
    assert one.error == pytest.approx(1.01**4) and one.as_dict()["modes"] == [1, 1, 3]
    assert len(fermi_resonances(field(1.01 * limit, 0.2 * limit))) == 2
    assert degenerate_sets(np.array([3.0, 1.0, 3.2])).tolist() == [1, 0, 1]


@pytest.mark.parametrize("name", ["h2o", "h2co"])
def test_against_spectro(name):
    """Constants, fundamentals, Fermi resonances and the ground state, through differences of Hessians."""
    atoms, spectro = published(name)
    found = anharmonic_vibrations(atoms)
    given = [tuple(mode - 1 for mode in modes) for modes in spectro.get("resonances", [])]
    levels = perturbed_levels(found.levels.field, resonances=given, second_order=False)
    assert levels.field.frequencies == pytest.approx(spectro["harmonic"], abs=2e-3)
    for i, j, value in spectro["x"]:
        assert levels.constants.x[i - 1, j - 1] == pytest.approx(value, abs=3e-3)
    assert levels.fundamentals == pytest.approx(spectro["fundamentals"], abs=3e-3)
    for modes, value in spectro.get("partners", {}).items():
        state = np.zeros(len(atoms) * 3 - 6, dtype=int)
        np.add.at(state, [int(mode) - 1 for mode in modes.split(",")], 1)
        assert levels.energy(tuple(state.tolist())) == pytest.approx(value, abs=3e-3)
    # SPECTRO leaves out the constant parts of the rotation in its ground state
    field = levels.field
    turning = np.einsum("a,aij->", field.rotational, np.triu(field.zeta**2)) / 2
    theirs = levels.zero_point_energy - levels.constants.zero_point["watson"] + turning
    # and with resonances also parts of chi_0, which has none
    assert theirs == pytest.approx(spectro["zero_point_energy"], abs=1.0 if given else 5e-3)
    assert found.errors.max() < 1e-6  # the surface is of fourth order: differences have no error


def test_a_linear_molecule_against_spectro():
    """C2H-: degenerate bends with a rotation that is not there, and the overtone of no angular momentum."""
    atoms, spectro = published("c2h-")
    found = anharmonic_vibrations(atoms)
    levels = found.levels
    assert levels.field.linear and levels.field.rotational[0] == 0
    assert levels.fundamentals == pytest.approx(spectro["fundamentals"], abs=3e-3)
    for i, j, value in spectro["x"]:
        assert levels.constants.x[i - 1, j - 1] == pytest.approx(value, abs=3e-3)
    overtones = sorted(levels.energy(state) for state in ((2, 0, 0, 0), (0, 2, 0, 0)))
    assert overtones[0] == pytest.approx(spectro["bend_overtone"], abs=3e-3)
    assert overtones[1] == pytest.approx(levels.energy((1, 1, 0, 0)), abs=3e-3)  # both of |l| = 2
    assert levels.constants.zero_point["watson"] == 0


def test_the_degenerate_modes_may_be_turned():
    """The levels do not depend on which bends are chosen."""
    field = anharmonic_vibrations(published("c2h-")[0]).levels.field
    angle = 0.4
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    cubic = np.einsum("ai,bj,ck,ijk->abc", turn, turn, turn, field.cubic)
    zeta = np.einsum("ai,bj,xij->xab", turn, turn, field.zeta)
    # the quartic constants of the bends alone are those of one number: phi_1111 = 3 phi_1122
    turned = AnharmonicField(field.frequencies, cubic, field.quartic, field.rotational, zeta, True)
    one, other = perturbed_levels(field), perturbed_levels(turned)
    assert other.fundamentals == pytest.approx(one.fundamentals, abs=0.01)
    for pair in (((2, 0, 0, 0), (0, 2, 0, 0)), ((1, 0, 1, 0), (0, 1, 1, 0))):
        assert sorted(map(other.energy, pair)) == pytest.approx(sorted(map(one.energy, pair)), abs=0.02)


def test_what_is_no_minimum_is_refused():
    atoms, _ = published("h2o")
    atoms.positions[0, 1] += 0.05
    with pytest.raises(EngineError, match="not at its minimum: along mode"):
        anharmonic_vibrations(atoms)
    atoms, _ = published("h2o")
    with pytest.raises(EngineError, match="imaginary modes"):
        anharmonic_vibrations(atoms, -atoms.calc.get_hessian(atoms))
    for step in (0.0, 1.0, float("nan")):
        with pytest.raises(OptionsError, match="wanted 0.001 to 0.5"):
            anharmonic_vibrations(atoms, step=step)
    with pytest.raises(EngineError, match="has no vibrations"):
        anharmonic_vibrations(_alone())


def _alone() -> Atoms:
    atoms = Atoms("H", [(0, 0, 0)])
    atoms.calc = Nothing()
    return atoms


class Nothing(Calculator):
    """No energy."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}

    def get_hessian(self, atoms: Atoms) -> np.ndarray:
        return np.zeros((3 * len(atoms),) * 2)


def test_soft_modes_and_a_force_that_is_left_are_said():
    atoms, _ = published("h2o")
    atoms.positions[0, 2] += 0.001
    told = " ".join(anharmonic_vibrations(atoms).remarks)
    assert "the force that is left moves frequencies by up to" in told
    field = some_field([60.0, 1100.0, 3000.0], size=0.1)
    levels = perturbed_levels(field)
    result = AnharmonicResult(levels, None, np.zeros(3), 0, 0, 0, 0, 0.1, {})  # type: ignore[arg-type]
    assert "not to be trusted for mode 1 (60 ->" in " ".join(result.remarks)


def test_lines_share_the_intensity_of_a_fundamental():
    atoms, _ = published("h2co")
    levels = anharmonic_vibrations(atoms).levels
    strengths = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    positions, heights = levels.lines(strengths)
    assert heights.sum() == pytest.approx(strengths.sum()) and len(positions) > 6
    own = np.abs(positions - levels.fundamentals[5]).argmin()
    assert heights[own] == pytest.approx(6.0 * levels.weight((0, 0, 0, 0, 0, 1)), rel=1e-6)
    json.dumps(levels.as_dict())  # nothing that JSON does not know


@pytest.mark.long
def test_hartree_fock_water_against_psi4():
    """RHF/6-31G(d) at the geometry of the tests of pyvpt2, which has the numbers of Psi4's Hessians."""
    pytest.importorskip("pyscf", reason="needs PySCF: pip install '.[dft]'")
    from hint_plugin.labelling import EngineCalculator, make_engine

    r, angle = 0.94731025924472878064, np.radians(105.5028950965639)
    places = [(0, 0, 0), (r, 0, 0), (r * np.cos(angle), r * np.sin(angle), 0)]
    atoms = Atoms("OHH", places, masses=[15.99491462, 1.00782503, 1.00782503])
    atoms.calc = EngineCalculator(make_engine("pyscf", xc="hf", basis="6-31g(d)", conv_tol=1e-12))
    found = anharmonic_vibrations(atoms)
    omega = found.levels.field.frequencies
    assert omega == pytest.approx([1826.8154, 4060.2203, 4177.8273], abs=0.01)
    assert found.levels.fundamentals - omega == pytest.approx([-54.0635, -158.2345, -177.9707], abs=0.1)
    assert found.levels.zero_point_energy - omega.sum() / 2 == pytest.approx(-70.352, abs=0.05)
