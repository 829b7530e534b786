"""`hint evaluate MODEL DATA... -o DIR`: errors of energies, forces, stresses, Hessians and spectra."""

from pathlib import Path
from typing import Annotated

import typer

from hint_plugin.cli.support.potential_options import Folder, a_model


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            callback=a_model,
            help="Of `hint export` or `hint model list`; or of MACE (.model) or NequIP (.ckpt, "
            ".nequip.zip), which are pickles: use only those you trust.",
        ),
    ],
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Labelled: .xyz, .h5, 'parts/*.xyz', ...")
    ],
    output: Folder = Path("evaluation"),
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda.")] = "cpu",
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64; the model's own if not given.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Structures in one forward pass, at most.")] = 16,
    head: Annotated[str | None, typer.Option(help="Head of a multihead model.")] = None,
    max_hessians: Annotated[
        int | None, typer.Option(help="Hessians of so many labelled frames, evenly spread; all if not given.")
    ] = None,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Write tables only.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of the table.")] = False,
) -> None:
    """Measure a model's errors on labelled structures, beside the size of what they are errors of.

    Writes metrics.json, frames.csv, parity.npz and parity.png to the output folder.
    """
    import json

    from rich.console import Console

    from hint_plugin.allocator import keep_freed_memory
    from hint_plugin.cli.support.progress import StatusLine
    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.data.sets.patterns import each_once, expand
    from hint_plugin.errors import InterruptedRunError
    from hint_plugin.parallel.pool import terminate_as_interrupt
    from hint_plugin.potentials.checkpoints import load_predictor
    from hint_plugin.science.evaluation import evaluate as run
    from hint_plugin.science.evaluation_report import summary_tables
    from hint_plugin.science.labelled_frames import FrameFile

    data = expand(data)
    each_once(data)
    keep_freed_memory()
    predictor = load_predictor(model, device=device, dtype=dtype, head=head, batch_size=batch_size)
    settings = {"device": device, "dtype": str(predictor.dtype), "head": predictor.head}
    origin, done = run_provenance(data, model, settings=settings), 0
    try:
        with terminate_as_interrupt(), StatusLine("reading") as status:

            def progress(frames: int) -> None:
                nonlocal done
                done = frames
                status.say(f"{done} frames")

            result = run(
                predictor,
                {str(path): FrameFile(path) for path in data},
                output,
                provenance=origin,
                max_hessians=max_hessians,
                plots=not no_plots,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped after {done} frames: errors are averages over all of them, so nothing is kept. "
            "The same command begins anew; give --max-hessians N or less DATA for a shorter run"
        ) from None
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
            f"{len(skipped['not_finite'])} predictions were not finite and are left out, see frames.csv"
        )
    typer.echo(
        f"{skipped['read']} frames, {skipped['unlabelled']} of them without labels; written to {output}"
    )
