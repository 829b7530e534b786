"""Force constants of a crystal from exact Hessian-vector products, as few as its symmetry allows.

The force constants phonopy wants are rows of the Hessian of the supercell,

    Phi(i a, j b) = d2E / dx_ia dx_jb,        i in the primitive cell, j in the supercell,

so H v for the 3 n_prim unit vectors v = e_ia is all of them. phonopy's list of displacements is shorter: one
to three vectors d for each atom that symmetry tells apart (Si: 1, NaCl: 2), from which rotations make the
rest. -H d is handed to phonopy as the forces of such a displacement. Unlike those of a finite one they are
exactly linear: no step to choose, no second displacement of the opposite sign.

Displaced atoms that no atom feels both of share a product (`hint_plugin.potentials.colouring`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.unit_cell import quiet, to_ase
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.potentials.calculator_potential import as_potential
from hint_plugin.potentials.colouring import shared
from hint_plugin.potentials.potential import Potential
from hint_plugin.science.phonons.crystals import Supercell, in_a_box, new_phonopy

if TYPE_CHECKING:
    from phonopy import Phonopy

FORCE_TOLERANCE = 0.005
"""eV/A: with more on an atom, the frequencies are those of a crystal that is not at rest."""
STEP = 0.01
"""A, of displacements where there are no products; phonopy's own."""

_NOTHING = 1e-9  # eV/A^2: weaker force constants are rounding

AT_ONCE = 16
"""Products that are asked for together: the graph of the forces is made once for them."""

Report = Callable[[int, int], None]


def harmonic_phonons(
    atoms: Atoms,
    calculator: Any,
    supercell: Supercell,
    *,
    primitive: Any = "auto",
    symmetry: bool = True,
    symmetry_precision: float = 1e-5,
    displacement: float | None = None,
    symmetrise: bool = True,
    force_tolerance: float | None = FORCE_TOLERANCE,
    report: Report | None = None,
) -> Phonopy:
    """A `phonopy.Phonopy` with (compact) force constants.

    They are exact where the calculator has `get_hvp(atoms, v)` or `get_hessian(atoms)`, tried in this order;
    otherwise by finite displacements, as phonopy makes them.

    What the atoms carry (magnetic moments, charges, tags, arrays of one's own) goes into the
    supercell, and is respected by the symmetry that is used. Layers (periodic in two directions) are
    taken, too.

    Args:
        atoms: the unit cell, at rest; its masses are taken (isotopes).
        calculator: an ASE calculator.
        supercell: one number, three, or a 3 x 3 matrix. Wider than twice the reach of the forces, or of the
            q points that are wanted exactly.
        primitive: as phonopy's `primitive_matrix`.
        symmetry: False: all 3 n_prim products, nothing made by rotations.
        symmetry_precision: A.
        displacement: A; finite displacements of this length in place of products, to compare.
        symmetrise: impose the acoustic sum rule and the symmetry under exchange of two atoms.
        force_tolerance: eV/A; above it a warning says how far from rest the crystal is. None: never.
        report: called with how many products (or displacements) are done, and of how many.

    Raises:
        DataError: not a crystal; forces or products that are not finite; no forces between atoms at all.
        OptionsError: see `supercell_matrix`; a charge or spin in `info`, and a supercell.
        MissingDependencyError: no phonopy. Whatever the calculator raises.
    """
    atoms = in_a_box(atoms)
    phonon = new_phonopy(atoms, supercell, primitive, symmetry_precision)
    if len(phonon.supercell) == 1:
        raise DataError(
            f"{atoms.symbols}: a supercell of one atom only moves as a whole, and has no vibration. Take a "
            "larger --supercell, as 4 4 4"
        )
    force = forces_at_rest(atoms, calculator)
    if force_tolerance is not None and force > force_tolerance:
        warnings.warn(
            f"{atoms.symbols}: {force:.3f} eV/A on an atom: not at rest, relax it first", stacklevel=2
        )
    large = to_ase(phonon.supercell, atoms)
    potential = as_potential(calculator)
    if displacement is None and potential.exact:
        response = _Products(potential, large, report)
    else:
        step = STEP if displacement is None else displacement
        _finite_displacements(phonon, large, calculator, step, report)
        return _finished(phonon, symmetrise)
    if symmetry:
        _by_symmetry(phonon, response)
    else:
        _all_rows(phonon, response)
    return _finished(phonon, symmetrise)


