"""Averages over a population and its minimisation, against the same sums in real space, without q points."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase import units
from crystal_potentials import HBAR, QuarticWells, Springs, heavy_lattice

from hint_plugin.data.formats.qe_dyn import RY_PER_BOHR2
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.anharmonic import Evaluated, from_hessian, minimisation
from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
from hint_plugin.science.anharmonic.ensemble import Population, draw, frames, weighted_mean
from hint_plugin.science.anharmonic.minimisation import Step, _converged, _inverse_at_gamma, minimise

CELLS, SIZE, K = 3, 18, 8  # three cells of two atoms: at two of three q all is complex


def crystal(stiffness: float = 5.0, shift: float = 0.0):
    """Three cells of two atoms of 3 and 2 amu, whose springs differ along x, y and z."""
    lattice = heavy_lattice(2.0, (CELLS, 1, 1), stiffness)
    atoms = lattice.atoms.copy()
    atoms.set_masses([3.0, 2.0])
    atoms.positions[1] += shift * np.array([1.0, -2.0, 0.5])
    blocks = lattice.blocks.copy()
    more = np.diag([1.0, 2.0, 4.0])
    blocks[0, 0, 0] += np.kron([[1, 0], [0, 1]], more)
    blocks[1, 0, 0] -= np.kron([[0, 0], [1, 0]], more)  # to the atom of the other kind in the next cell
    blocks[2, 0, 0] -= np.kron([[0, 1], [0, 0]], more)
    return replace(lattice, atoms=atoms, blocks=blocks)


def by_hand(constants, temperature):
    """Precision [18, 18] of the displacements, logarithm of the product of widths, and free energy."""
    masses = np.tile(np.repeat(constants.atoms.get_masses(), 3), CELLS)
    root = np.sqrt(masses)
    values, vectors = np.linalg.eigh(constants.matrix() / np.outer(root, root))
    rigid = np.argsort(abs(values))[:3]
    energies = HBAR * np.sqrt(np.delete(values, rigid))
    vectors = np.delete(vectors, rigid, axis=1)
    thermal = units.kB * temperature
    coth = 1 / np.tanh(energies / (2 * thermal)) if temperature else np.ones(SIZE - 3)
    factor = 2 * energies / (HBAR**2 * coth)
    free = 0.5 * energies.sum()
    if temperature:
        free += thermal * np.log(1 - np.exp(-energies / thermal)).sum()
    precision = (vectors * factor) @ vectors.T * np.outer(root, root)
    return precision, -0.5 * np.log(factor).sum(), free


def some_population(temperature=300.0, seed=0):
    """Displacements in pairs, with energies, forces and stresses that are any numbers."""
    rng = np.random.default_rng(seed)
    origin = crystal()
    u = draw(origin, temperature, K, rng)
    energies, forces = rng.normal(size=K) * 0.02, rng.normal(size=(K, 2 * CELLS, 3))
    return Population(origin, temperature, u, Evaluated(energies, forces, rng.normal(size=(K, 3, 3))))


@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_averages_are_those_of_the_supercell(temperature):
    population = some_population(temperature)
    other = crystal(5.6, shift=0.01)
    found = population.averages(other)
    first, first_widths, _ = by_hand(population.origin, temperature)
    precision, widths, free = by_hand(other, temperature)
    u0 = population.displacements
    u = u0 - np.tile((other.atoms.positions - population.origin.atoms.positions).ravel(), CELLS)
    quadratic = np.einsum("ka,ab,kb->k", u, precision, u) - np.einsum("ka,ab,kb->k", u0, first, u0)
    rho = np.exp(first_widths - widths - 0.5 * quadratic)
    assert found.weights == pytest.approx(rho, rel=1e-8)
    assert found.effective == pytest.approx(rho.sum() ** 2 / (rho**2).sum(), rel=1e-8)
    p = rho / rho.sum()
    phi = other.matrix()
    beyond = population.found.energies - 0.5 * np.einsum("ka,ab,kb->k", u, phi, u)
    assert found.harmonic_free_energy == pytest.approx(free / CELLS, rel=1e-8)
    assert found.free_energy == pytest.approx((free + p @ beyond) / CELLS, rel=1e-8)
    assert found.free_energy_error == pytest.approx(weighted_mean(beyond, rho)[1] / CELLS, rel=1e-8)
    df = population.found.forces.reshape(K, SIZE) + u @ phi
    per_cell = df.reshape(K, CELLS, 6).mean(axis=1)
    mean = p @ per_cell
    assert found.forces == pytest.approx(mean.reshape(2, 3), rel=1e-8)
    variance = (p @ per_cell**2 - mean**2) / rho.sum()
    assert found.forces_error == pytest.approx(np.sqrt(variance).reshape(2, 3), rel=1e-8)
    v = u @ precision
    whole = np.einsum("k,ka,kb->ab", p, v, df)
    wanted = from_hessian(other.atoms, (CELLS, 1, 1), 0.5 * (whole + whole.T)).blocks
    assert found.gradient == pytest.approx(wanted, rel=1e-7, abs=1e-9)
    error = 0.0
    for q in range(CELLS):
        wave = np.exp(-2j * np.pi * q * np.arange(CELLS) / CELLS) / CELLS**0.5
        at_q, df_q = (np.einsum("n,kna->ka", wave, x.reshape(K, CELLS, 6)) for x in (v, df))
        mean_q = np.einsum("k,ka,kb->ab", p, at_q, df_q.conj())
        squares = np.einsum("k,ka,kb->ab", p, abs(at_q) ** 2, abs(df_q) ** 2)
        error += (squares - abs(mean_q) ** 2).sum() / rho.sum()
    assert found.gradient_error == pytest.approx(error**0.5, rel=1e-8)


def test_at_the_origin_all_weigh_the_same():
    population = some_population()
    found = population.averages(population.origin)
    assert found.weights == pytest.approx(np.ones(K)) and found.effective == pytest.approx(K)


def test_no_averages_of_imaginary_modes():
    assert some_population().averages(crystal(-50.0)) is None


def test_stresses_are_averages_with_the_virial_of_the_displacements():
    population = some_population()
    other = crystal(5.6, shift=0.01)
    rho = population.averages(other).weights
    mean, error = population.stress(other, rho)
    u = population.displacements.reshape(K, 2 * CELLS, 3)
    u = u - np.tile(other.atoms.positions - population.origin.atoms.positions, (CELLS, 1))
    f, volume = population.found.forces, CELLS * 27.0
    values = np.zeros((K, 3, 3))
    for a in range(3):
        for b in range(3):
            virial = (f[:, :, a] * u[:, :, b] + f[:, :, b] * u[:, :, a]).sum(axis=1) / (2 * volume)
            values[:, a, b] = population.found.stresses[:, a, b] + virial
    assert mean == pytest.approx(np.einsum("k,kab->ab", rho, values) / rho.sum())
    assert error[0, 2] == pytest.approx(weighted_mean(values[:, 0, 2], rho)[1])
    without = Population(
        population.origin, 300.0, population.displacements,
        replace(population.found, stresses=None),
    )  # fmt: skip
    with pytest.raises(DataError, match="evaluate it with stress=True"):
        without.stress(other, rho)


def test_mean_and_error_of_pairs():
    """Of two pairs with weights 1 and 3: by the derivatives of sum(w x) / sum(w) of pairs."""
    values, weights = np.array([1.0, 3.0, 5.0, 9.0]), np.array([1.0, 1.0, 3.0, 3.0])
    mean, error = weighted_mean(values, weights)
    assert mean == pytest.approx((1 + 3 + 15 + 27) / 8)
    # pairs: products 2 and 21, weights 1 and 3; residuals of the mean 5.75: -9.5 + 5.75 and 9.5 - 5.75
    assert error == pytest.approx(np.sqrt(2 * 3.75**2 / 1 / 2) / 2)
    alone, nothing = weighted_mean(np.array([1.0, 3.0]), np.ones(2))
    assert (alone, nothing) == (2.0, 0.0)
    same = weighted_mean(np.repeat([1.0, 2.0, 6.0], 2), np.ones(6))
    assert same == pytest.approx((3.0, np.std([1, 2, 6], ddof=1) / 3**0.5))
    assert weighted_mean(np.repeat([1.0, 2.0, 6.0], 2), -np.ones(6))[1] == pytest.approx(same[1])


@pytest.mark.parametrize("temperature", [0.0, 400.0])
def test_displacements_have_the_covariance_of_the_supercell(temperature):
    u = draw(crystal(), temperature, 20000, np.random.default_rng(0))
    assert u.shape == (20000, SIZE) and np.array_equal(u[::2], -u[1::2])
    precision = by_hand(crystal(), temperature)[0]
    wanted = np.linalg.pinv(precision)
    # the translations are not drawn with mass weights 0: both have none along sum m u
    masses = np.tile(np.repeat([3.0, 2.0], 3), CELLS)
    assert abs(u.reshape(-1, 2 * CELLS, 3).transpose(0, 2, 1) @ np.tile([3.0, 2.0], CELLS)).max() < 1e-10
    move = np.tile(np.eye(3), (2 * CELLS, 1))
    centre = np.eye(SIZE) - move @ (move.T * masses) / (masses.sum() / 3)
    wanted = centre @ wanted @ centre.T
    assert u.T @ u / len(u) == pytest.approx(wanted, abs=0.05 * wanted.max())


@pytest.mark.parametrize("count", [-2, 0, 1, 3])
def test_structures_come_in_pairs(count):
    with pytest.raises(OptionsError, match="wanted an even number"):
        draw(crystal(), 0.0, count, np.random.default_rng(0))
    assert draw(crystal(), 0.0, 2, np.random.default_rng(0)).shape == (2, SIZE)


def test_frames_are_the_supercell_displaced():
    population = some_population()
    found = population.frames()
    home = population.origin.supercell().positions
    assert len(found) == K == len(frames(population.origin, population.displacements))
    for atoms, u in zip(found, population.displacements, strict=True):
        assert atoms.positions == pytest.approx(home + u.reshape(-1, 3))


@pytest.mark.parametrize(("atoms", "structures"), [(5, K), (6, K - 2)])
def test_forces_of_other_structures_are_refused(atoms, structures):
    u = np.zeros((K, SIZE))
    with pytest.raises(DataError, match="do not fit"):
        Population(crystal(), 0.0, u, Evaluated(np.zeros(K), np.zeros((structures, atoms, 3)), None))
    with pytest.raises(DataError, match="do not fit"):
        Population(crystal(), 0.0, u[:, :15], Evaluated(np.zeros(K), np.zeros((K, 5, 3)), None))


# Minimisation


def test_the_inverse_at_gamma_is_the_one_without_translations():
    """Moore and Penrose's, of sum_n Phi(0, n)."""
    constants = crystal()
    wanted = np.linalg.pinv(constants.blocks.sum(axis=(0, 1, 2)), rcond=1e-10)
    assert _inverse_at_gamma(constants) == pytest.approx(wanted, abs=1e-12)


