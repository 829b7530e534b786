"""`hint label IN... -o OUT`: energies, forces and Hessians by an electronic-structure engine or a model."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED
from hint_plugin.cli.support.outputs import a_file
from hint_plugin.cli.support.progress import Bar
from hint_plugin.cli.support.run_options import Parsl, Restart


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
        typer.Option("--output", "-o", callback=a_file, help="Output file: .xyz or .h5."),
    ],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IN...]", help="Files of structures: .xyz, .h5, 'runs/*.xyz', ..."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="Label the frames of this `hint sample` plan, not IN."),
    ] = None,
    engine: Annotated[str, typer.Option(help="Engine (see --list-engines).")] = "gfn2-xtb",
    engine_option: Annotated[
        list[str] | None,
        typer.Option(
            "--engine-option", "-e", metavar="KEY=VALUE", help="Option for the engine; you can repeat it."
        ),
    ] = None,
    engine_options: Annotated[
        Path | None, typer.Option("--engine-options", help="File of options for the engine, .yaml or .json.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="Program of xTB engines: tblite (default) or xtb.")
    ] = None,
    list_engines: Annotated[
        bool,
        typer.Option(
            "--list-engines",
            is_eager=True,
            callback=_list_engines,
            help="List the engines and their options.",
        ),
    ] = False,
    hessian: Annotated[
        Hessian, typer.Option(metavar="KIND", help="Kind of Hessian label: full, rows, projected or none.")
    ] = Hessian.full,
    atoms: Annotated[
        str | None,
        typer.Option(
            help="Atoms of --hessian rows: 0-3,7, tag=1, symbol=H, a boolean array's name, or free."
        ),
    ] = None,
    probes: Annotated[int, typer.Option(min=1, help="Number of probes of a projected label.")] = 1,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Number of processes, one thread each.")
    ] = 1,
    parsl: Parsl = None,
    hessian_every: Annotated[int, typer.Option(min=1, help="Give a Hessian to every n-th frame.")] = 1,
    hessian_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Give this random fraction a Hessian.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    charge: Annotated[int, typer.Option(help="Charge in e if info has no 'charge'.")] = 0,
    spin: Annotated[
        int | None,
        typer.Option(min=1, help="Multiplicity if info has no 'spin' \\[default: lowest]"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT and the labels that frames have.")
    ] = False,
    keep_labels: Annotated[
        bool, typer.Option("--keep-labels", help="Keep complete labels of other methods, too.")
    ] = False,
    restart: Restart = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Label structures with energies, forces and Hessians.

    A full Hessian takes 6(N-1) gradients, rows of m --atoms take 6m, and K --probes take 2K. Engines with
    analytical Hessians need fewer. Of engine options, --engine-option overrides --engine-options, and
    --backend, --charge and --spin override both. Labels that the same method and settings made are kept; for
    others, give --overwrite or --keep-labels. Frames that fail go to OUT's stem + .failed.xyz with the
    reason. The same command continues a run that was stopped.

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
        + (
            f" ({summary.dropped} of them without a Hessian that was not asked for)"
            if summary.dropped
            else ""
        )
        + (f", {summary.resumed} come from an interrupted run" if summary.resumed else "")
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

        lines.append(f"{_frames(summary.failed)} failed, written to {summary.failed_output}:")
        kinds = [
            f"{count} x {FAILURE_KINDS.get(kind, kind)}" for kind, count in summary.failure_kinds.items()
        ]
        lines.append("  " + ", ".join(kinds))
        shown = [
            f"  {f['source']}, frame {f['frame']} ({f['formula']}): {f['error']}" for f in summary.failures
        ]
        lines += shown[:10] + ([f"  ... and {len(shown) - 10} more"] if len(shown) > 10 else [])
    return "\n".join(lines)


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


if __name__ == "__main__":
    typer.run(label)
