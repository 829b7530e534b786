"""`hint label IN... -o OUT`: energies, forces and Hessians by an electronic-structure engine or a model."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED
from hint_plugin.cli.support.outputs import a_file
from hint_plugin.cli.support.progress import Bar


class Hessian(str, Enum):
    """What is wanted of the second derivatives."""

    full = "full"
    rows = "rows"
    projected = "projected"
    none = "none"


def _list_engines(wanted: bool) -> None:
    if not wanted:
        return
    from hint_plugin.labelling import list_engines

    for name, (summary, options) in list_engines().items():
        typer.echo("\n".join([f"{name}: {summary}", *(f"  {option}" for option in options), ""]))
    raise typer.Exit


def label(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", callback=a_file, help="Labelled structures; format by suffix."),
    ],
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="[IN...]", help="Structures: .xyz, .h5, 'runs/*.xyz', ...")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="Of hint sample: frames to label, in place of IN."),
    ] = None,
    engine: Annotated[str, typer.Option(help="What computes; see --list-engines.")] = "gfn2-xtb",
    engine_option: Annotated[
        list[str] | None,
        typer.Option("--engine-option", "-e", metavar="KEY=VALUE", help="Option of the engine; repeatable."),
    ] = None,
    engine_options: Annotated[
        Path | None, typer.Option("--engine-options", help="The same from a .yaml or .json file.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Of xTB engines: tblite or xtb (xtb-python).")] = None,
    list_engines: Annotated[
        bool,
        typer.Option(
            "--list-engines", is_eager=True, callback=_list_engines, help="Engines and their options."
        ),
    ] = False,
    hessian: Annotated[
        Hessian, typer.Option(metavar="KIND", help="full, rows, projected, none.")
    ] = Hessian.full,
    atoms: Annotated[
        str | None,
        typer.Option(help="Of rows: 0-3,7, tag=1, symbol=H, an array's name or free."),
    ] = None,
    probes: Annotated[int, typer.Option(min=1, help="Probes of a projected label.")] = 1,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes, one thread each.")] = 1,
    parsl: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="On a cluster as this file says, not --jobs."),
    ] = None,
    hessian_every: Annotated[int, typer.Option(min=1, help="A Hessian for every n-th frame only.")] = 1,
    hessian_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the frames with a Hessian.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers.")] = 0,
    charge: Annotated[int, typer.Option(help="Charge where info has no 'charge'.")] = 0,
    spin: Annotated[
        int | None,
        typer.Option(min=1, help="Multiplicity where info has no 'spin'; or lowest."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT, and labels that are there.")
    ] = False,
    keep_labels: Annotated[
        bool, typer.Option("--keep-labels", help="Keep labels of other methods, too, if complete.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Drop what an interrupted run has left.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Label structures with energies, forces and Hessians.

    A full Hessian takes 6(N-1) gradients, rows of m --atoms 6m, pairs (v, Hv) of K --probes 2K; fewer where
    an engine has them analytically.
    Options of the engine come from --engine-options FILE, then --engine-option, then --backend, --charge and
    --spin. A run that is killed goes on where it was when the same command is given again. Frames that fail
    are kept in OUT's stem + .failed.xyz with the reason. Labels that frames have are kept where they say that
    they were made by the same method and settings; otherwise nothing is done without --overwrite or
    --keep-labels.

    Exit status: 0 all labelled, 3 some frames failed, 2 nothing could be done, 130 interrupted.
    """
    import json

    from hint_plugin.labelling import run

    with Bar("labelling") as progress:
        summary = run.label(
            inputs,
            output,
            plan=plan,
            engine=engine,
            engine_option=engine_option or [],
            engine_options=engine_options,
            backend=backend,
            hessian=hessian.value,
            atoms=atoms,
            probes=probes,
            jobs=jobs,
            parsl=parsl,
            hessian_every=hessian_every,
            hessian_fraction=hessian_fraction,
            seed=seed,
            charge=charge,
            spin=spin,
            overwrite=overwrite,
            keep_labels=keep_labels,
            restart=restart,
            report=progress,
        )
    typer.echo(json.dumps(summary.as_dict(), indent=2) if json_ else _in_words(summary))
    if summary.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _in_words(summary: Any) -> str:
    fresh = summary.labelled + summary.failed - summary.resumed
    rate = fresh / summary.seconds if summary.seconds > 0 else 0.0
    lines = [
        f"{summary.labelled} of {summary.frames} frames labelled, {summary.hessians} with a Hessian"
        + (f", {summary.kept} had labels and are kept" if summary.kept else "")
        + (f" ({summary.dropped} of them without a Hessian that is not wanted)" if summary.dropped else "")
        + (f", {summary.resumed} from an interrupted run" if summary.resumed else "")
        + f"; {summary.seconds:.1f} s, {rate:.2f} frames/s"
    ]
    if summary.noise is not None:
        lines.append(f"noise of the Hessians: {summary.noise:.1e} eV/A^2 (median)")
    lines.append(f"written to {summary.output}" if summary.labelled + summary.kept else "nothing is written")
    if summary.outside_training:
        lines.append(f"warning: {summary.warnings[-1]}")
    if summary.note:
        lines.append(summary.note)
    if summary.failed:
        from hint_plugin.parallel.failures import FAILURE_KINDS

        lines.append(f"{summary.failed} frames failed, they are in {summary.failed_output}:")
        kinds = [
            f"{count} x {FAILURE_KINDS.get(kind, kind)}" for kind, count in summary.failure_kinds.items()
        ]
        lines.append("  " + ", ".join(kinds))
        shown = [
            f"  {f['source']}, frame {f['frame']} ({f['formula']}): {f['error']}" for f in summary.failures
        ]
        lines += shown[:10] + ([f"  ... and {len(shown) - 10} more"] if len(shown) > 10 else [])
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(label)