def step_of(**values) -> Step:
    return Step(**{"free_energy": 0.0, "free_energy_error": 0.0, "gradient": 0.0, "gradient_error": 0.0,
                   "shift": 0.0, "shift_error": 0.0, "effective": 1.0, **values})  # fmt: skip


@pytest.mark.parametrize(
    ("values", "converged"),
    [
        ({"gradient": 0.9e-3, "gradient_error": 1.0}, True),
        ({"gradient": 1.1e-3, "gradient_error": 1.0}, False),
        ({"shift": 0.9e-3, "shift_error": 1.0}, True),
        ({"shift": 1.1e-3, "shift_error": 1.0}, False),
        ({"gradient": 1.1e-3, "gradient_error": 1.0, "shift": 0.9e-3, "shift_error": 1.0}, False),
        # of a harmonic crystal, without errors: 1e-8 Ry/bohr^2 and 1e-8 A
        ({"gradient": 0.9e-8 * RY_PER_BOHR2}, True),
        ({"gradient": 1.1e-8 * RY_PER_BOHR2}, False),
        ({"shift": 0.9e-8}, True),
        ({"shift": 1.1e-8}, False),
    ],
)
def test_converged_within_the_statistical_errors(values, converged):
    assert _converged(step_of(**values), 1e-3) is converged
    assert step_of(**values).as_dict()["effective"] == 1.0


