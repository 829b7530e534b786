"""`hint hessian IN... -o OUT`: exact Hessians of molecules, as labels."""

from pathlib import Path
from typing import Annotated, Any

import typer

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
    potential_of,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart


def hessian(
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=a_file,
            help="Output file with energies, forces and Hessians, .xyz or .h5.",
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
    """Compute Hessians (eV/A^2) and describe their spectra.

    The output holds labels like those of `hint label`, so that `hint vibrations`, `hint thermo` and trainings
    can read it. OUT.json has the spectra.

    The same command continues a run that was stopped.

    Exit status: 0 all done, 3 some failed, 2 nothing could be done, 130 stopped.
    """
    from hint_plugin.cli.support.batch import finish
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.science.molecules import run

    with Bar("hessian", "molecules") as bar:
        found = run.hessian(
            inputs,
            potential_of(model, engine, engine_option),
            output,
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

    rows = []
    for row in results:
        nu = row["frequencies"] or [float("nan")]
        numbers = (f"{row['energy']:.5f}", f"{row['largest_force']:.4f}", str(row["imaginary_modes"]))
        rows.append((row["name"], *numbers, f"{nu[0]:.1f}", f"{nu[-1]:.1f}"))
    show(("molecule", "E, eV", "force, eV/A", "imaginary", "lowest, cm^-1", "highest"), rows)
