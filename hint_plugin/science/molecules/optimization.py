"""Minima and transition states by Sella, with the exact Hessian of the calculator.

Sella: E. D. Hermes, K. Sargsyan, H. N. Najm, J. Zador, J. Chem. Theory Comput. 18, 6974 (2022): restricted
step partitioned rational function optimisation in internal coordinates; in Cartesian ones where atoms are
held (FixAtoms, FixCartesian), as those of a surface. What comes out is checked by its vibrations, of the
coordinates that are free: a minimum has no imaginary mode, a transition state one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.core.spectra import SADDLE_THRESHOLD
from hint_plugin.data.structures.constraints import free_coordinates, immovable
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.optional import check, load
from hint_plugin.potentials.extrapolation import outside_training
from hint_plugin.potentials.partial_hessian import embedded_hessian, partial_hessian
from hint_plugin.science.molecules.bonding import badly_bonded
from hint_plugin.science.molecules.lowest_modes import DENSE_ATOMS, ByProducts, FewModes
from hint_plugin.science.molecules.modes import NormalModes, largest_force, normal_modes

FORCE_TOLERANCE = 0.01
"""eV/A, of the largest force on an atom. Frequencies of soft modes move by a few cm^-1 at ten times this."""
_FARTHEST = 15.0  # A an atom may go: beyond, the structure flies apart
_ABSURD = 1e6  # eV/A, beyond any repulsion of atoms that a search could come back from
_PUSHES = (0.1, 0.4, 0.8)
"""A, of the atom that moves most, along an imaginary mode too many: the first push at least and at most, and
any later one at most. The softer the mode, the farther: the force of the mode has to stand out of what is
left over when the bonds that a straight push stretches have relaxed."""
_STANDS_OUT = 3.0  # times fmax is the force of the mode after the first push, where the push may be so long
_CONVERGED = 0.3  # times that force is what may be left afterwards: with more the search ends where it began
_TIGHTEST = 2e-4  # eV/A; SCF gradients have noise of some 1e-5
_ATTEMPTS, _ATTEMPTS_AT_NOISE = 6, 2
_NOISE = -2.0
"""cm^-1. Above the threshold of saddles (-10) a mode counts as real; down to here it is not even tried."""
_SAME_ENERGY = 1e-6  # eV
_TIGHTER = (1.0, 0.5, 0.2)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stationary:
    """What an optimisation led to.

    `kind`: "minimum", "transition state", "saddle of order n", or "not converged: why". `atoms` carry the
    calculator; `energy` in eV, `largest_force` in eV/A; `modes` are None where nothing has converged. Where
    atoms are held, the force is that on the free coordinates, and `hessian` their block [n, n]. Of a saddle
    of many atoms, `modes` are the lowest two and `hessian` is None: see `with_all_modes`. `doubt`: why the
    point means nothing although it is one (`doubt_of`); "" if nothing speaks against it.
    """

    atoms: Atoms
    kind: str
    converged: bool
    steps: int
    energy: float
    largest_force: float
    hessian: NDArray | None
    modes: NormalModes | FewModes | None
    doubt: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without geometry and Hessian; where there is a doubt, `kind` is a "doubtful minimum"."""
        found: dict[str, Any] = {
            "kind": f"doubtful {self.kind}" if self.doubt else self.kind,
            "converged": self.converged,
            "steps": self.steps,
            "energy": self.energy,
            "largest_force": self.largest_force,
            "doubt": self.doubt,
        }
        return found | (self.modes.as_dict() if self.modes is not None else {})