def quartic_population(count=40, quartic=3.0):
    lattice = heavy_lattice(1.0, (2, 1, 1), 4.0)
    u = draw(lattice, 0.0, count, np.random.default_rng(0))
    wells = QuarticWells(lattice, quartic)
    return Population(lattice, 0.0, u, wells(frames(lattice, u)))


def test_a_step_goes_down_the_gradient_by_its_length():
    """The first is 1.5 times as long as was asked for; the next one, after a good one, 1.5 times that."""
    population = quartic_population()
    group = SpaceGroup(population.origin.atoms, (2, 1, 1))
    told = []
    one = minimise(population, group, step=0.002, steps=1, report=told.append)
    gradient = group.symmetric(population.averages(population.origin).gradient)
    assert one.constants.blocks == pytest.approx(population.origin.blocks - 0.003 * gradient, abs=1e-12)
    assert one.reason == "steps" and not one.converged
    assert told == [one.steps[1]] and len(one.steps) == 2
    two = minimise(population, group, step=0.002, steps=2)
    then = group.symmetric(one.averages.gradient)
    assert two.constants.blocks == pytest.approx(one.constants.blocks - 0.0045 * then, abs=1e-12)
    assert two.steps[:2] == one.steps
    assert len(minimise(population, group, steps=0).steps) == 1


