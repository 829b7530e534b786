"""`hint optimize IN... -o OUT`: minima and transition states of molecules, checked by their vibrations."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.molecules import Potential, relaxed, wrong_kind
from hint_plugin.cli.support.outputs import a_file
from hint_plugin.cli.support.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Fmax,
    Inputs,
    Json,
    Model,
    Spin,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart


def optimize(
    context: typer.Context,
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=a_file,
            help="Optimised structures with energy and forces, .xyz or .h5.",
        ),
    ],
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    saddle: Annotated[
        bool, typer.Option("--saddle", "--ts", help="Look for a transition state, in place of a minimum.")
    ] = False,
    fmax: Fmax = 0.01,
    steps: Annotated[int, typer.Option(min=1, help="At most.")] = 300,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Optimise molecules to minima, or to transition states with --saddle.

    Sella in internal coordinates, with exact Hessians on the way to a saddle. The Hessian at the end says
    what was found: a structure that has an imaginary mode is left along it and optimised again. If it still
    has one in the end, it is written, and named as a failure. Beside OUT, OUT.json has what was found.

    A run that is stopped goes on where it was when the same command is given again.

    Exit status: 0 all are minima (transition states with --saddle), 3 some are not, 2 nothing could be done,
    130 stopped.
    """
    from hint_plugin.cli.support.batch import each_molecule, save_structures
    from hint_plugin.cli.support.outputs import check_file
    from hint_plugin.cli.support.tables import show
    from hint_plugin.data.sets.patterns import expand
    from hint_plugin.parallel import Spread
    from hint_plugin.science.molecules.optimization import check_optimiser

    inputs = expand(inputs)
    check_file(output, inputs)
    check_optimiser()
    potential = Potential((model, engine, engine_option, device, charge, spin))
    calculator = potential.calculator()
    work = Optimisation(potential, saddle, fmax, steps)
    spread = Spread(jobs, parsl, restart)
    with each_molecule(context, inputs, work, output, spread, calculator, model) as batch:
        batch.failures += [
            {"name": row["name"], "formula": row["formula"], "error": kept["wrong"], "kind": "geometry"}
            for _, row, kept in batch.done
            if kept["wrong"]
        ]
        frames = [_stationary(atoms, row, kept) for atoms, row, kept in batch.done]
        save_structures(output, "optimize", frames, batch)
    if not json_ and batch.results:
        rows = [
            (
                row["name"],
                row["kind"],
                str(row["steps"]),
                f"{row['energy']:.5f}",
                f"{row['largest_force']:.4f}",
                f"{row['frequencies'][0]:.1f}" if row["frequencies"] else "",
            )
            for row in batch.results
        ]
        show(("molecule", "found", "steps", "E, eV", "force, eV/A", "lowest, cm^-1"), rows, left=2)
        typer.echo(f"written to {output}")
    batch.finish(json_)


@dataclass(frozen=True)
class Optimisation:
    """The work on one molecule; it travels to worker processes. See `optimize`."""

    potential: Potential
    saddle: bool
    fmax: float
    steps: int

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.potential.calculator()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        atoms.calc = calculator = self.potential.calculator()
        found = relaxed(atoms, self.saddle, self.fmax, self.steps, say)
        kept = {
            "positions": found.atoms.positions,
            "forces": found.atoms.get_forces(),
            "origin": calculator.provenance(atoms),
            "wrong": wrong_kind(found, self.saddle),
        }
        return dict(found.as_dict()), kept


def _stationary(atoms: Any, row: dict[str, Any], kept: dict[str, Any]) -> Any:
    """The structure of the input where the optimisation has left it, with its energy and forces."""
    from ase.calculators.singlepoint import SinglePointCalculator

    from hint_plugin.data import LabelKeys, clear_labels

    keys, final = LabelKeys(), atoms.copy()
    clear_labels(final)  # what the input has is of another geometry
    final.positions = kept["positions"]
    origin = {keys.prefix + name: value for name, value in kept["origin"].items()}
    final.info |= {keys.energy: row["energy"], "kind": row["kind"], **origin}
    final.arrays[keys.forces] = kept["forces"]
    final.calc = SinglePointCalculator(final, energy=row["energy"], forces=kept["forces"])
    return final
