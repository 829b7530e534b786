"""`hint optimize IN... -o OUT`: minima and transition states of molecules, checked by their vibrations."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.outputs import a_file
from hint_plugin.cli.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Fmax,
    Inputs,
    Json,
    Model,
    Spin,
    make_calculator,
)


def optimize(
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
    json_: Json = False,
) -> None:
    """Optimise molecules to minima, or to transition states with --saddle.

    Sella in internal coordinates, with exact Hessians on the way to a saddle. The Hessian at the end says
    what was found: a structure that has an imaginary mode is left along it and optimised again. If it still
    has one in the end, it is written, and named as a failure. Beside OUT, OUT.json has what was found.

    Exit status: 0 all are minima (transition states with --saddle), 3 some are not, 2 nothing could be done.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    from hint_plugin.cli.molecules import each_molecule, relaxed, save_structures, wrong_kind
    from hint_plugin.cli.outputs import check_file
    from hint_plugin.cli.provenance import run_provenance
    from hint_plugin.cli.tables import show
    from hint_plugin.data import LabelKeys, clear_labels
    from hint_plugin.data.patterns import expand
    from hint_plugin.science.molecules.optimization import check_optimiser

    inputs = expand(inputs)
    check_file(output, inputs)
    check_optimiser()
    calculator = make_calculator(model, engine, engine_option, device, charge, spin)
    keys, written, wrong = LabelKeys(), [], {}

    def work(name: str, atoms: Any, say: Any) -> dict[str, Any]:
        found = relaxed(atoms, saddle, fmax, steps, say)
        final, forces = atoms.copy(), found.atoms.get_forces()
        clear_labels(final)  # what the input has is of another geometry
        final.positions = found.atoms.positions
        origin = {keys.prefix + name: value for name, value in calculator.provenance(atoms).items()}
        final.info |= {keys.energy: found.energy, "kind": found.kind, **origin}
        final.arrays[keys.forces] = forces
        final.calc = SinglePointCalculator(final, energy=found.energy, forces=forces)
        written.append(final)
        if error := wrong_kind(found, saddle):
            wrong[name] = error
        return dict(found.as_dict())

    batch = each_molecule(inputs, calculator, work)
    batch.failures += [
        {"name": row["name"], "formula": row["formula"], "error": wrong[row["name"]], "kind": "geometry"}
        for row in batch.results
        if row["name"] in wrong
    ]
    about = save_structures(output, "optimize", written, batch, run_provenance(inputs, model, calculator))
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
    batch.finish(json_, about)
