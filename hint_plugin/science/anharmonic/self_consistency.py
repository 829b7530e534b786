"""The stochastic self-consistent harmonic approximation: populations until the free energy has its minimum.

    draw -> energies and forces -> minimise -> (strain the cell) -> draw ...

Errea, Calandra, Mauri, Phys. Rev. B 89, 064302 (2014); Bianco et al., Phys. Rev. B 96, 014111 (2017);
Monacelli et al., Phys. Rev. B 98, 024106 (2018) for the cell. A population draws from its own random numbers
(seed, number), so a run that goes on after a kill is the run that was never killed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.science.anharmonic.batched_forces import Evaluated
from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
from hint_plugin.science.anharmonic.ensemble import Population, draw, frames
from hint_plugin.science.anharmonic.initial_force_constants import positive
from hint_plugin.science.anharmonic.minimisation import Minimum, Step, minimise
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants

GPA = units.GPa


@dataclass(frozen=True)
class SschaSettings:
    """How; the defaults are those of the hydrides of the paper (python-sscha's names in brackets).

    Attributes:
        temperature: K.
        configurations: of a population, in pairs u, -u (N_configs).
        populations: at most (max_pop).
        kong_liu: the effective sample size to go down to, as a part (kong_liu_ratio).
        step: the first length of a step, of all gradient (set_minimization_step).
        meaningful: the gradient to stop at, as a part of its statistical error (meaningful_factor).
        seed: of the random numbers.
        relax_cell: to `pressure`, GPa, with `bulk_modulus`, GPa, as the guess of the first step.
        precision: A, in which two places are symmetric.
    """

    temperature: float = 0.0
    configurations: int = 500
    populations: int = 30
    kong_liu: float = 0.5
    step: float = 0.002
    meaningful: float = 0.001
    seed: int = 0
    relax_cell: bool = False
    pressure: float = 0.0
    bulk_modulus: float = 100.0
    precision: float = 1e-5

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise OptionsError(f"temperature {self.temperature} K; wanted 0 or more")
        if self.configurations < 2 or self.configurations % 2:
            raise OptionsError(f"{self.configurations} configurations; wanted an even number (pairs u, -u)")
        if self.populations < 1:
            raise OptionsError(f"{self.populations} populations; wanted 1 or more")
        if not 0 < self.kong_liu < 1:
            raise OptionsError(f"Kong-Liu ratio {self.kong_liu}; wanted one between 0 and 1")
        if not self.bulk_modulus > 0:
            raise OptionsError(f"bulk modulus {self.bulk_modulus} GPa; wanted one above 0")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class PopulationRecord:
    """What became of one population. Energies eV a cell, pressures GPa, frequencies cm^-1."""

    number: int
    steps: tuple[Step, ...]
    reason: str
    lowest: float
    highest: float
    pressure: float | None
    pressure_error: float | None
    volume: float
    stress: NDArray | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = dict(self.__dict__)
        found["steps"] = [step.as_dict() for step in self.steps]
        found["stress"] = None if self.stress is None else self.stress.tolist()
        return found


@dataclass
class SschaState:
    """Where a run is after a population; all that the next one needs."""

    constants: ForceConstants
    records: list[PopulationRecord]
    finished: bool = False
    population: Population | None = None
    strain_step: float = 0.0
    """Of the cell, per pressure (1/GPa); 0: the guess."""
    last_direction: NDArray | None = None


class PopulationForces(Protocol):
    """Energies and forces of structures: `hint_plugin.science.anharmonic.Evaluator`."""

    def __call__(
        self, frames: list[Atoms], report: Callable[[int, int], None] | None = None
    ) -> Evaluated: ...


class Watcher(Protocol):
    """Told of what happens."""

    def evaluated(self, population: int, done: int, count: int) -> None:
        """So many structures of a population have forces."""

    def stepped(self, population: int, step: Step) -> None:
        """A step of the minimisation was accepted."""

    def finished_population(self, state: SschaState) -> None:
        """A population is done; `state` is valid and may be written."""


class Silence:
    """A watcher that does nothing."""

    def evaluated(self, population: int, done: int, count: int) -> None:
        """See `Watcher`."""

    def stepped(self, population: int, step: Step) -> None:
        """See `Watcher`."""

    def finished_population(self, state: SschaState) -> None:
        """See `Watcher`."""


def begin(start: ForceConstants, settings: SschaSettings) -> SschaState:
    """The state before the first population. Raises what `positive` and `SpaceGroup` raise."""
    group = SpaceGroup(start.atoms, start.repeats, settings.precision)
    return SschaState(positive(start, group), [])


def relax(
    state: SschaState, engine: PopulationForces, settings: SschaSettings, watcher: Watcher | None = None
) -> SschaState:
    """Run populations from `state` until the free energy is at its minimum, or there have been enough.

    Args:
        state: of `begin`, or a later one, to go on.
        engine: the potential.
        settings: how.
        watcher: told of progress.

    Returns:
        The last state; `state.records[-1].reason` is "converged" where it is the minimum.

    Raises:
        EngineError: a configuration failed; the message names it. DataError: see `minimise`.
    """
    watcher = watcher or Silence()
    while not state.finished and len(state.records) < settings.populations:
        state = _population(state, engine, settings, watcher)
        watcher.finished_population(state)
    return state


def _population(
    state: SschaState, engine: PopulationForces, settings: SschaSettings, watcher: Watcher
) -> SschaState:
    number, constants = len(state.records) + 1, state.constants
    generator = np.random.default_rng([settings.seed, number])
    displacements = draw(constants, settings.temperature, settings.configurations, generator)
    try:
        found = engine(
            frames(constants, displacements), lambda done, count: watcher.evaluated(number, done, count)
        )
    except EngineError as error:
        raise EngineError(f"population {number}, {error}", error.kind) from error
    population = Population(constants, settings.temperature, displacements, found)
    group = SpaceGroup(constants.atoms, constants.repeats, settings.precision)
    minimum = minimise(
        population,
        group,
        step=settings.step,
        kong_liu=settings.kong_liu,
        meaningful=settings.meaningful,
        report=lambda step: watcher.stepped(number, step),
    )
    return _after(state, population, minimum, group, settings, number)


def _after(
    state: SschaState,
    population: Population,
    minimum: Minimum,
    group: SpaceGroup,
    settings: SschaSettings,
    number: int,
) -> SschaState:
    constants = minimum.constants
    modes = constants.modes()
    record = PopulationRecord(
        number, minimum.steps, minimum.reason, modes.lowest, modes.highest, None, None,
        float(constants.atoms.get_volume()),
    )  # fmt: skip
    new = SschaState(constants, [*state.records, record], minimum.converged, population)
    if population.found.stresses is None:
        return new
    mean, error = population.stress(constants, minimum.averages.weights)
    stress, error = group.symmetric_tensor(mean) / GPA, abs(group.symmetric_tensor(error)) / GPA
    new.records[-1] = replace(
        record,
        pressure=-float(np.trace(stress)) / 3,
        pressure_error=float(np.linalg.norm(np.diag(error))) / 3,
        stress=stress,
    )
    if settings.relax_cell:
        _strain(new, state, stress, error, settings)
    return new


def _strain(
    new: SschaState, old: SschaState, stress: NDArray, error: NDArray, settings: SschaSettings
) -> None:
    """The cell goes along stress + P, by 1 / 3K of it at first, then by the secant of the last two steps."""
    direction = stress + settings.pressure * np.eye(3)
    free = error > 1e-6 * error.max()  # not zero by symmetry
    if new.finished and (abs(direction[free]) <= error[free]).all():
        return
    new.finished = False
    length = old.strain_step or 1.0 / (3 * settings.bulk_modulus)
    known = old.last_direction is not None and np.linalg.norm(old.last_direction) > 3 * np.linalg.norm(error)
    if known and old.last_direction is not None:  # not a difference of two noises
        before, now = (old.last_direction**2).sum(), (old.last_direction * direction).sum()
        length *= float(np.clip(before / (before - now), 0.5, 2.0)) if now < before else 1.15
    strain = -length * direction
    atoms = new.constants.atoms.copy()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    new.constants = replace(new.constants, atoms=atoms)
    new.strain_step, new.last_direction = length, direction
