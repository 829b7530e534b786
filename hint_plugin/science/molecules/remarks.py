"""What has to be said beside the numbers of a molecule: in the table, in the JSON, in the CSV.

A row of results has `kind`, `stationary` and `remarks`. Harmonic frequencies and Gibbs energies are those of
a stationary point. They are computed for any structure that comes with a Hessian, and where it is none, or
where nobody knows, no row says "minimum" or "transition state" without a remark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.core.spectra import rigid_basis
from hint_plugin.data.structures.constraints import free_coordinates
from hint_plugin.science.molecules.modes import NormalModes, largest_force

STATIONARY = 0.05
"""eV/A, of the largest force on an atom: beyond, a structure is no stationary point."""
NOT_STATIONARY = "not stationary"


def internal_force(atoms: Atoms, forces: NDArray) -> float:
    """The largest force on an atom, eV/A, without what moves or turns the molecule as a whole.

    f - D D^T f, D being the orthonormal translations and rotations of unit masses: a label of a program with
    a grid may have a net force, which is no step to a stationary point. Where coordinates are held, it is the
    largest force on the free ones.
    """
    free = free_coordinates(atoms)
    if not free.all:
        return largest_force(free.forces(forces))
    flat = np.asarray(forces, dtype=float).ravel()
    ones = torch.ones(len(atoms), dtype=torch.float64)
    rigid = rigid_basis(torch.as_tensor(atoms.positions), ones).numpy()
    left = (flat - rigid @ (rigid.T @ flat)).reshape(-1, 3)
    return float(np.linalg.norm(left, axis=1).max())


def is_stationary(force: float | None) -> bool | None:
    """Whether the largest force on an atom is that of a stationary point; None where it is not known."""
    return None if force is None else bool(force <= STATIONARY)


def kind_of(modes: NormalModes, force: float | None) -> str:
    """ "minimum", "transition state" or "saddle of order n", where the force is small or not known; else
    `NOT_STATIONARY`, whatever its modes are."""
    return NOT_STATIONARY if is_stationary(force) is False else modes.kind


def remarks_of(row: Mapping[str, Any]) -> list[str]:
    """The remarks about a row: clauses without its name."""
    found = [not_stationary(row), left_out(row), nearly_linear(row), still_turning(row), no_gas(row)]
    if outside := row.get("outside_training"):
        found.append(f"outside of what the model was trained on, its numbers are extrapolation: {outside}")
    return [text for text in found if text]


def not_stationary(row: Mapping[str, Any]) -> str:
    """That a Hessian was taken far from a stationary point, or that nobody knows; else nothing."""
    force = row.get("largest_force")
    if force is None:
        return "the label has no forces, so that nobody knows whether this is a stationary point"
    if is_stationary(force):
        return ""
    return f"not stationary: {force:.2f} eV/A on an atom; --optimize or --saddle goes on, or a smaller --fmax"


def left_out(row: Mapping[str, Any]) -> str:
    """Which modes do not count as they are in a Gibbs energy; else nothing."""
    parts = []
    if imaginary := row.get("imaginary"):
        what = {"transition state": "transition state", NOT_STATIONARY: "this is no transition state"}
        about = what.get(row.get("kind", ""), row.get("kind", ""))
        parts.append(f"the imaginary mode of {imaginary[0]:.1f} cm^-1 is left out ({about})")
    if inverted := row.get("inverted"):
        listed = ", ".join(f"{nu:.1f}" for nu in inverted)
        parts.append(f"{listed} cm^-1, imaginary by less than 10, counts as real")
    return "; ".join(parts)


def nearly_linear(row: Mapping[str, Any]) -> str:
    """That a slightly bent molecule was treated as linear; else nothing."""
    if not row.get("treated_as_linear"):
        return ""
    return "slightly bent, and treated as linear: its turn about the axis counts as a bending mode"


def still_turning(row: Mapping[str, Any]) -> str:
    """That held atoms leave rigid motions; else nothing."""
    if not (left := row.get("rigid_motions")):
        return ""
    motions = "a rigid motion" if left == 1 else f"{left} rigid motions"
    return f"the atoms that are held leave {motions} of the whole, which the modes are without"


def no_gas(row: Mapping[str, Any]) -> str:
    """What the free energy of a structure is of which atoms are held; else nothing."""
    of_modes = {
        "harmonic": "all modes are harmonic oscillators",
        "hindered": "the three softest modes are hindered translations and rotation",
    }
    if (model := row.get("model", "")) not in of_modes:
        return ""
    return f"atoms are held: this is no gas, {of_modes[model]}, and G is the free energy F"


def in_short(row: Mapping[str, Any]) -> str:
    """The kind for a table: "TS", "minimum", "not stationary"; with "?" where the forces are not known."""
    kind = {"transition state": "TS"}.get(row["kind"], row["kind"])
    return f"{kind}?" if row.get("stationary", True) is None else str(kind)


def how_many_are_not(rows: Iterable[Mapping[str, Any]], what: str) -> str:
    """That some of the rows are no stationary points, in one sentence; "" if all are.

    Args:
        rows: with `stationary`.
        what: the numbers that suffer: "Gibbs energies".
    """
    seen = list(rows)
    wrong = [row for row in seen if row.get("stationary") is False]
    unknown = [row for row in seen if row.get("stationary", True) is None]
    parts = []
    if wrong:
        parts.append(
            f"{len(wrong)} of {len(seen)} structures are not stationary, the first is {wrong[0]['name']}"
        )
    if unknown:
        parts.append(f"of {len(unknown)} of {len(seen)} structures nobody knows the forces")
    if not parts:
        return ""
    return f"{'; '.join(parts)}: their {what} are those of no minimum and no transition state" + (
        "" if wrong else ", unless they are stationary"
    )
