"""`hint reactions SET -o DIR`: a set of reactions in parallel, success rates, two models compared."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.outputs import a_folder
from hint_plugin.cli.support.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Json,
    Model,
    SearchMethod,
    Spin,
    potential_of,
)
from hint_plugin.cli.support.run_options import Parsl


def reactions(
    reaction_set: Annotated[
        Path,
        typer.Argument(metavar="SET", help="Folder of folders with reactant and product, or file of pairs."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", callback=a_folder, help="Folder for the results, one folder per reaction."
        ),
    ],
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    search: SearchMethod = "sella",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Number of processes, one thread each.")
    ] = 1,
    parsl: Parsl = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="Time limit of one reaction in s; 0 sets none.")
    ] = 3600.0,
    fmax: Annotated[float, typer.Option(min=0, help="Optimise until no force exceeds this, in eV/A.")] = 0.01,
    steps: Annotated[int, typer.Option(min=1, help="Largest number of steps of an optimisation.")] = 300,
    guesses: Annotated[
        int,
        typer.Option(
            min=1, help="Number of initial paths to try; the lowest saddle that connects is kept (sella)."
        ),
    ] = 2,
    against: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Compare with these results of another model.")
    ] = None,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    json_: Json = False,
) -> None:
    """Find the transition states of a set of reactions, and count the successes.

    Each reaction is treated as `hint reaction` does, in its own folder. The command writes summary.json,
    index.html and funnel.png. The same command continues a run that was stopped. --against compares the
    counts by McNemar's test.

    Exit status: 0 all were tried (whatever the result), 2 nothing could be done, 130 interrupted.
    """
    import json

    from hint_plugin.science.reactions import run

    found = run.reactions(
        reaction_set,
        potential_of(model, engine, engine_option),
        output,
        method=search,
        jobs=jobs,
        parsl=parsl,
        timeout=timeout,
        fmax=fmax,
        steps=steps,
        guesses=guesses,
        against=against,
        device=device,
        charge=charge,
        spin=spin,
        report=_say,
    ).as_dict()
    if json_:
        typer.echo(json.dumps(found, indent=2))
        return
    _print(found, against)
    typer.echo(f"written to {output}")


def _say(done: int, total: int, name: str, verdict: str) -> None:
    typer.echo(f"{done}/{total} {name}: {verdict}", err=True)


def _print(found: dict[str, Any], against: Path | None) -> None:
    from hint_plugin.cli.support.tables import show
    from hint_plugin.science.reactions.reaction_files import KCAL

    rows = [
        (
            row["stage"],
            f"{row['count']} of {row['total']}",
            f"{100 * row['rate']:.1f}",
            f"{100 * row['low']:.1f} - {100 * row['high']:.1f}",
        )
        for row in found["funnel"]
    ]
    show(("passed", "reactions", "%", "95 % interval"), rows)
    typer.echo(
        f"successes as ReactBench counts them: {found['reactbench']}; by geometry and energy: "
        f"{found['geometric']}"
    )
    known = found["known_saddles"]
    if known["compared"]:
        show(
            ("known transition state", "RMSD, A"),
            [(name, f"{far:.3f}") for name, far in known["rmsd"].items()],
        )
        typer.echo(
            f"known transition states found: {known['within_0.2_A']} of {known['compared']} (within 0.2 A)"
        )
    if found["stopped_at"]:
        stages = ", ".join(f"{count} at {stage}" for stage, count in found["stopped_at"].items())
        typer.echo(f"stopped: {stages}")
    if found["left_out"]:
        typer.echo(f"left out, because SET does not have them: {', '.join(found['left_out'])}")
    if against is not None:
        other = found["against"]
        mae, compared = other["barrier_mae"], other["barriers_compared"]
        typer.echo(
            f"against {against}, {other['reactions']} reactions: both {other['both']}, only this "
            f"{other['only_first']}, only that {other['only_second']}, neither {other['neither']}; "
            f"p = {other['p_mcnemar']:.3g} (McNemar)"
            + (
                ""
                if mae is None
                else f"; {compared} barriers differ by {KCAL * mae:.2f} kcal/mol (mean absolute)"
            )
        )
        if other["other_reaction"]:
            names = ", ".join(other["other_reaction"])
            typer.echo(f"barriers not compared, because the optimised ends are other molecules: {names}")
        if other["other_inputs"]:
            typer.echo(
                f"left out, because the inputs are other molecules: {', '.join(other['other_inputs'])}"
            )
