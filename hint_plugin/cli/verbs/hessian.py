"""`hint hessian IN... -o OUT`: exact Hessians of molecules, as labels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.molecules import Computed, Potential
from hint_plugin.cli.support.outputs import a_file
from hint_plugin.cli.support.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Inputs,
    Json,
    Model,
    Spin,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart


def hessian(
    context: typer.Context,
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=a_file,
            help="The structures with energy, forces and Hessian, .xyz or .h5.",
        ),
    ],
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Compute Hessians (eV/A^2), and say what their spectra look like.

    The output is a file of labels as `hint label` writes it: `hint vibrations` and `hint thermo` read it, and
    trainings do. Beside it, OUT.json has the spectra.

    A run that is stopped goes on where it was when the same command is given again.

    Exit status: 0 all done, 3 some failed, 2 nothing could be done, 130 stopped.
    """
    from hint_plugin.cli.support.batch import each_molecule, save_structures
    from hint_plugin.cli.support.outputs import check_file
    from hint_plugin.cli.support.tables import show
    from hint_plugin.data.sets.patterns import expand
    from hint_plugin.parallel import Spread

    inputs = expand(inputs)
    check_file(output, inputs)
    source = Computed(Potential((model, engine, engine_option, device, charge, spin)))
    spread = Spread(jobs, parsl, restart)
    with each_molecule(context, inputs, HessianOf(source), output, spread, source.calculator, model) as batch:
        frames = [_labelled(atoms, row, kept) for atoms, row, kept in batch.done]
        save_structures(output, "hessian", frames, batch)
    if not json_ and batch.results:
        rows = []
        for row in batch.results:
            nu = row["frequencies"] or [float("nan")]
            numbers = (f"{row['energy']:.5f}", f"{row['largest_force']:.4f}", str(row["imaginary_modes"]))
            rows.append((row["name"], *numbers, f"{nu[0]:.1f}", f"{nu[-1]:.1f}"))
        show(("molecule", "E, eV", "force, eV/A", "imaginary", "lowest, cm^-1", "highest"), rows)
        typer.echo(f"written to {output}")
    batch.finish(json_)


@dataclass(frozen=True)
class HessianOf:
    """The work on one molecule; it travels to worker processes."""

    source: Computed

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.source.load()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from hint_plugin.science.molecules import normal_modes

        found = self.source(atoms, say)
        modes = normal_modes(atoms, found.hessian)
        row = {"energy": found.energy, "largest_force": found.largest_force, **modes.as_dict()}
        origin = atoms.calc.provenance(atoms) | {"hessian": "full"}
        return row, {"hessian": found.hessian, "forces": atoms.get_forces(), "origin": origin}


def _labelled(atoms: Any, row: dict[str, Any], kept: dict[str, Any]) -> Any:
    """The structure of the input with its labels, in place of those that it had."""
    from hint_plugin.data import HessianLabel, LabelKeys, clear_labels, write_label

    keys, labelled = LabelKeys(), atoms.copy()
    clear_labels(labelled)
    labelled.info[keys.energy] = row["energy"]
    labelled.arrays[keys.forces] = kept["forces"]
    write_label(labelled, HessianLabel.full(kept["hessian"], provenance=kept["origin"]))
    return labelled
