"""`hint evaluate MODEL DATA... -o DIR`: errors of energies, forces, stresses, Hessians and spectra."""

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.potential_options import Folder, a_model
from hint_plugin.cli.support.run_options import Restart


def evaluate(
    context: typer.Context,
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
    restart: Restart = False,
    json_: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of the table.")] = False,
) -> None:
    """Measure a model's errors on labelled structures, beside the size of what they are errors of.

    Writes metrics.json, frames.csv, parity.npz and parity.png to the output folder.

    A run that is stopped goes on where it was when the same command is given again.
    """
    import json

    from rich.console import Console

    from hint_plugin.allocator import keep_freed_memory
    from hint_plugin.cli.support.batch import options_of
    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.data.provenance import identity
    from hint_plugin.data.sets.patterns import each_once, expand
    from hint_plugin.potentials.checkpoints import load_trained
    from hint_plugin.science.evaluation import evaluate as run
    from hint_plugin.science.evaluation_report import summary_tables
    from hint_plugin.science.labelled_frames import FrameFile

    data = expand(data)
    each_once(data)
    keep_freed_memory()
    predictor = load_trained(model, device=device, dtype=dtype, head=head, batch_size=batch_size)
    settings = {"device": device, "dtype": str(predictor.dtype), "head": predictor.head}
    origin = run_provenance(data, model, settings=settings)
    identical = {"verb": "evaluate", **options_of(context), **identity(origin)}
    with _kept(predictor, batch_size, data, output, identical, restart) as (predictions, progress):
        result = run(
            predictions,
            {str(path): FrameFile(path) for path in data},
            output,
            provenance=origin,
            max_hessians=max_hessians,
            plots=not no_plots,
            progress=progress,
        )
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


@contextmanager
def _kept(
    predictor: Any, batch_size: int, data: list[Path], output: Path, run: dict[str, Any], restart: bool
) -> Iterator[tuple[Any, Callable[[int], None]]]:
    """The predictor with its answers kept, and who is to be told how many frames were read.

    Raises:
        DataError: a file cannot be read. And what `parallel.keep` raises.
    """
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.data.sets.frames import count_frames
    from hint_plugin.parallel import journal_of, keep
    from hint_plugin.parallel.predictions import KeptPredictions

    total, passed, unlabelled = sum(count_frames(path) for path in data), 0, 0
    output.mkdir(parents=True, exist_ok=True)
    journal = journal_of(output, "evaluate")

    def stopped(kept: Sized) -> str:
        if not len(kept):
            return f"stopped: none of {total} frames was predicted, and nothing is kept"
        return (
            f"stopped after {passed} of {total} frames: what was predicted is kept in {journal}. "
            "Give the same command again to go on"
        )

    with (
        Bar("evaluating") as bar,
        keep(journal, run, stopped, restart=restart, drop_on_error=True) as kept,
    ):

        def show(predicted: int) -> None:
            nonlocal passed
            passed = predicted + unlabelled
            bar(passed, 0, total)

        def progress(read: int) -> None:
            nonlocal passed, unlabelled
            passed, unlabelled = read, read - predictions.done

        predictions = KeptPredictions(predictor, batch_size, kept, show)
        yield predictions, progress
