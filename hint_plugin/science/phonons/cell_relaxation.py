"""A crystal at rest, with the symmetry it came with: positions, and the cell if wanted, by ASE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units

from hint_plugin.artifact.trained_on import trained_on
from hint_plugin.data.structures.constraints import constraints_of
from hint_plugin.data.structures.unit_cell import check_crystal, quiet
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.science.phonons.carried_properties import lowering, magnetism_lowers
from hint_plugin.science.phonons.crystals import in_a_box

FORCE_TOLERANCE = 1e-3
"""eV/A, of the largest force: soft modes follow what is left of the forces."""


@dataclass(frozen=True)
class RelaxedCrystal:
    """`energy` eV and `largest_force` eV/A of the cell; `pressure` GPa that is left, None without stress."""

    atoms: Atoms
    steps: int
    energy: float
    largest_force: float
    pressure: float | None
    space_group: str


def relax_crystal(
    atoms: Atoms,
    calculator: Any,
    *,
    cell: bool = True,
    constant_volume: bool = False,
    pressure: float = 0.0,
    fmax: float = FORCE_TOLERANCE,
    steps: int = 500,
    symmetry_precision: float = 1e-4,
    report: Callable[[int, float, float], None] | None = None,
) -> RelaxedCrystal:
    """Go to the nearest minimum that has the symmetry of the start.

    The structure is first put onto its symmetry exactly; forces and stresses are symmetrised at every step
    (ASE's FixSymmetry), and positions and strain move together (FrechetCellFilter). Where magnetic moments or
    others of the atoms' properties lower the symmetry of their places, nothing is imposed.

    Args:
        atoms: the start; not changed.
        calculator: an ASE calculator, with stress if `cell`.
        cell: the cell too.
        constant_volume: of the cell its shape alone.
        pressure: GPa, outside; it does nothing at a constant volume.
        fmax: eV/A, the largest force at the end, and of the stress as ASE counts it.
        steps: at most.
        symmetry_precision: A, within which the symmetry of the start is found.
        report: called with the step, the energy (eV) and the largest force (eV/A).

    Raises:
        DataError: not a crystal, or its constraints hold atoms. OptionsError: fmax or steps that cannot be.
        EngineError: forces that are NaN, or not converged.
        Whatever the calculator raises.
    """
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    check_crystal(atoms, layers=True)
    if cell and not atoms.pbc.all():
        raise OptionsError(
            f"{atoms.symbols} is a layer, whose cell has no stress across; relax its positions (--relax "
            f"positions)"
        )
    if fmax <= 0 or steps < 1:
        raise OptionsError(f"fmax {fmax} eV/A and {steps} steps; wanted numbers above 0")
    if held := constraints_of(atoms):
        raise DataError(f"{atoms.symbols} has {held}")
    found, force = in_a_box(atoms).copy(), float("inf")
    found.set_constraint()
    found.calc = calculator
    with quiet():
        group = _space_group(found, symmetry_precision)
        if not (lowering(found, symmetry_precision) or magnetism_lowers(found, symmetry_precision)):
            _onto_symmetry(found, symmetry_precision)
            found.set_constraint(FixSymmetry(found, symprec=symmetry_precision))
        outside = {"constant_volume": constant_volume, "scalar_pressure": pressure * units.GPa}
        moving: Any = FrechetCellFilter(found, **outside) if cell else found
        search = BFGS(moving, logfile=None, maxstep=0.1)
        converged = False
        for _ in search.irun(fmax=fmax, steps=steps):
            forces = found.get_forces()
            force = float(np.linalg.norm(forces, axis=1).max())
            if not np.isfinite(force):
                raise EngineError(f"{atoms.symbols}: a force is NaN or infinite after {search.nsteps} steps")
            converged = bool(search.converged(search.optimizable.get_gradient()))
            if report is not None:
                report(search.nsteps, float(found.get_potential_energy()), force)
    if not converged:
        raise EngineError(
            f"{atoms.symbols}: {force:.3g} eV/A left after {search.nsteps} steps; wanted {fmax:g}", "geometry"
        )
    found.set_constraint()
    return RelaxedCrystal(
        atoms=found,
        steps=int(search.nsteps),
        energy=float(found.get_potential_energy()),
        largest_force=force,
        pressure=_pressure(found),
        space_group=group,
    )


def _onto_symmetry(atoms: Atoms, precision: float) -> None:
    from ase.spacegroup.symmetrize import refine_symmetry

    refine_symmetry(atoms, symprec=precision)


def _space_group(atoms: Atoms, precision: float) -> str:
    import spglib

    found = spglib.get_spacegroup((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), precision)
    if found is None:
        raise DataError(f"{atoms.symbols}: no symmetry found; are two atoms at one place?")
    return str(found)


def _pressure(atoms: Atoms) -> float | None:
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        return float(-np.trace(atoms.get_stress(voigt=False)) / 3 / units.GPa)
    except (PropertyNotImplementedError, NotImplementedError):
        return None


def relaxed_first(
    atoms: Atoms, calculator: Any, cell: bool, fmax: float, about: dict[str, Any], say: Callable[[str], None]
) -> Atoms:
    """What `--relax` does before anything else: the crystal at rest.

    Args:
        cell: its shape, too.
        about: what was done goes into it, as `relaxation`.
        say: told in words what is being done.

    Raises:
        EngineError: it does not get there.
    """
    found = relax_crystal(
        atoms,
        calculator,
        cell=cell,
        fmax=fmax,
        report=lambda step, energy, force: say(f"relaxing: step {step}, {energy:.4f} eV, {force:.4f} eV/A"),
    )
    untrained = trained_on(calculator).get("stress") is False
    about["relaxation"] = {
        "steps": found.steps,
        "energy": found.energy,
        "pressure": None if untrained else found.pressure,
        "cell": found.atoms.cell.cellpar().tolist(),
    }
    if untrained and cell:
        about["relaxation"]["note"] = (
            "the cell followed the stress of a model that was not trained on stresses: its lattice "
            "constants are no result"
        )
    return found.atoms.copy()