def test_what_a_step_tells():
    """Norms over all q (Parseval), errors over the operations of the group, the effective part."""
    population = quartic_population()
    group = SpaceGroup(population.origin.atoms, (2, 1, 1))
    (step,) = minimise(population, group, steps=0).steps
    averages = population.averages(population.origin)
    gradient = np.fft.ifftn(group.symmetric(averages.gradient), axes=(0, 1, 2), norm="forward")
    assert step.gradient == pytest.approx(np.sqrt((abs(gradient) ** 2).sum()))
    assert step.gradient_error == pytest.approx(averages.gradient_error / np.sqrt(group.order * 2))
    inverse = _inverse_at_gamma(population.origin)
    move = group.symmetric_vectors((-inverse @ averages.forces.ravel()).reshape(-1, 3))
    assert step.shift == pytest.approx(np.linalg.norm(move), abs=1e-15)
    errors = np.sqrt(((inverse * averages.forces_error.ravel()) ** 2).sum())
    assert step.shift_error == pytest.approx(errors / np.sqrt(group.order))
    assert (step.free_energy, step.free_energy_error) == (averages.free_energy, averages.free_energy_error)
    assert step.effective == pytest.approx(averages.effective / 40) == 1.0


def test_centroids_move_along_the_forces():
    """An atom that is pushed by f moves by f / k: of springs whose rest lies elsewhere, to that place."""
    lattice = heavy_lattice(1.0, (2, 1, 1), 4.0)
    u = draw(lattice, 0.0, 40, np.random.default_rng(0))
    rest = np.array([0.01, 0.02, -0.01])
    stretched = u.reshape(40, 2, 2, 3).copy()
    stretched[:, :, 1] -= rest
    moved = stretched.reshape(40, 12)
    forces = -(moved @ lattice.matrix())
    energies = -0.5 * (moved * forces).sum(axis=1)
    population = Population(lattice, 0.0, u, Evaluated(energies, forces.reshape(40, 4, 3), None))
    group = SimpleNamespace(order=1, symmetric=lambda x: x, symmetric_vectors=lambda x: x)
    found = minimise(population, group, step=0.05, kong_liu=0.1)
    assert found.converged
    bond = np.diff(found.constants.atoms.positions, axis=0) - np.diff(lattice.atoms.positions, axis=0)
    assert bond[0] == pytest.approx(rest, abs=1e-6)
    assert found.constants.blocks == pytest.approx(lattice.blocks, abs=1e-4)


def test_a_thousand_steps_are_the_most(monkeypatch):
    """Of a minimisation that never converges; here, one that stays where it is."""
    monkeypatch.setattr(minimisation, "_converged", lambda *_: False)
    monkeypatch.setattr(minimisation, "_along", lambda _population, _group, point, *_: (point, 0.1))
    population = quartic_population()
    found = minimise(population, SpaceGroup(population.origin.atoms, (2, 1, 1)))
    assert len(found.steps) == 1 + 1000 and found.reason == "steps"


