"""`hint optimize IN... -o OUT`: minima and transition states of molecules, checked by their vibrations."""

from pathlib import Path
from typing import Annotated, Any

import typer

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
    Steps,
    potential_of,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart


def optimize(
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=a_file,
            help="Optimised structures, .xyz or .h5.",
        ),
    ],
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    saddle: Annotated[
        bool, typer.Option("--saddle", "--ts", help="Look for a transition state, not a minimum.")
    ] = False,
    fmax: Fmax = 0.01,
    steps: Steps = 300,
    dense_atoms: Annotated[
        int,
        typer.Option(min=0, help="Above this size, find saddles by products of the Hessian with vectors."),
    ] = 50,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Optimise molecules to minima, or to transition states with --saddle.

    Sella works in internal coordinates. On the way to a saddle it gets exact Hessians or, in molecules above
    --dense-atoms, the lowest modes from products of the Hessian with vectors. At the end they show what was
    found. A structure with one imaginary mode too many is displaced along it and optimised again. If the mode
    remains, the structure is written and counts as failed. So does a "doubtful minimum", which lies outside
    of the model's training or has no sensible bonds. OUT has energies and forces, and OUT.json the results.

    The same command continues a run that was stopped.

    Exit status: 0 all are minima (transition states with --saddle), 3 some are not, 2 nothing could be done,
    130 stopped.
    """
    from hint_plugin.cli.support.batch import finish
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.science.molecules import run

    with Bar("optimize", "molecules") as bar:
        found = run.optimize(
            inputs,
            potential_of(model, engine, engine_option),
            output,
            saddle=saddle,
            fmax=fmax,
            steps=steps,
            dense_atoms=dense_atoms,
            device=device,
            charge=charge,
            spin=spin,
            jobs=jobs,
            parsl=parsl,
            restart=restart,
            report=bar,
        )
    if not json_ and found.results:
        _show(found.results)
        typer.echo(f"written to {output}")
    finish(found, json_)


def _show(results: list[dict[str, Any]]) -> None:
    from hint_plugin.cli.support.tables import show

    rows = [
        (
            row["name"],
            row["kind"],
            str(row["steps"]),
            f"{row['energy']:.5f}",
            f"{row['largest_force']:.4f}",
            f"{row['frequencies'][0]:.1f}" if row["frequencies"] else "",
        )
        for row in results
    ]
    show(("molecule", "found", "steps", "E, eV", "force, eV/A", "lowest, cm^-1"), rows, left=2)