def optimize(
    atoms: Atoms,
    *,
    saddle: bool = False,
    fmax: float = FORCE_TOLERANCE,
    steps: int = 300,
    dense_atoms: int = DENSE_ATOMS,
    trajectory: str | Path | None = None,
    report: Callable[[int, float, float], None] | None = None,
) -> Stationary:
    """Go to the nearest minimum, or to a transition state.

    What turns out to have an imaginary mode too many is left along that mode, up to five times, to both sides
    in turn. A soft mode (below some 0.1 eV/A^2) is pushed farther and converged more tightly than `fmax`: the
    force of a mode of 50 cm^-1 at 0.1 A is below 0.01 eV/A, and a search that stops there stays on the
    saddle. If it stays there in the end, `kind` says so.

    Args:
        atoms: the start, with a calculator that has `get_hessian`; not changed. Coordinates that FixAtoms and
            FixCartesian hold stay where they are, and then it may be periodic.
        saddle: look for a first-order saddle point.
        fmax: eV/A, the largest force on an atom at the end.
        steps: at most.
        dense_atoms: of saddles of more atoms the lowest modes are found by products H v (`lowest_modes`), on
            the way and at the end, and the whole Hessian is not computed. Not where atoms are held.
        trajectory: an ASE .traj file of all steps.
        report: called with the step, the energy (eV) and the largest force (eV/A).

    Raises:
        DataError: no calculator, no Hessians, a periodic structure of which no atom is held, one of which all
            are, or other constraints.
        OptionsError: fmax or steps that cannot be. MissingDependencyError: Sella is not installed.
        Whatever the calculator raises.
    """
    _check(atoms, fmax, steps)
    found, taken, tolerance = atoms.copy(), 0, fmax
    found.calc = atoms.calc
    by_products = None
    large = len(atoms) > max(2, dense_atoms) and free_coordinates(atoms).all
    if saddle and large and ByProducts.known(atoms.calc):
        by_products = ByProducts(atoms.calc)
    best: _Point | None = None
    for attempt in range(_ATTEMPTS):
        done, why = _run(
            found, saddle, tolerance, steps - taken, trajectory, attempt > 0, taken, report, by_products
        )
        taken += done
        if why:
            break
        point = _Point.at(found, by_products)
        if best is None or point.better_than(best, saddle):
            best = point
        if not _can_be_left(point.modes, saddle, attempt) or taken >= steps:
            break
        push, tolerance = _push(*point.along(int(saddle)), fmax, tolerance, attempt)
        found.positions += push
    if best is None or (why and not best.wanted(saddle)):
        force = largest_force(found.get_forces())
        energy = float(found.get_potential_energy())
        about = f"not converged: {why}" + ("" if best is None else f", on the way from a {best.modes.kind}")
        return Stationary(found, about, False, taken, energy, force, None, None)
    found.positions = best.positions
    forces = found.get_forces(apply_constraint=False)
    return Stationary(
        found,
        best.modes.kind,
        True,
        taken,
        best.energy,
        largest_force(free_coordinates(found).forces(forces)),
        best.hessian,
        best.modes,
        doubt_of(found, forces),
    )


def with_all_modes(found: Stationary) -> Stationary:
    """The same point with its whole Hessian and all modes, computed if they are not there; `kind` is theirs.

    Raises what the calculator raises.
    """
    if found.hessian is not None or not found.converged:
        return found
    hessian = np.asarray(found.atoms.calc.get_hessian(found.atoms))
    modes = normal_modes(found.atoms, hessian)
    return replace(found, hessian=hessian, modes=modes, kind=modes.kind)


def doubt_of(atoms: Atoms, forces: NDArray) -> str:
    """Why a stationary point is no result: it is outside of what its model was trained on, or its bonds are
    none (`badly_bonded`); "" if nothing speaks against it.

    Args:
        atoms: with the calculator.
        forces: [N, 3], eV/A.
    """
    outside = outside_training(atoms.calc, atoms, forces)
    reasons = [badly_bonded(atoms), f"outside of what the model was trained on, {outside}" if outside else ""]
    return "; ".join(reason for reason in reasons if reason)


@dataclass(frozen=True)
class _Point:
    """A stationary point on the way: positions [N, 3] in A, energy in eV, Hessian in eV/A^2."""

    positions: NDArray
    energy: float
    hessian: NDArray | None
    modes: NormalModes | FewModes

    @classmethod
    def at(cls, atoms: Atoms, by_products: ByProducts | None = None) -> _Point:
        energy = float(atoms.get_potential_energy())
        if by_products is not None:
            return cls(atoms.positions.copy(), energy, None, by_products.modes(atoms))
        hessian = partial_hessian(atoms)
        return cls(atoms.positions.copy(), energy, hessian, normal_modes(atoms, hessian))

    def along(self, mode: int) -> tuple[NDArray, NDArray]:
        """The displacement d [N, 3] of a mode, and H d [N, 3], eV/A^2."""
        direction = self.modes.displacements[mode]
        if isinstance(self.modes, FewModes):
            return direction, self.modes.force[mode]
        assert self.hessian is not None
        free = self.modes.free
        whole = self.hessian if free is None else free.whole(self.hessian)
        return direction, (whole @ direction.ravel()).reshape(-1, 3)

    def wanted(self, saddle: bool) -> bool:
        """Whether it has no imaginary mode too many."""
        return len(self.modes.imaginary) <= int(saddle)

    def better_than(self, other: _Point, saddle: bool) -> bool:
        """Fewer modes too many; and with as few, the lower energy (of saddles, the first that was found)."""
        if self.wanted(saddle) != other.wanted(saddle):
            return self.wanted(saddle)
        return not saddle and self.energy < other.energy - _SAME_ENERGY


