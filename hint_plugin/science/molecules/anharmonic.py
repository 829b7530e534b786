"""Anharmonic vibrations of one molecule: exact Hessians along its modes, kept one by one, and VPT2 of them.

A mode k is displaced by +d and -d of its dimensionless coordinate: 2M Hessians of a molecule with M modes,
each of M products H v where the potential has them, and forces at twice the displacement. Each Hessian is
kept as soon as it is there, with the minimum before them, so that a run that is stopped goes on after the
last one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.core.spectra import EV_PER_WAVENUMBER
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.potentials.artifact_potential import ArtifactPotential
from hint_plugin.science.molecules.anharmonic_records import Records
from hint_plugin.science.molecules.anharmonic_result import AnharmonicResult
from hint_plugin.science.molecules.curvature import Curvature
from hint_plugin.science.molecules.modes import NormalModes, normal_modes
from hint_plugin.science.molecules.remarks import internal_force
from hint_plugin.science.molecules.vpt2 import (
    Anharmonic,
    AnharmonicField,
    anharmonic_constants,
    field_from_hessians,
    perturbed_levels,
)
from hint_plugin.science.molecules.vpt2.force_field import Displaced, MeasuredField, to_dimensionless
from hint_plugin.science.molecules.vpt2.levels import states_of

STEP = 0.1
"""Of the dimensionless coordinate: 0.01 A along an O-H stretch. Fundamentals of water differ by 0.3 cm^-1
between 0.02 and 0.2 on GFN2-xTB, and by 0.2 between 0.1 and 0.2 on a model in float32, whose noise rules
below."""
STEPS = (0.001, 0.5)
"""The smallest step and the largest."""
FARTHEST = 0.05
"""Of the dimensionless coordinate: farther from the minimum than this, a geometry is none."""
_AT_REST = 1e-5
_NEWTON_STEPS = 4


def check_step(step: float) -> None:
    """Raises OptionsError: a step that is none."""
    low, high = STEPS
    if not low <= step <= high:
        raise OptionsError(
            f"a step of {step:g} of the dimensionless coordinate; wanted {low:g} to {high:g} ({STEP:g})"
        )


def minimum_of(
    atoms: Atoms, source: Any, relax: bool, kept: Records, say: Callable[[str], None]
) -> Curvature:
    """The geometry with its Hessian: record 0, or what `source` computes, at the very minimum with `relax`.

    Raises what the source raises.
    """
    record = kept.get(0)
    if record is None:
        found = source(atoms, say)
        found = at_rest(found, say) if relax else found
        kept.add(
            0,
            {
                "positions": found.atoms.positions,
                "hessian": np.asarray(found.hessian, dtype=float),
                "energy": found.energy,
                "largest_force": found.largest_force,
                "outside": found.outside,
            },
        )
        return found
    there = atoms.copy()
    there.calc, there.positions = source.calculator, record["positions"]
    about = {name: record[name] for name in ("energy", "largest_force", "hessian", "outside")}
    return Curvature(there, **about)


def at_rest(found: Curvature, say: Callable[[str], None]) -> Curvature:
    """`found` with the last force taken away by Newton's steps in the modes, each with a Hessian.

    An optimisation stops at a force of 0.01 eV/A, which moves a stretch by some cm^-1: third derivatives see
    it. The steps end where the geometry moves no more, or where the force gets no smaller.

    Raises what the calculator raises.
    """
    for _ in range(_NEWTON_STEPS):
        modes = normal_modes(found.atoms, found.hessian)
        if modes.free is not None or not len(modes.frequencies) or modes.frequencies[0] <= 0:
            break  # refused later
        distance = _distances(modes, _forces(found.atoms))
        if np.abs(distance).max() < _AT_REST:
            break
        say(f"to the minimum, {found.largest_force:.1e} eV/A left")
        moved = found.atoms.copy()
        moved.calc = found.atoms.calc
        moved.positions += (distance @ to_dimensionless(modes)).reshape(-1, 3)
        force = internal_force(moved, _forces(moved))
        if found.largest_force is None or not force < found.largest_force:
            break
        energy = float(moved.get_potential_energy())
        hessian = np.asarray(moved.calc.get_hessian(moved))
        found = replace(found, atoms=moved, energy=energy, largest_force=force, hessian=hessian)
    return found


def check_minimum(modes: NormalModes, forces: NDArray) -> None:
    """Raises EngineError: no molecule at its minimum, of which VPT2 is."""
    symbols = modes.atoms.symbols
    if modes.free is not None:
        raise EngineError(f"--anharmonic treats free molecules, and atoms of {symbols} are held", "other")
    if not len(modes.frequencies):
        raise EngineError(f"{symbols} has no vibrations", "other")
    if modes.bent:
        raise EngineError(
            f"{symbols} is slightly bent and should be linear: --anharmonic needs its minimum; give "
            "--optimize, and a smaller --fmax",
            "geometry",
        )
    if modes.frequencies[0] <= 0:
        raise EngineError(
            f"{symbols} has imaginary modes (the lowest is {modes.frequencies[0]:.1f} cm^-1): --anharmonic "
            "needs a minimum; give --optimize",
            "geometry",
        )
    distance = np.abs(_distances(modes, forces))
    if distance.max() > FARTHEST:
        k = int(distance.argmax())
        raise EngineError(
            f"{symbols} is not at its minimum: along mode {k + 1} ({modes.frequencies[k]:.0f} cm^-1) it is "
            f"{distance[k]:.2g} of the dimensionless coordinate away, and --anharmonic wants {FARTHEST:g} at "
            "most; give --optimize",
            "geometry",
        )


def anharmonic_vibrations(
    atoms: Atoms,
    hessian: NDArray | None = None,
    *,
    step: float = STEP,
    second_order: bool = True,
    kept: Records | None = None,
    say: Callable[[str], None] | None = None,
) -> AnharmonicResult:
    """VPT2 of a molecule at its minimum: fundamentals, overtones, combinations, zero-point energy.

    Args:
        atoms: at the minimum, with a calculator that has `get_hessian`; not changed.
        hessian: there [3N, 3N], eV/A^2; computed if None.
        step: d, of the dimensionless coordinates.
        second_order: whether Darling-Dennison couplings are taken into account (`vpt2.polyads`).
        kept: records of a run before; new ones are added, from number 1 on.
        say: told what is being done.

    Raises:
        EngineError: it is no minimum, or none of a free molecule (`check_minimum`). OptionsError: a step that
        is none. Whatever the calculator raises.
    """
    check_step(step)
    kept, say = kept or Records(), say or (lambda text: None)
    matrix = np.asarray(atoms.calc.get_hessian(atoms)) if hessian is None else hessian
    modes, forces = normal_modes(atoms, matrix), _forces(atoms)
    check_minimum(modes, forces)
    measured = _measured(modes, step, forces, kept, say)
    levels = perturbed_levels(measured.field, second_order=second_order)
    errors, zero_point_error = _errors(levels, measured.other)
    count = 2 * len(modes.frequencies)
    products = count * len(modes.frequencies) if _has_products(atoms.calc) else None
    shift = np.abs(np.einsum("iik,k->i", measured.field.cubic, _distances(modes, forces)))
    return AnharmonicResult(
        levels,
        modes,
        errors,
        zero_point_error,
        measured.cubic_spread,
        measured.quartic_spread,
        float(shift.max()),
        step,
        {"hessians": count, "products": products, "forces": 2 * count},
    )


def _measured(
    modes: NormalModes, step: float, forces: NDArray, kept: Records, say: Callable[[str], None]
) -> MeasuredField:
    """Hessians and forces at all displacements, those of `kept` not again."""
    along = step * to_dimensionless(modes).reshape(len(modes.frequencies), -1, 3)
    places = [sign * displacement for displacement in along for sign in (1.0, -1.0)]
    begun, computed, done = time.monotonic(), 0, []
    for number, displacement in enumerate(places, 1):
        record = kept.get(number)
        if record is None:
            say(f"Hessian {number} of {len(places)}{_pace(begun, computed, len(places) - number + 1)}")
            moved = modes.atoms.copy()
            moved.calc = modes.atoms.calc
            moved.positions += displacement
            record = {"forces": _forces(moved), "hessian": np.asarray(moved.calc.get_hessian(moved))}
            moved.positions += displacement
            record["far"] = _forces(moved)
            kept.add(number, record)
            computed += 1
        done.append(record)
    plus, minus = (
        Displaced(*(np.array([one[name] for one in done[first::2]]) for name in ("hessian", "forces", "far")))
        for first in (0, 1)
    )
    return field_from_hessians(modes, step, plus, minus, forces)


def _pace(begun: float, computed: int, left: int) -> str:
    """The rate, and the time that is left at it."""
    if not computed:
        return ""
    each = (time.monotonic() - begun) / computed
    minutes, seconds = divmod(round(each * left), 60)
    return f", {each:.2g} s each, {minutes}:{seconds:02d} left"


def _has_products(calculator: Any) -> bool:
    """Whether its Hessians are made of products H v: those of a model are, and of no other engine."""
    engine, potential = getattr(calculator, "engine", None), getattr(calculator, "potential", None)
    if engine is not None:
        return bool(engine.name == "model")
    return isinstance(potential, ArtifactPotential)


def _errors(levels: Anharmonic, other: AnharmonicField) -> tuple[NDArray, float]:
    """What the other evaluation changes of the fundamentals and of the zero-point energy, cm^-1."""
    again = anharmonic_constants(other, levels.fermi)
    states = states_of(len(other.frequencies), 1)
    changed = [abs(again.energy(state) - levels.constants.energy(state)) for state in states]
    return np.array(changed), abs(again.zero_point_energy - levels.zero_point_energy)


def _forces(atoms: Any) -> NDArray:
    return np.asarray(atoms.get_forces(apply_constraint=False), dtype=float)


def _distances(modes: NormalModes, forces: NDArray) -> NDArray:
    """How far the minimum is [M], in dimensionless coordinates: -g_k / omega_k."""
    slope = to_dimensionless(modes) @ forces.ravel() / EV_PER_WAVENUMBER
    return np.asarray(slope / modes.frequencies)
