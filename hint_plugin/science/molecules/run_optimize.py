"""What `hint optimize` does: minima and transition states of molecules, checked by their vibrations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from hint_plugin.data import LabelKeys, clear_labels
from hint_plugin.data.outputs import a_file, as_path, check_file
from hint_plugin.data.structures.electrons import state_electrons
from hint_plugin.parallel import Batch, Spread
from hint_plugin.parallel.batch import asked_for
from hint_plugin.potentials.on_demand import OnDemand, origin
from hint_plugin.science.molecules.curvature import doubtful, relaxed, wrong_kind
from hint_plugin.science.molecules.lowest_modes import DENSE_ATOMS
from hint_plugin.science.molecules.molecule_inputs import Inputs, files_of, given
from hint_plugin.science.molecules.optimization import check_optimiser
from hint_plugin.science.molecules.over_molecules import each_molecule, save_structures


@dataclass(frozen=True)
class OptimizeResult(Batch):
    """What optimisations led to; those that ended in the wrong kind of point, or in one that means nothing
    (`doubt` in its row), are in `failures`, too."""

    @property
    def structures(self) -> list[Atoms]:
        """Where they ended, with energy and forces; one for each of `results`."""
        return [_stationary(atoms, row, kept) for atoms, row, kept in self.done]

    def write(self, output: str | Path) -> None:
        """The structures, .xyz or .h5, and beside them OUT.json; nothing where there are no structures.

        Raises:
            DataError: a suffix of no known format. OptionsError: the folder is not there.
        """
        check_file(path := as_path(output))
        save_structures(path, "optimize", self.structures, self)


def optimize(
    inputs: Inputs,
    potential: Any,
    output: str | Path | None = None,
    *,
    saddle: bool = False,
    fmax: float = 0.01,
    steps: int = 300,
    dense_atoms: int = DENSE_ATOMS,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
    jobs: int = 1,
    parsl: str | Path | None = None,
    restart: bool = False,
    report: Any = None,
) -> OptimizeResult:
    """Optimise molecules to minima, or to transition states; see `hint_plugin.science.molecules.run`.

    Atoms that FixAtoms or FixCartesian hold stay where they are; with such atoms a structure may be periodic.

    Args:
        inputs, potential, output, device, charge, spin, jobs, parsl, restart, report: see there.
        saddle: look for a transition state, in place of a minimum.
        fmax: eV/A, the largest force on an atom at the end.
        steps: at most.
        dense_atoms: saddles of more atoms are found without the whole Hessian, see `optimization.optimize`.

    Raises:
        HintError: files, options or packages with which nothing can be done; a run that is stopped.
    """
    asked, place = asked_for(locals()), a_file(as_path(output))
    molecules = given(inputs)
    if place is not None:
        check_file(place, files_of(molecules))
    check_optimiser()
    source = OnDemand.of(potential, device, charge, spin)
    work, spread = (
        Optimisation(source, saddle, fmax, steps, dense_atoms),
        Spread(jobs, as_path(parsl), restart),
    )
    found, asked = OptimizeResult(), asked | source.asked()
    with each_molecule(
        "optimize", asked, molecules, work, place, spread, found, source, source.model, report
    ):
        found.failures.extend(
            {"name": row["name"], "formula": row["formula"], "error": kept["wrong"], "kind": "geometry"}
            for _, row, kept in found.done
            if kept["wrong"]
        )
        if place is not None:
            found.write(place)
    return found


@dataclass(frozen=True)
class Optimisation:
    """The work on one molecule; it travels to worker processes. See `optimize`."""

    potential: OnDemand
    saddle: bool
    fmax: float
    steps: int
    dense_atoms: int = DENSE_ATOMS

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.potential.calculator()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        atoms.calc = calculator = self.potential.calculator()
        found = relaxed(atoms, self.saddle, self.fmax, self.steps, say, self.dense_atoms)
        kept = {
            "positions": found.atoms.positions,
            "forces": found.atoms.get_forces(apply_constraint=False),  # labels are of no constraints
            "origin": origin(calculator, atoms),
            "wrong": wrong_kind(found, self.saddle) or doubtful(found),
        }
        return dict(found.as_dict()), kept


def _stationary(atoms: Any, row: dict[str, Any], kept: dict[str, Any]) -> Any:
    """The structure of the input where the optimisation has left it, with its energy and forces."""
    keys, final = LabelKeys(), atoms.copy()
    clear_labels(final)  # what the input has is of another geometry
    final.positions = kept["positions"]
    made = {keys.prefix + name: value for name, value in kept["origin"].items()}
    final.info |= {keys.energy: row["energy"], "kind": row["kind"], **made}
    if doubt := row.get("doubt"):
        final.info["doubt"] = doubt
    final.arrays[keys.forces] = kept["forces"]
    state_electrons(final, kept["origin"])
    final.calc = SinglePointCalculator(final, energy=row["energy"], forces=kept["forces"])
    return final
