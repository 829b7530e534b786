"""Frames off the stationary points: noise, modes, hot dynamics, atoms pushed together and pulled apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from ase.md.langevin import Langevin
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from hint_plugin.errors import EngineError
from hint_plugin.science.molecules.dynamics import thermalise
from hint_plugin.science.molecules.modes import NormalModes, largest_force
from hint_plugin.science.reactions import bonds

NOISE = (0.02, 0.08)  # A, of each coordinate of images
MODES_AT = (50.0, 2000.0)  # K
HOT_AT = (300.0, 3000.0)  # K
HOT_STEPS, HOT_EVERY, _TIMESTEP = 80, 16, 0.75  # fs
PUSHED_TO = (6.0, 60.0)  # eV/A, the largest force
PULLED_BY = (0.2, 1.8)  # A
_SOFTEST = 0.025  # eV: softer modes are displaced as this one
_SHORTEST, _BISECTIONS = 0.35, 6  # of the sum of covalent radii, how near atoms may come
_HBAR2 = (units._hbar * units.J * units.s) ** 2  # eV amu A^2


def log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    """Between two positive numbers."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


def shaken(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Gaussian noise on all coordinates."""
    new = Atoms(atoms.symbols, atoms.positions)
    new.positions += rng.normal(scale=rng.uniform(*NOISE), size=new.positions.shape)
    return new


def along_modes(modes: NormalModes, rng: np.random.Generator) -> Atoms:
    """A quantum harmonic distribution at a random temperature, along all modes.

    <q^2> = hbar^2 / 2E coth(E / 2kT) with E = hbar omega; imaginary and soft modes as one of 200 cm^-1.
    """
    kt = units.kB * log_uniform(MODES_AT, rng)
    quantum = np.maximum(np.abs(modes.frequencies) * units.invcm, _SOFTEST)
    width = np.sqrt(_HBAR2 / (2 * quantum) / np.tanh(quantum / (2 * kt)))
    moved = (rng.normal(scale=width) @ modes.mass_weighted).reshape(-1, 3)
    new = Atoms(modes.atoms.symbols, modes.atoms.positions)
    new.positions += moved / np.sqrt(new.get_masses())[:, None]
    return new


def hot(start: Atoms, calculator: Any, rng: np.random.Generator) -> Iterator[Atoms]:
    """Langevin dynamics from a geometry at a random temperature; ends early where atoms fly apart."""
    moving = Atoms(start.symbols, start.positions, calculator=calculator)
    temperature = log_uniform(HOT_AT, rng)
    thermalise(moving, 2 * temperature, rng)
    friction = 0.02 / units.fs
    run = Langevin(
        moving, _TIMESTEP * units.fs, temperature_K=temperature, friction=friction, rng=rng, fixcm=False
    )
    for _ in range(HOT_STEPS // HOT_EVERY):
        try:
            run.run(HOT_EVERY)
        except EngineError:
            return
        if not np.isfinite(moving.positions).all() or np.ptp(moving.positions, axis=0).max() > 20.0:
            return
        yield Atoms(moving.symbols, moving.positions)


def pushed(start: Atoms, calculator: Any, rng: np.random.Generator) -> list[Atoms]:
    """Two atoms nearer and nearer to each other: where the largest force is a random one, and half way."""
    i, j = _near_pair(start, rng)
    wanted, moved = log_uniform(PUSHED_TO, rng), _Approach(start, i, j)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _force(moved.at(middle), calculator) < wanted else (low, middle)
    return [moved.at(low), moved.at(0.7 * low)] if low > 0.05 else []


def _near_pair(start: Atoms, rng: np.random.Generator) -> tuple[int, int]:
    """One of the pairs within three times the sum of their covalent radii."""
    radii = covalent_radii[start.numbers]
    near = start.get_all_distances() < 3 * (radii[:, None] + radii)
    pairs = np.argwhere(near & ~np.eye(len(start), dtype=bool))
    i, j = pairs[rng.integers(len(pairs))]
    return int(i), int(j)


class _Approach:
    """Atom i moves towards j, with what is bonded to it alone; part 1 of the way is much too near."""

    def __init__(self, start: Atoms, i: int, j: int) -> None:
        self._start, self._moving = start, _side(start, i, j)
        way = start.positions[j] - start.positions[i]
        distance = float(np.linalg.norm(way))
        shortest = _SHORTEST * covalent_radii[start.numbers[[i, j]]].sum()
        self._way: NDArray = way / distance * max(0.0, distance - shortest)

    def at(self, part: float) -> Atoms:
        new = Atoms(self._start.symbols, self._start.positions)
        new.positions[self._moving] += part * self._way
        return new


def _side(atoms: Atoms, i: int, j: int) -> NDArray:
    """Atom i with its hydrogens, as far as j is none of them."""
    near = np.flatnonzero(bonds(atoms)[i] & (atoms.numbers == 1))
    own = [i, *(k for k in near if k != j)] if atoms.numbers[i] != 1 else [i]
    return np.array(own)


def _force(atoms: Atoms, calculator: Any) -> float:
    """eV/A; without end where the atoms are too near for a number."""
    work = Atoms(atoms.symbols, atoms.positions, calculator=calculator)
    try:
        return largest_force(work.get_forces())
    except EngineError:
        return np.inf


def pulled_apart(start: Atoms, rng: np.random.Generator) -> list[Atoms]:
    """A bond that is no part of a ring, longer and longer; none where there is no such bond."""
    graph = bonds(start)
    pairs = np.argwhere(np.triu(graph))
    for k in rng.permutation(len(pairs)):
        i, j = pairs[k]
        cut = graph.copy()
        cut[i, j] = cut[j, i] = False
        count, part = connected_components(cut)
        if part[i] != part[j]:
            way = start.positions[j] - start.positions[i]
            lengths = sorted(rng.uniform(*PULLED_BY, size=2))
            return [_moved(start, part == part[j], way / np.linalg.norm(way) * d) for d in lengths]
    return []


def _moved(start: Atoms, which: NDArray, by: NDArray) -> Atoms:
    new = Atoms(start.symbols, start.positions)
    new.positions[which] += by
    return new
