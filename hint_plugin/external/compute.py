"""A potential that answers the points of other programs; the only module here that programs wait for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.units import Bohr, Hartree

from hint_plugin.data.structures.electrons import lowest_multiplicity
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.external.points import HESSIAN, Answer, Point
from hint_plugin.external.spec import Spec, sha256
from hint_plugin.potentials.artifact_potential import ArtifactPotential
from hint_plugin.potentials.engine_potential import EnginePotential
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.potentials.opening import open_potential
from hint_plugin.potentials.potential import Potential
from hint_plugin.potentials.registry import make_engine
from hint_plugin.science.molecules.infrared import dipole_derivatives
from hint_plugin.settings import parse_pairs

LENGTHS = {"bohr": Bohr, "angstrom": 1.0}


def open_spec(spec: Spec) -> Potential:
    """The potential of a `Spec`.

    Raises:
        DataError: the file is another one than when the `Spec` was made. What `open_potential` raises.
    """
    if spec.model is None:
        return EnginePotential(make_engine(str(spec.engine), **parse_pairs(spec.options)))
    if spec.model_sha256 is not None and sha256(Path(spec.model)) != spec.model_sha256:
        raise DataError(f"{spec.model} has changed while it was opened: call again")
    return open_potential(Path(spec.model), device=spec.device)


def answer(potential: Potential, point: Point) -> Answer:
    """Energy and derivatives in atomic units.

        E / Eh,  (dE/dx) bohr / Eh,  (d2E/dx dx) bohr^2 / Eh,  mu / (e bohr)

    Raises:
        OptionsError: a charge or multiplicity that the potential does not know.
        DataError, EngineError: the structure cannot be computed, or the result is not finite.
    """
    atoms = structure(point)
    if isinstance(potential, ArtifactPotential):
        potential.watch_domain()  # each job is to hear of it, whoever was answered before
    _check_electrons(potential, atoms, point)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        (found,) = potential.evaluate([atoms])
        hessian = potential.hessian(atoms) if point.order >= HESSIAN else None
        moments = None
        if found.dipole is not None and point.dipole_derivatives:
            atoms.calc = HintCalculator(potential)
            moments = dipole_derivatives(atoms)
    parts = (found.energy, found.forces, 0.0 if hessian is None else hessian)
    if not all(np.isfinite(part).all() for part in parts):
        raise DataError(
            f"{potential.method} gives no finite energy or derivatives for {atoms.symbols}: atoms are on top "
            "of each other, or far too near"
        )
    triangle = None
    if hessian is not None:
        matrix = (hessian + hessian.T) / 2 / (Hartree / Bohr**2)
        triangle = matrix[np.tril_indices(len(matrix))].tolist()
    return Answer(
        potential.method,
        float(found.energy / Hartree),
        (-np.asarray(found.forces, dtype=float) / (Hartree / Bohr)).ravel().tolist(),
        triangle,
        None if found.dipole is None else (np.asarray(found.dipole, dtype=float) / Bohr).tolist(),
        None if moments is None else np.asarray(moments).ravel().tolist(),
        [str(one.message) for one in said if issubclass(one.category, UserWarning)],
    )


def structure(point: Point) -> Atoms:
    """The atoms, with their electrons in `info`.

    Raises:
        DataError: an element that is none.
    """
    numbers = [_number(element) for element in point.elements]
    positions = np.reshape(point.positions, (-1, 3)) * LENGTHS[point.unit]
    atoms = Atoms(numbers, positions)
    atoms.info |= {"charge": int(point.charge), "spin": int(point.multiplicity)}
    return atoms


def _check_electrons(potential: Any, atoms: Atoms, point: Point) -> None:
    """A model sees elements and positions alone: it must not be asked for other electrons.

    Engines check for themselves.
    """
    if point.charge and "charge" not in potential.electrons:
        raise OptionsError(
            f"{point.program} asks for charge {point.charge}, and {potential.method} does not know charges: "
            f"it would give the energy of the neutral. Set the charge to 0 in {point.program}'s input, or "
            "take an engine (--engine gfn2-xtb)"
        )
    lowest = lowest_multiplicity(atoms, point.charge)
    if point.multiplicity != lowest and "multiplicity" not in potential.electrons:
        raise OptionsError(
            f"{point.program} asks for multiplicity {point.multiplicity}, and {potential.method} does not "
            f"know spins: it stands for the lowest multiplicity of these atoms, {lowest}. Set it to {lowest} "
            f"in {point.program}'s input, or take an engine (--engine gfn2-xtb)"
        )


def _number(element: str | int) -> int:
    found = element if isinstance(element, int) else atomic_numbers.get(element.capitalize(), 0)
    if not 0 < found < 119:
        raise DataError(f"{element!r} is no element; wanted a symbol or an atomic number")
    return found
