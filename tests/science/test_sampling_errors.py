"""Statistical errors of a population: closed forms, and seeded populations against their own scatter."""

from __future__ import annotations

import numpy as np
import pytest
from crystal_potentials import QuarticWells, heavy_lattice

from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
from hint_plugin.science.anharmonic.ensemble import Population, draw, frames, weighted_mean
from hint_plugin.science.anharmonic.minimisation import minimise


def population(lattice, engine, count: int, seed: int = 0) -> Population:
    """Drawn at 300 K from the force constants of `lattice`."""
    displacements = draw(lattice, 300.0, count, np.random.default_rng(seed))
    return Population(lattice, 300.0, displacements, engine(frames(lattice, displacements)))


def test_a_mean_counts_pairs_and_not_structures():
    """Pairs 1, 3, 8: their mean is 4 and their variance 13, so that of the mean is 13/3 (not 26/15)."""
    mean, error = weighted_mean(np.array([1.0, 1, 3, 3, 8, 8]), np.ones(6))
    assert mean == pytest.approx(4) and error == pytest.approx(np.sqrt(13 / 3), rel=1e-12)
    # a scale of the weights changes nothing
    scaled = weighted_mean(np.array([1.0, 1, 3, 3, 8, 8]), np.full(6, 0.2))
    assert scaled == pytest.approx((mean, error), rel=1e-12)


def test_the_error_of_a_weighted_mean_by_hand():
    """Of the quotient R of p = rho x and rho: no error where x is the same everywhere."""
    assert weighted_mean(np.array([2.0, 2, 2, 2]), np.array([2.0, 2, 1, 1])) == pytest.approx((2, 0))
    mean, error = weighted_mean(np.array([2.0, 2, 3, 3]), np.array([2.0, 2, 1, 1]))
    # p = (4, 3), rho = (2, 1), R = 7/3: residuals of -2/3 and 2/3; their error, over the mean weight of 3/2
    assert (mean, error) == pytest.approx((7 / 3, (2 / 3) / 1.5), rel=1e-12)


def test_the_error_of_an_even_quantity_is_its_scatter_over_populations():
    """A thousand populations of 40 structures in pairs u, -u, with weights: the scatter of their means."""
    rng = np.random.default_rng(3)
    half = rng.normal(size=(1000, 20))
    u = np.stack([half, -half], axis=2).reshape(1000, 40)
    found = np.array([weighted_mean(x**2, np.exp(-0.1 * x**2)) for x in u])
    scatter = found[:, 0].std(ddof=1)  # itself known to 2 %
    assert np.sqrt(np.mean(found[:, 1] ** 2)) == pytest.approx(scatter, rel=0.08)


def test_the_error_of_the_free_energy_is_its_scatter_over_populations():
    """An even potential, at force constants other than those drawn from; sqrt(2) would be seen."""
    lattice = heavy_lattice(1.008, (1, 1, 2), 5.0)
    engine = QuarticWells(lattice, 6.0)
    other = lattice.with_blocks(1.1 * lattice.blocks)
    found = [population(lattice, engine, 40, seed).averages(other) for seed in range(400)]
    scatter = np.std([a.free_energy for a in found], ddof=1)  # itself known to 4 %
    error = np.sqrt(np.mean([a.free_energy_error**2 for a in found]))
    assert error == pytest.approx(scatter, rel=0.15)


def test_symmetry_and_cells_divide_the_error_that_decides_convergence():
    """16 operations and 2 cells divide the error by the root of 32, as in python-sscha.

    A minimisation ends where the gradient is below `meaningful` times this error, and just above it goes on.
    """
    lattice = heavy_lattice(1.008, (1, 1, 2), 5.0)
    sample = population(lattice, QuarticWells(lattice, 6.0), 60)
    group = SpaceGroup(lattice.atoms, lattice.repeats)
    averages = sample.averages(lattice)
    assert group.order == 16  # of 48, those that keep the supercell of 1 x 1 x 2
    step = minimise(sample, group, steps=0).steps[0]
    assert step.gradient_error == pytest.approx(averages.gradient_error / np.sqrt(16 * 2), rel=1e-12)
    matrix = lattice.blocks.sum(axis=(0, 1, 2))
    whole = np.linalg.pinv(matrix, rcond=1e-8)
    spread = np.sqrt(whole**2 @ averages.forces_error.ravel() ** 2)
    assert step.shift_error == pytest.approx(np.linalg.norm(spread) / np.sqrt(16), rel=1e-9)
    edge = step.gradient / (averages.gradient_error / np.sqrt(16 * 2))
    assert step.shift < 1e-8  # even: only the gradient of the force constants decides
    assert minimise(sample, group, steps=0, meaningful=0.99 * edge).reason == "steps"
    assert minimise(sample, group, steps=1, meaningful=1.01 * edge).reason == "converged"
