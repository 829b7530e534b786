"""Geometries with their Hessians: computed, after optimisation if that is wanted, or from labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.data import HessianLabel, LabelKeys, read_label
from hint_plugin.data.structures.constraints import FreeCoordinates, free_coordinates
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.potentials.extrapolation import outside_training
from hint_plugin.potentials.on_demand import OnDemand, PotentialSpec
from hint_plugin.potentials.partial_hessian import free_rows
from hint_plugin.science.molecules.lowest_modes import DENSE_ATOMS
from hint_plugin.science.molecules.optimization import check_optimiser, optimize, with_all_modes
from hint_plugin.science.molecules.remarks import internal_force


def relaxed(
    atoms: Any,
    saddle: bool,
    fmax: float,
    steps: int,
    say: Callable[[str], None],
    dense_atoms: int = DENSE_ATOMS,
) -> Any:
    """`optimize` with its progress; EngineError where it does not converge. `wrong_kind` says on what."""
    found = optimize(
        atoms,
        saddle=saddle,
        fmax=fmax,
        steps=steps,
        dense_atoms=dense_atoms,
        report=lambda step, energy, force: say(f"step {step}, {energy:.4f} eV, {force:.3f} eV/A"),
    )
    if not found.converged:
        raise EngineError(found.kind, "geometry")
    return found


def wrong_kind(found: Any, saddle: bool) -> str:
    """What is wrong with a `Stationary` that is no minimum, or no transition state; else nothing.

    See `doubtful` for one that is.
    """
    wanted = "transition state" if saddle else "minimum"
    if found.kind == wanted:
        return ""
    modes = ", ".join(f"{nu:.0f}" for nu in found.modes.imaginary)
    modes = f" (imaginary modes: {modes} cm^-1)" if modes else ""
    hint = "start nearer to it" if saddle else "start elsewhere, or give a smaller --fmax"
    return f"the search ended in a {found.kind}{modes}; wanted a {wanted}: {hint}"


def doubtful(found: Any) -> str:
    """What speaks against a `Stationary` of the right kind, with what can be done; else nothing."""
    if not found.doubt:
        return ""
    return (
        f"the search ended in a {found.kind} that means nothing: {found.doubt}. Start from a sensible "
        "structure; outside of a model's training take another model, or an engine"
    )


@dataclass(frozen=True)
class Curvature:
    """A geometry with its Hessian; `atoms` carry the calculator, if there is one. `energy` is None, and
    `largest_force` too, where the label has none. `outside`: of the model's training, see
    `outside_training`. Where atoms are held, `hessian` is [n, n], of the free coordinates, and `rows` are
    those [3m, 3N] of the atoms that move, where they were computed."""

    atoms: Any
    energy: float | None
    largest_force: float | None
    hessian: Any
    outside: str = ""
    rows: Any = None


@dataclass
class Computed:
    """Hessians by a potential, after optimisation if that is wanted."""

    potential: OnDemand
    relax: bool = False
    saddle: bool = False
    fmax: float = 0.01

    @property
    def model(self) -> Path | None:
        """The file of a model, if it is one."""
        return self.potential.model

    def asked(self) -> dict[str, Any]:
        """What the journal of a run says of it."""
        return self.potential.asked()

    @property
    def calculator(self) -> Any:
        """A calculator; raises what `OnDemand.calculator` raises."""
        return self.potential.calculator()

    def load(self) -> None:
        """Load what computes. Raises as `calculator`."""
        self.potential.calculator()

    def __call__(self, atoms: Any, say: Callable[[str], None]) -> Curvature:
        """Raises HintError."""
        atoms.calc = self.calculator
        if self.relax:
            found = relaxed(atoms, self.saddle, self.fmax, 300, say)
            if error := wrong_kind(found, self.saddle) or doubtful(found):
                raise EngineError(error, "geometry")
            found = with_all_modes(found)
            if error := wrong_kind(found, self.saddle):
                raise EngineError(error, "geometry")
            return Curvature(found.atoms, found.energy, found.largest_force, found.hessian)
        say("energy and forces")
        forces = atoms.get_forces(apply_constraint=False)
        energy = float(atoms.get_potential_energy())
        say("Hessian")
        outside, free = outside_training(atoms.calc, atoms, forces), free_coordinates(atoms)
        rows = None if free.all else free_rows(atoms, free=free)
        hessian = atoms.calc.get_hessian(atoms) if rows is None else free.part(rows)
        return Curvature(atoms, energy, internal_force(atoms, forces), hessian, outside, rows)


class Stored:
    """Hessians that are in the file already."""

    potential = model = None

    def asked(self) -> dict[str, Any]:
        """What the journal of a run says of it: no potential."""
        return PotentialSpec().asked()

    def load(self) -> None:
        """Nothing computes."""

    def __call__(self, atoms: Any, say: Callable[[str], None]) -> Curvature:
        """Raises DataError if the frame lacks a full Hessian, or, where atoms are held, the rows of the
        others."""
        keys, label, free = LabelKeys(), read_label(atoms), free_coordinates(atoms)
        hessian = None if label is None else _known(label, free)
        if hessian is None:
            if not free.all:
                raise DataError(
                    f"{atoms.symbols} has no Hessian, and no rows of the atoms that move; give --model "
                    "FILE or --engine gfn2-xtb to compute them"
                )
            raise DataError(
                f"{atoms.symbols} has no full Hessian; give --model FILE or --engine gfn2-xtb to compute one"
            )
        energy, forces = atoms.info.get(keys.energy), atoms.arrays.get(keys.forces)
        force = None if forces is None else internal_force(atoms, forces)
        return Curvature(atoms, None if energy is None else float(energy), force, hessian)


def _known(label: HessianLabel, free: FreeCoordinates) -> Any:
    """The Hessian of what moves, of a label; None where it does not know it."""
    if label.hessian is None:
        return None
    if label.atoms is None:
        return label.hessian if free.all else free.part(label.hessian)
    if free.all or not np.isin(free.atoms, label.atoms).all():
        return None
    blocks = label.hessian.reshape(len(label.atoms), 3, -1)[np.searchsorted(label.atoms, free.atoms)]
    return free.part(blocks.reshape(3 * len(blocks), -1))


def source_of_hessians(
    potential: OnDemand | None, *, relax: bool, saddle: bool, fmax: float
) -> Computed | Stored:
    """Where Hessians come from: computed if there is a potential, else those in the files.

    Raises:
        OptionsError: to be optimised without anything that computes; and what `check_optimiser` raises.
    """
    if potential is None:
        if relax:
            raise OptionsError("--optimize and --saddle need --model FILE or --engine NAME (gfn2-xtb)")
        return Stored()
    if relax:
        check_optimiser()
    return Computed(potential, relax, saddle, fmax)
