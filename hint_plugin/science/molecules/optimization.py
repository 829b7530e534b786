"""Minima and transition states by Sella, with the exact Hessian of the calculator.

Sella: E. D. Hermes, K. Sargsyan, H. N. Najm, J. Zador, J. Chem. Theory Comput. 18, 6974 (2022): restricted
step partitioned rational function optimisation in internal coordinates. What comes out is checked by its
vibrations: a minimum has no imaginary mode, a transition state one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.optional import check, load
from hint_plugin.science.molecules.modes import NormalModes, largest_force, normal_modes

FORCE_TOLERANCE = 0.01
"""eV/A, of the largest force on an atom. Frequencies of soft modes move by a few cm^-1 at ten times this."""
_FARTHEST = 15.0  # A an atom may go: beyond, the structure flies apart
_PUSH = 0.1  # A along an imaginary mode too many
_ATTEMPTS = 3
_TIGHTER = (1.0, 0.5, 0.2)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stationary:
    """What an optimisation led to.

    `kind`: "minimum", "transition state", "saddle of order n", or "not converged: why". `atoms` carry the
    calculator; `energy` in eV, `largest_force` in eV/A; `modes` are None where nothing has converged.
    """

    atoms: Atoms
    kind: str
    converged: bool
    steps: int
    energy: float
    largest_force: float
    hessian: NDArray | None
    modes: NormalModes | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without geometry and Hessian."""
        found: dict[str, Any] = {
            "kind": self.kind,
            "converged": self.converged,
            "steps": self.steps,
            "energy": self.energy,
            "largest_force": self.largest_force,
        }
        return found | (self.modes.as_dict() if self.modes is not None else {})


def optimize(
    atoms: Atoms,
    *,
    saddle: bool = False,
    fmax: float = FORCE_TOLERANCE,
    steps: int = 300,
    trajectory: str | Path | None = None,
    report: Callable[[int, float, float], None] | None = None,
) -> Stationary:
    """Go to the nearest minimum, or to a transition state.

    What turns out to have an imaginary mode too many is left along that mode, up to three times.

    Args:
        atoms: the start, with a calculator that has `get_hessian`; not changed.
        saddle: look for a first-order saddle point.
        fmax: eV/A, the largest force on an atom at the end.
        steps: at most.
        trajectory: an ASE .traj file of all steps.
        report: called with the step, the energy (eV) and the largest force (eV/A).

    Raises:
        DataError: no calculator, no Hessians, or a periodic structure.
        OptionsError: fmax or steps that cannot be. MissingDependencyError: Sella is not installed.
        Whatever the calculator raises.
    """
    _check(atoms, fmax, steps)
    found, taken, why = atoms.copy(), 0, ""
    found.calc = atoms.calc
    hessian, modes = None, None
    for attempt in range(_ATTEMPTS):
        done, why = _run(found, saddle, fmax, steps - taken, trajectory, attempt > 0, taken, report)
        taken += done
        if why:
            break
        hessian = np.asarray(found.calc.get_hessian(found))
        modes = normal_modes(found, hessian)
        if len(modes.imaginary) <= int(saddle) or attempt == _ATTEMPTS - 1 or taken >= steps:
            break
        surplus = modes.displacements[int(saddle)]
        found.positions += _PUSH * surplus / abs(surplus).max()
        hessian, modes = None, None
    return Stationary(
        atoms=found,
        kind=f"not converged: {why}" if modes is None else modes.kind,
        converged=modes is not None,
        steps=taken,
        energy=float(found.get_potential_energy()),
        largest_force=largest_force(found.get_forces()),
        hessian=hessian,
        modes=modes,
    )


def _check(atoms: Atoms, fmax: float, steps: int) -> None:
    if atoms.calc is None or not hasattr(atoms.calc, "get_hessian"):
        raise DataError(
            "optimize: the calculator has no get_hessian; take HintCalculator or EngineCalculator"
        )
    if atoms.pbc.any():
        raise DataError(f"{atoms.symbols} is periodic; this is for molecules: set pbc to all false")
    if fmax <= 0 or steps < 1:
        raise OptionsError(f"fmax {fmax} eV/A and {steps} steps; wanted numbers above 0")


def check_optimiser() -> None:
    """Before the work of many. Raises MissingDependencyError: Sella is not installed."""
    check("optimising", "'hint-mlip[reactions]'", "sella")


def _run(
    atoms: Atoms,
    saddle: bool,
    fmax: float,
    steps: int,
    trajectory: str | Path | None,
    append: bool,
    before: int,
    report: Callable[[int, float, float], None] | None,
) -> tuple[int, str]:
    """Move `atoms`; how many steps were taken, and why they did not suffice ("" if they did)."""
    if len(atoms) == 1:
        return 0, ""
    sella = load("sella", "reactions", "optimising needs Sella")
    start, taken, force = atoms.positions.copy(), 0, float("inf")
    with _quiet():
        search = sella.Sella(
            atoms,
            order=int(saddle),
            internal=len(atoms) > 2,
            hessian_function=atoms.calc.get_hessian if saddle else None,
            logfile=os.devnull,
            trajectory=None if trajectory is None else str(trajectory),
            append_trajectory=append,
            allow_fragments=True,
        )
        for tightness in _TIGHTER:  # Sella takes its forces from its own coordinates
            for _ in search.irun(fmax=tightness * fmax, steps=max(0, steps - search.nsteps)):
                taken = search.nsteps
                force = largest_force(atoms.get_forces())
                if report is not None:
                    report(before + taken, float(atoms.get_potential_energy()), force)
                moved = np.linalg.norm(atoms.positions - start, axis=1).max()
                if not np.isfinite(force):
                    return taken, "the calculator returns forces that are not finite"
                if moved > _FARTHEST:
                    return taken, "the structure flies apart"
            if force <= fmax or taken >= steps:
                break
    return taken, "" if force <= fmax else f"{force:.3g} eV/A left after {before + taken} steps"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Sella warns of every rebuilt coordinate system; jax of a missing GPU."""
    logger = logging.getLogger("jax._src.xla_bridge")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