def test_how_it_ends():
    population = quartic_population()
    group = SpaceGroup(population.origin.atoms, (2, 1, 1))
    hard = quartic_population(quartic=30.0)
    found = minimise(hard, group, kong_liu=0.9)
    assert found.reason == "exhausted" and found.steps[-1].effective < 0.9 <= found.steps[-2].effective
    found = minimise(population, group, kong_liu=0.01, meaningful=0.5)
    assert found.reason == "converged" and found.converged
    assert found.steps[-1].gradient < 0.5 * found.steps[-1].gradient_error
    assert all(step.gradient >= 0.5 * step.gradient_error for step in found.steps[:-1])
    springs = Springs(population.origin)(population.frames())
    at_rest = Population(population.origin, 0.0, population.displacements, springs)
    assert len(minimise(at_rest, group).steps) == 1 and minimise(at_rest, group).converged


@pytest.mark.parametrize("name", ["step", "kong_liu", "meaningful"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_numbers_that_cannot_be(name, value):
    population = quartic_population(4)
    with pytest.raises(OptionsError, match=f"{name} {value}; wanted a number above 0"):
        minimise(population, SpaceGroup(population.origin.atoms, (2, 1, 1)), **{name: value})


def test_a_bad_step_is_tried_again_shorter(monkeypatch):
    """0.87 times as long, two hundred times; the length says how far it got."""
    population = quartic_population(4)
    group = SpaceGroup(population.origin.atoms, (2, 1, 1))
    monkeypatch.setattr(minimisation, "_overlap", lambda start, found: -1.0)
    lengths, moved = [], minimisation._moved
    monkeypatch.setattr(
        minimisation, "_moved", lambda start, length: lengths.append(length) or moved(start, length)
    )
    with pytest.raises(DataError, match=r"no step lowers the free energy, down to 5\.5e-15 of the gradient"):
        minimise(population, group, step=0.002)
    assert lengths == pytest.approx(0.003 * 0.87358046475 ** np.arange(200))


@pytest.mark.parametrize(("kept", "good"), [(0.91, True), (0.9, True), (0.89, False)])
@pytest.mark.parametrize(("overlap", "down"), [(1.0, True), (0.0, True), (-1e-9, False)])
def test_a_good_step_keeps_nine_tenths_of_the_sample_and_still_goes_down(
    monkeypatch, kept, good, overlap, down
):
    start = SimpleNamespace(step=step_of(gradient=1.0, effective=0.8))
    after = SimpleNamespace(step=step_of(gradient=1.0, effective=kept * 0.8))
    calls = []
    monkeypatch.setattr(minimisation, "_moved", lambda start, length: length)
    monkeypatch.setattr(minimisation, "_overlap", lambda start, found: overlap)
    monkeypatch.setattr(minimisation, "_evaluate", lambda p, g, c: calls.append(c) or after)
    if good and down:
        assert minimisation._along(None, None, start, 0.1, 1e-3) == (after, 0.1) and calls == [0.1]
        return
    with pytest.raises(DataError, match="no step lowers"):
        minimisation._along(None, None, start, 0.1, 1e-3)
    after.step = step_of(effective=0.1)  # converged: whatever is left of the sample
    assert minimisation._along(None, None, start, 0.1, 1e-3) == (after, 0.1)


def test_overlap_of_gradients_in_rydberg_and_angstrom():
    """Over all cells: cells G.G' in (Ry/bohr^2)^2 and g.g' in A^2."""
    g = np.zeros((2, 1, 1, 6, 6))
    g[0, 0, 0, 0, 0] = RY_PER_BOHR2
    move = np.zeros((2, 3))
    move[0, 0] = 0.5
    start = SimpleNamespace(constants=SimpleNamespace(cells=2), gradient=2 * g, move=move)
    found = SimpleNamespace(gradient=3 * g, move=-2 * move)
    assert minimisation._overlap(start, found) == pytest.approx(2 * 6 - 0.5)