def forces_at_rest(atoms: Atoms, calculator: Any) -> float:
    """The largest force on an atom of the crystal, eV/A. Raises DataError if one is NaN."""
    probe = atoms.copy()
    probe.set_constraint()  # it would hide forces
    probe.calc = calculator
    forces = np.asarray(probe.get_forces(), dtype=float)
    if not np.isfinite(forces).all():
        atom = int(np.argmin(np.isfinite(forces).all(axis=1)))
        raise DataError(f"{atoms.symbols}: the force on atom {atom} is NaN or infinite")
    return float(np.linalg.norm(forces, axis=1).max())


class _Products:
    """(atoms [K], vectors [K, 3]) -> H d [K, N, 3], d being the vector on the atom and zero elsewhere."""

    def __init__(self, potential: Potential, large: Atoms, report: Report | None) -> None:
        self._potential, self._large, self._report = potential, large, report

    def __call__(self, movers: NDArray, vectors: NDArray) -> NDArray:
        pattern = self._potential.hessian_pattern(self._large)
        groups = np.arange(len(movers)) if pattern is None else shared(pattern, movers)
        found = np.zeros((len(movers), len(self._large), 3))
        count = int(groups.max()) + 1
        for start in range(0, count, AT_ONCE):
            block = range(start, min(start + AT_ONCE, count))
            probes = np.zeros((len(block), len(self._large), 3))
            chosen = np.flatnonzero((groups >= block.start) & (groups < block.stop))
            probes[groups[chosen] - start, movers[chosen]] = vectors[chosen]
            products = np.asarray(self._potential.hvp(self._large, probes), dtype=float)
            for k in chosen:
                felt = (
                    slice(None)
                    if pattern is None
                    else pattern.indices[slice(*pattern.indptr[movers[k] :][:2])]
                )
                found[k, felt] = products[groups[k] - start, felt]
            if self._report is not None:
                self._report(block.stop, count)
        return found


def _by_symmetry(phonon: Phonopy, response: Any) -> None:
    run: Any = phonon
    with quiet():
        run.generate_displacements(distance=1.0, is_plusminus=False)
    moved = run.dataset["first_atoms"]
    movers = np.array([one["number"] for one in moved])
    vectors = np.array([one["displacement"] for one in moved], dtype=float)
    phonon.forces = -_finite(response(movers, vectors))
    with quiet():
        phonon.produce_force_constants(calculate_full_force_constants=False, show_drift=False)


def _all_rows(phonon: Phonopy, response: Any) -> None:
    rows = np.asarray(phonon.primitive.p2s_map)
    movers, vectors = np.repeat(rows, 3), np.tile(np.eye(3), (len(rows), 1))
    found = _finite(response(movers, vectors))  # [3 n_prim, N, 3]
    n = len(phonon.supercell)
    phonon.force_constants = np.ascontiguousarray(found.reshape(len(rows), 3, n, 3).transpose(0, 2, 1, 3))


def _finite_displacements(
    phonon: Phonopy, large: Atoms, calculator: Any, step: float, report: Report | None
) -> None:
    if not step > 0:
        raise OptionsError(f"displacements of {step} A; wanted a number above 0")
    run: Any = phonon
    with quiet():
        run.generate_displacements(distance=step, is_plusminus=True)
    cells = run.supercells_with_displacements
    forces = []
    for k, one in enumerate(cells):
        cell = large.copy()
        cell.positions = one.positions
        cell.calc = calculator
        forces.append(np.asarray(cell.get_forces(), dtype=float).copy())
        if report is not None:
            report(k + 1, len(cells))
    phonon.forces = _finite(np.array(forces))
    with quiet():
        phonon.produce_force_constants(calculate_full_force_constants=False, show_drift=False)


def _finite(values: NDArray) -> NDArray:
    if not np.isfinite(values).all():
        raise DataError("the calculator gives forces or Hessian-vector products that are NaN or infinite")
    return values


def _finished(phonon: Phonopy, symmetrise: bool) -> Phonopy:
    if np.abs(np.asarray(phonon.force_constants)).max() < _NOTHING:
        raise DataError(
            f"{to_ase(phonon.unitcell).symbols}: all force constants are zero, so no atom feels "
            f"another. Does the "
            "calculator know these elements, and does its cutoff reach a neighbour?"
        )
    if symmetrise:
        with quiet():
            phonon.symmetrize_force_constants(show_drift=False)
    return phonon
