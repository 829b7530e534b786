"""`hint compare-thermo IN... --model FILE -o DIR`: Gibbs corrections of a model against a reference."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.potential_options import (
    Charge,
    Cutoff,
    Device,
    EngineOption,
    Fmax,
    Folder,
    Inputs,
    Json,
    Optimize,
    Saddle,
    Spin,
    Temperature,
    a_model,
    potential_of,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart


def compare_thermo(
    inputs: Inputs,
    model: Annotated[
        Path,
        typer.Option(
            "--model",
            "-m",
            callback=a_model,
            help="Exported file, name from `hint model list`, or MACE or NequIP checkpoint that you trust.",
        ),
    ],
    output: Folder = Path("compare-thermo"),
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="Engine of the reference; by default the Hessians in the files."),
    ] = None,
    engine_option: EngineOption = None,
    optimize: Optimize = False,
    saddle: Saddle = False,
    fmax: Fmax = 0.01,
    temperature: Temperature = 298.15,
    cutoff: Cutoff = 100.0,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Compare Gibbs energy corrections G - E of a model with those of a reference.

    The structures are minima and transition states of the reference. Others are counted apart and reported.
    HINT compares the model's Hessian on the reference's geometry, and the model's own stationary point
    nearby, unless it is of another kind. The command writes compare-thermo.json and compare-thermo.csv, and
    it continues a run that was stopped.

    Exit status: 0 all done, 3 some failed, 2 nothing could be done, 130 stopped.
    """
    from hint_plugin.cli.support.batch import finish
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.science.molecules import run
    from hint_plugin.science.molecules.thermo_comparison import far_minima

    with Bar("compare-thermo", "molecules") as bar:
        found = run.compare_thermo(
            inputs,
            potential_of(model, None, None),
            output,
            reference=potential_of(None, reference, engine_option),
            optimize=optimize,
            saddle=saddle,
            fmax=fmax,
            temperature=temperature,
            cutoff=cutoff,
            device=device,
            charge=charge,
            spin=spin,
            jobs=jobs,
            parsl=parsl,
            restart=restart,
            report=bar,
        )
    if not json_ and found.mean_absolute_errors:
        _show(found.mean_absolute_errors, temperature)
        for row in found.results:
            for text in row.get("remarks", []):
                typer.echo(f"{row['name']}: {text}")
        for text in far_minima(found.results):
            typer.echo(text)
        typer.echo(f"written to {output}")
    finish(found, json_)


def _show(rows: list[dict[str, Any]], temperature: float) -> None:
    from hint_plugin.cli.support.tables import show

    table = [
        (
            row["kind"],
            row["where"].replace("_", " "),
            f"{row['count']} + {row['failed']}",
            *(_meV(row[key]) for key in ("gibbs_correction", "zero_point_energy")),
            _meV(row["entropy"] and temperature * row["entropy"]),
            "" if row["frequencies"] is None else f"{row['frequencies']:.1f}",
        )
        for row in rows
    ]
    heads = ("kind", "geometry", "done + failed", "G - E", "ZPE", "T S", "cm^-1")
    show(heads, table, left=2, title="mean absolute errors, meV")


def _meV(value: float | None) -> str:
    return "" if value is None else f"{1000 * value:.2f}"
