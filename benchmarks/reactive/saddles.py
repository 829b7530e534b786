"""Transition states from guesses, and the minima on both sides.

The search is partitioned rational function optimisation (A. Banerjee, N. Adams, J. Simons, R. Shepard,
J. Phys. Chem. 89, 52 (1985)) in Cartesian coordinates without translations and rotations, with an exact
Hessian at the start and every few steps and Bofill's updates in between: for small molecules a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.science.molecules.modes import largest_force, normal_modes
from hint_plugin.science.reactions.irc import follow
from reactive.geometries import FORCE, Dropped, relaxed

STEPS, RECALCULATE = 60, 12
TRUST = (0.02, 0.25)  # A, the norm of a step, at least and at most
LOWEST = -100.0  # cm^-1: the imaginary mode of a reaction is below it
_DOWN = 40  # steps on each side, before the optimiser takes over


@dataclass(frozen=True)
class Saddle:
    """A verified one: its way down on both sides, saddle first, and the two minima there."""

    atoms: Atoms
    ways: tuple[list[Atoms], list[Atoms]]
    minima: tuple[Atoms, Atoms]


def saddle_from(guess: Atoms, calculator: Any) -> Saddle:
    """The saddle next to a guess. Raises Dropped."""
    atoms = Atoms(guess.symbols, guess.positions, calculator=calculator)
    _search(atoms)
    hessian = np.asarray(calculator.get_hessian(atoms))
    modes = normal_modes(atoms, hessian)
    if modes.kind != "transition state" or modes.frequencies[0] > LOWEST:
        raise Dropped("other curvature at the saddle")
    ways, minima = [], []
    for side in (-1, 1):
        path = follow(atoms, hessian, side, steps=_DOWN, recalculate=10 * _DOWN)
        ways.append(path.images)
        minima.append(relaxed(path.images[-1], calculator))
    return Saddle(atoms, (ways[0], ways[1]), (minima[0], minima[1]))


def _search(atoms: Atoms) -> None:
    """Move to where no force is left. Raises Dropped."""
    trust, h, age = 0.1, np.zeros(0), RECALCULATE
    g, energy = -atoms.get_forces().ravel(), atoms.get_potential_energy()
    for _ in range(STEPS):
        if largest_force(g.reshape(-1, 3)) < FORCE:
            return
        if age >= RECALCULATE:
            h, age = np.asarray(atoms.calc.get_hessian(atoms)), 0
        step = _step(atoms.positions, g, h, trust)
        expected = float(g @ step + 0.5 * step @ h @ step)
        atoms.positions += step.reshape(-1, 3)
        g_new, energy_new = -atoms.get_forces().ravel(), atoms.get_potential_energy()
        trust = _trust(trust, energy_new - energy, expected, float(np.linalg.norm(step)))
        h, g, energy, age = _updated(h, step, g_new - g), g_new, energy_new, age + 1
    raise Dropped("saddle not converged")


def _step(positions: NDArray, g: NDArray, h: NDArray, trust: float) -> NDArray:
    """Up along the lowest mode, down along all others; at most ``trust`` long."""
    basis = _internal(positions)
    values, vectors = np.linalg.eigh(basis.T @ h @ basis)
    along = vectors.T @ (basis.T @ g)
    up = 0.5 * (values[0] + np.hypot(values[0], 2 * along[0]))
    matrix = np.diag([*values[1:], 0.0])
    matrix[-1, :-1] = matrix[:-1, -1] = along[1:]
    shift = np.concatenate([[up], np.full(len(values) - 1, np.linalg.eigvalsh(matrix)[0])])
    gap = values - shift
    step = basis @ (vectors @ (-along / np.where(abs(gap) < 1e-6, 1e-6, gap)))
    return step * min(1.0, trust / np.linalg.norm(step))


def _internal(positions: NDArray) -> NDArray:
    """[3N, 3N - 6] orthonormal directions that neither move nor turn the molecule (3N - 5 of a rod)."""
    x = positions - positions.mean(axis=0)
    moves = [np.tile(axis, len(x)) for axis in np.eye(3)]
    turns = [np.cross(axis, x).ravel() for axis in np.eye(3)]
    u, s, _ = np.linalg.svd(np.array([*moves, *turns]).T)
    return u[:, int((s > 1e-3 * s[0]).sum()) :]


def _trust(trust: float, got: float, expected: float, length: float) -> float:
    """Longer steps where the quadratic surface has told the energy, shorter ones where it has not."""
    ratio = got / expected if abs(expected) > 1e-6 else 1.0
    if not 0.25 < ratio < 1.75:
        trust = 0.5 * min(trust, length)
    elif 0.75 < ratio < 1.25:
        trust = 1.5 * trust
    return float(np.clip(trust, *TRUST))


def _updated(h: NDArray, dx: NDArray, dg: NDArray) -> NDArray:
    """Bofill's mixture of the symmetric rank one and Powell's update (J. Comput. Chem. 15, 1 (1994))."""
    error = dg - h @ dx
    xe, xx, ee = float(dx @ error), float(dx @ dx), float(error @ error)
    if xx < 1e-16 or ee < 1e-16 or abs(xe) < 1e-12:
        return h
    phi = xe**2 / (xx * ee)
    powell = (np.outer(error, dx) + np.outer(dx, error)) / xx - xe / xx**2 * np.outer(dx, dx)
    return h + phi * np.outer(error, error) / xe + (1 - phi) * powell
