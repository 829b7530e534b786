"""`hint evaluate MODEL DATA... -o DIR`: errors of energies, forces, stresses, Hessians and spectra."""

from pathlib import Path
from typing import Annotated

import typer

from hint_plugin.cli.support.potential_options import Folder, a_model
from hint_plugin.cli.support.run_options import Restart


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            callback=a_model,
            help="File of `hint export`, name from `hint model list`, or checkpoint of MACE (.model) or "
            "NequIP (.ckpt, .nequip.zip). Checkpoints are pickles: use only those that you trust.",
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA...", help="Files of labelled structures: .xyz, .h5, 'parts/*.xyz', ..."),
    ],
    output: Folder = Path("evaluation"),
    device: Annotated[str, typer.Option(help="Device of the model: cpu, cuda.")] = "cpu",
    dtype: Annotated[
        str | None, typer.Option(help="Precision: float32 or float64; by default the model's own.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Largest number of structures in one forward pass.")
    ] = 16,
    head: Annotated[
        str | None, typer.Option(help="Head of a multihead model; by default the one named default.")
    ] = None,
    max_hessians: Annotated[
        int | None,
        typer.Option(help="Compare the Hessians of N labelled frames, evenly spread; by default of all."),
    ] = None,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Write tables only, and no figure.")] = False,
    restart: Restart = False,
    json_: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of the table.")] = False,
) -> None:
    """Measure a model's errors on labelled structures, and print them next to the size of the labels.

    The command writes metrics.json, frames.csv, parity.npz and parity.png to the output folder.

    The same command continues a run that was stopped.
    """
    import json

    from rich.console import Console

    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.science import run_evaluate
    from hint_plugin.science.evaluation_report import summary_tables

    with Bar("evaluating") as bar:
        found = run_evaluate.evaluate(
            model,
            data,
            output,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            head=head,
            max_hessians=max_hessians,
            no_plots=no_plots,
            restart=restart,
            report=bar,
        )
    result = found.as_dict()
    if json_:
        typer.echo(json.dumps(result, indent=2))
        return
    for table in summary_tables(result):
        Console().print(table)
    for note in (*result["notes"], result["levels"]["note"]):
        if note:
            typer.echo(note)
    skipped = result["frames"]
    if skipped["not_finite"]:
        typer.echo(
            f"{len(skipped['not_finite'])} predictions were not finite and are left out; frames.csv lists "
            "them"
        )
    typer.echo(
        f"{skipped['read']} frames, {skipped['unlabelled']} of them without labels; written to {output}"
    )
