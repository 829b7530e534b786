"""The free energy of one population minimised in force constants and centroids.

Steepest descent with preconditioned gradients, as python-sscha has it (Monacelli et al. 2021): Phi and R move
along -G and -P g, with P the inverse of Phi at Gamma and g = -<df>. A direction is kept until a step along it
is good: the free energy still falls at its end, and the effective sample size is at least 0.9 of what it was.
After a good step the next one is 1.5 times as long; a bad one is tried again 0.87 times as long.

It ends

- converged: |G| is below `meaningful` times its statistical error, and |P g| below as much of its own;
- exhausted: the effective sample size has fallen below `kong_liu` of the configurations: draw new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.formats.qe_dyn import RY_PER_BOHR2
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
from hint_plugin.science.anharmonic.ensemble import Averages, Population
from hint_plugin.science.anharmonic.supercell_force_constants import AXES, ForceConstants

GROW, SHRINK = 1.5, 0.87358046475
SAMPLE_LOSS = 0.9
_SMALL = 1e-8  # Ry/bohr^2, A: of a harmonic crystal, whose statistical errors vanish
_TRIES = 200


@dataclass(frozen=True)
class Step:
    """Where an accepted step arrived. Energies eV a cell; `gradient` eV/A^2, the norm over all q; `shift` A,
    that of -P g; `effective` is K_eff / K."""

    free_energy: float
    free_energy_error: float
    gradient: float
    gradient_error: float
    shift: float
    shift_error: float
    effective: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Minimum:
    """The end of a minimisation: `reason` is "converged", "exhausted" or "steps"."""

    constants: ForceConstants
    averages: Averages
    steps: tuple[Step, ...]
    reason: str

    @property
    def converged(self) -> bool:
        """Whether the gradients vanish within their meaning."""
        return self.reason == "converged"


@dataclass(frozen=True)
class _Point:
    constants: ForceConstants
    averages: Averages
    gradient: NDArray
    move: NDArray
    step: Step


def minimise(
    population: Population,
    group: SpaceGroup,
    *,
    step: float = 0.002,
    kong_liu: float = 0.5,
    meaningful: float = 0.001,
    steps: int = 1000,
    report: Callable[[Step], None] = lambda step: None,
) -> Minimum:
    """The minimum of the free energy that `population` can see, from where it was drawn.

    Args:
        population: energies and forces of the structures.
        group: whose symmetry is imposed on gradients.
        step: the first length, of all gradient; good steps make it longer.
        kong_liu: the effective sample size to go down to, as a part of the configurations.
        meaningful: the gradient to go down to, as a part of its statistical error.
        steps: accepted ones, at most.
        report: told of every one.

    Raises:
        OptionsError: a number that cannot be. DataError: no step goes down, however short.
    """
    for name, value in (("step", step), ("kong_liu", kong_liu), ("meaningful", meaningful)):
        if not value > 0:
            raise OptionsError(f"{name} {value}; wanted a number above 0")
    point = _evaluate(population, group, population.origin)
    if point is None:
        raise DataError("the force constants that the population was drawn with have an imaginary mode")
    taken, length, reason = [point.step], step, "steps"
    while len(taken) <= steps:
        if _converged(point.step, meaningful):
            reason = "converged"
            break
        if point.step.effective < kong_liu:
            reason = "exhausted"
            break
        point, length = _along(population, group, point, length * GROW, meaningful)
        taken.append(point.step)
        report(point.step)
    return Minimum(point.constants, point.averages, tuple(taken), reason)


def _along(
    population: Population, group: SpaceGroup, start: _Point, length: float, meaningful: float
) -> tuple[_Point, float]:
    """A good step along the gradient at `start`, and how long it was."""
    for _ in range(_TRIES):
        found = _evaluate(population, group, _moved(start, length))
        if found is not None:
            kept = found.step.effective >= SAMPLE_LOSS * start.step.effective
            if _converged(found.step, meaningful) or (kept and _overlap(start, found) >= 0):
                return found, length
        length *= SHRINK
    raise DataError(
        f"no step lowers the free energy, down to {length:.1e} of the gradient: are the forces those of the "
        "energies, and finite?"
    )


def _evaluate(population: Population, group: SpaceGroup, constants: ForceConstants) -> _Point | None:
    averages = population.averages(constants)
    if averages is None or not np.isfinite(averages.free_energy) or not averages.effective > 0:
        return None
    gradient = group.symmetric(averages.gradient)
    inverse = _inverse_at_gamma(constants)
    move = group.symmetric_vectors((inverse @ -averages.forces.ravel()).reshape(-1, 3))
    error = np.sqrt((inverse**2) @ averages.forces_error.ravel() ** 2)
    cells = constants.cells
    return _Point(
        constants,
        averages,
        gradient,
        move,
        Step(
            free_energy=averages.free_energy,
            free_energy_error=averages.free_energy_error,
            gradient=float(np.sqrt(cells) * np.linalg.norm(gradient)),
            gradient_error=averages.gradient_error / np.sqrt(group.order * cells),
            shift=float(np.linalg.norm(move)),
            shift_error=float(np.linalg.norm(error)) / np.sqrt(group.order),
            effective=averages.effective / len(averages.weights),
        ),
    )


def _moved(start: _Point, length: float) -> ForceConstants:
    atoms = start.constants.atoms.copy()
    atoms.positions -= length * start.move
    return replace(start.constants, atoms=atoms, blocks=start.constants.blocks - length * start.gradient)


def _overlap(start: _Point, found: _Point) -> float:
    cells = start.constants.cells
    # gradients of Phi in Ry/bohr^2 and of R in A count alike, as in python-sscha
    constants = cells * float((start.gradient * found.gradient).sum()) / RY_PER_BOHR2**2
    return constants + float((start.move * found.move).sum())


def _converged(step: Step, meaningful: float) -> bool:
    gradient = step.gradient < max(meaningful * step.gradient_error, _SMALL * RY_PER_BOHR2)
    return gradient and step.shift < max(meaningful * step.shift_error, _SMALL)


def _inverse_at_gamma(constants: ForceConstants) -> NDArray:
    """The inverse of D(0) [3N, 3N] without translations, A^2/eV."""
    matrix = constants.blocks.sum(axis=AXES)
    n = len(matrix)
    rigid = np.tile(np.eye(3), (n // 3, 1)) / np.sqrt(n // 3)
    keep = np.eye(n) - rigid @ rigid.T
    found: Any = keep @ np.linalg.inv(keep @ matrix @ keep + rigid @ rigid.T) @ keep
    return found