def _can_be_left(modes: NormalModes | FewModes, saddle: bool, attempt: int) -> bool:
    """Whether a mode is imaginary that should not be, and there is an attempt left for it."""
    order = int(saddle)
    if len(modes.frequencies) <= order:
        return False
    if modes.frequencies[order] < SADDLE_THRESHOLD:
        return attempt < _ATTEMPTS - 1
    # what is softer may be noise, or the saddle between two wells of a van der Waals complex
    return not saddle and bool(modes.frequencies[0] < _NOISE) and attempt < _ATTEMPTS_AT_NOISE


def _push(
    mode: NDArray, curvature: NDArray, fmax: float, tolerance: float, attempt: int
) -> tuple[NDArray, float]:
    """How far [N, 3] along a surplus mode, given H times it, and to which force to converge then to take the
    way down."""
    length_of_mode = np.linalg.norm(mode, axis=1).max()
    direction = mode / length_of_mode
    force = largest_force(curvature) / length_of_mode  # per A
    least, first, most = _PUSHES
    length = min(most, 2**attempt * float(np.clip(_STANDS_OUT * fmax / force, least, first)))
    wanted = max(_TIGHTEST, _CONVERGED * force * length)
    return (-1) ** attempt * length * direction, min(tolerance, wanted)


def _check(atoms: Atoms, fmax: float, steps: int) -> None:
    if atoms.calc is None or not hasattr(atoms.calc, "get_hessian"):
        raise DataError(
            "optimize: the calculator has no get_hessian; take HintCalculator or EngineCalculator"
        )
    if told := immovable(atoms, str(atoms.symbols)):
        raise DataError(told)
    if fmax <= 0 or steps < 1:
        raise OptionsError(f"fmax {fmax} eV/A and {steps} steps; wanted numbers above 0")


def check_optimiser() -> None:
    """Before the work of many. Raises MissingDependencyError: Sella is not installed."""
    check("optimising", "'.[reactions]' in HINT's folder", "sella")


def _run(
    atoms: Atoms,
    saddle: bool,
    fmax: float,
    steps: int,
    trajectory: str | Path | None,
    append: bool,
    before: int,
    report: Callable[[int, float, float], None] | None,
    by_products: ByProducts | None = None,
) -> tuple[int, str]:
    """Move `atoms`; how many steps were taken, and why they did not suffice ("" if they did)."""
    free = free_coordinates(atoms)
    if len(atoms) == 1 and free.all:
        return 0, ""
    # held atoms: Cartesian coordinates, and no coordinate for the turn of the whole
    held: dict[str, Any] = {} if free.all else {"proj_rot": False}
    sella = load("sella", "reactions", "optimising needs Sella")
    start, taken, force = atoms.positions.copy(), 0, float("inf")
    optimiser = sella.Sella if by_products is None else by_products.adapted(sella.Sella)
    with _quiet():
        search = optimiser(
            atoms,
            order=int(saddle),
            internal=len(atoms) > 2 and free.all,
            hessian_function=(
                (lambda moved: embedded_hessian(moved, atoms.calc))
                if saddle and by_products is None
                else None
            ),
            logfile=os.devnull,
            trajectory=None if trajectory is None else str(trajectory),
            append_trajectory=append,
            allow_fragments=True,
            **held,
        )
        for tightness in _TIGHTER:  # Sella takes its forces from its own coordinates
            steady = _Unbroken(search.irun(fmax=tightness * fmax, steps=max(0, steps - search.nsteps)))
            for _ in steady:
                taken = search.nsteps
                force = largest_force(atoms.get_forces())
                if report is not None:
                    report(before + taken, float(atoms.get_potential_energy()), force)
                moved = np.linalg.norm(atoms.positions - start, axis=1).max()
                if not np.isfinite(force):
                    return taken, "the calculator returns forces that are not finite"
                if force > _ABSURD:
                    return taken, f"a force of {force:.1g} eV/A: atoms are on top of each other"
                if moved > _FARTHEST:
                    return taken, "the structure flies apart"
            if force <= fmax or taken >= steps:
                break
            if steady.broken:
                return taken, f"Sella cannot go on ({steady.broken})"
    return taken, "" if force <= fmax else f"{force:.3g} eV/A left after {before + taken} steps"


class _Unbroken:
    """The steps of a search, up to where Sella's internal coordinates break down: `broken` says how."""

    def __init__(self, steps: Iterator[Any]) -> None:
        self._steps, self.broken = steps, ""

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._steps
        except RuntimeError as error:
            if "Geometry update" not in str(error):  # of a calculator, or a fault
                raise
            self.broken = str(error)


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
