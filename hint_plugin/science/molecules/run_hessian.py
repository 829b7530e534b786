"""What `hint hessian` does: exact Hessians of molecules, as labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data import HessianLabel, LabelKeys, clear_labels, write_label
from hint_plugin.data.outputs import a_file, as_path, check_file
from hint_plugin.data.structures.constraints import free_coordinates
from hint_plugin.data.structures.electrons import state_electrons
from hint_plugin.parallel import Batch, Spread
from hint_plugin.parallel.batch import asked_for
from hint_plugin.potentials.on_demand import OnDemand, origin
from hint_plugin.science.molecules.curvature import Computed
from hint_plugin.science.molecules.modes import normal_modes
from hint_plugin.science.molecules.molecule_inputs import Inputs, files_of, given
from hint_plugin.science.molecules.over_molecules import each_molecule, save_structures, say_at_the_end


@dataclass(frozen=True)
class HessianResult(Batch):
    """Spectra of Hessians, and the labels."""

    @property
    def structures(self) -> list[Atoms]:
        """With energy, forces and Hessian as labels (`data.read_label`); one for each of `results`."""
        return [_labelled(atoms, row, kept) for atoms, row, kept in self.done]

    def write(self, output: str | Path) -> None:
        """The labelled structures, .xyz or .h5, and beside them OUT.json; nothing where there are none.

        Raises:
            DataError: a suffix of no known format. OptionsError: the folder is not there.
        """
        check_file(path := as_path(output))
        save_structures(path, "hessian", self.structures, self)


def hessian(
    inputs: Inputs,
    potential: Any,
    output: str | Path | None = None,
    *,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
    jobs: int = 1,
    parsl: str | Path | None = None,
    restart: bool = False,
    report: Any = None,
) -> HessianResult:
    """Hessians (eV/A^2) and their spectra; see `hint_plugin.science.molecules.run` for the arguments.

    Where atoms are held (FixAtoms, FixCartesian) the label has the rows of those that move, and the
    spectrum is that of their block.

    Raises:
        HintError: files, options or packages with which nothing can be done; a run that is stopped.
    """
    asked, place = asked_for(locals()), a_file(as_path(output))
    molecules = given(inputs)
    if place is not None:
        check_file(place, files_of(molecules))
    source = Computed(OnDemand.of(potential, device, charge, spin))
    work, spread = HessianOf(source), Spread(jobs, as_path(parsl), restart)
    found, asked, model = HessianResult(), asked | source.potential.asked(), source.potential.model
    with each_molecule(
        "hessian", asked, molecules, work, place, spread, found, source.potential, model, report
    ) as display:
        say_at_the_end(found, display)
        if place is not None:
            found.write(place)
    return found


@dataclass(frozen=True)
class HessianOf:
    """The work on one molecule; it travels to worker processes."""

    source: Computed

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.source.load()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        found = self.source(atoms, say)
        modes = normal_modes(atoms, found.hessian)
        row = {"energy": found.energy, "largest_force": found.largest_force, **modes.as_dict()}
        row["outside_training"] = found.outside
        made = origin(atoms.calc, atoms) | {"hessian": "full" if found.rows is None else "rows"}
        if found.outside:
            made["outside_training"] = found.outside
        return row, {
            "hessian": found.hessian if found.rows is None else found.rows,
            "forces": atoms.get_forces(apply_constraint=False),
            "origin": made,
        }


def _labelled(atoms: Any, row: dict[str, Any], kept: dict[str, Any]) -> Any:
    """The structure of the input with its labels, in place of those that it had."""
    keys, labelled = LabelKeys(), atoms.copy()
    clear_labels(labelled)
    labelled.info[keys.energy] = row["energy"]
    labelled.arrays[keys.forces] = kept["forces"]
    write_label(labelled, _label(atoms, kept))
    state_electrons(labelled, kept["origin"])
    return labelled


def _label(atoms: Any, kept: dict[str, Any]) -> HessianLabel:
    """The whole Hessian; where atoms are held, the rows of those that move."""
    free = free_coordinates(atoms)
    if free.all:
        return HessianLabel.full(kept["hessian"], provenance=kept["origin"])
    return HessianLabel.rows(kept["hessian"], free.atoms, len(atoms), provenance=kept["origin"])
