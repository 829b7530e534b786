"""`hint reactions SET -o DIR`: a set of reactions in parallel, success rates, two models compared."""

from functools import partial
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
    make_calculator,
)


def reactions(
    reaction_set: Annotated[
        Path,
        typer.Argument(
            metavar="SET", help="Folder of folders with reactant and product, or a file of pairs."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", callback=a_folder, help="Folder of the results, one in it a reaction."
        ),
    ],
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    search: SearchMethod = "sella",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes, one thread each.")] = 1,
    parsl: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run on a cluster as this file says, in place of --jobs."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Of one reaction, s; 0: none.")] = 3600.0,
    fmax: Annotated[
        float, typer.Option(min=0, help="Largest force on an atom at a stationary point, eV/A.")
    ] = 0.01,
    steps: Annotated[int, typer.Option(min=1, help="Of an optimisation, at most.")] = 300,
    guesses: Annotated[int, typer.Option(min=1, help="Tops of the first path that are tried.")] = 3,
    against: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Results of another model, to compare with (McNemar).")
    ] = None,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    json_: Json = False,
) -> None:
    """Find the transition states of a whole set of reactions, and count.

    Each reaction is done as by `hint reaction`, in a folder of its own. A run that is killed goes on where it
    was when the same command is given again. Writes summary.json, index.html and funnel.png.

    Exit status: 0 all were looked at (whatever came out), 2 nothing could be done, 130 interrupted.
    """
    import json
    from dataclasses import asdict

    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.data.file_io import write_json
    from hint_plugin.errors import InterruptedRunError
    from hint_plugin.parallel.pool import terminate_as_interrupt
    from hint_plugin.science.reactions import ReactionSettings
    from hint_plugin.science.reactions.many_reactions import (
        COMPUTED_BY,
        Worker,
        computed_by,
        prepare,
        results_of,
        summary,
        write_index,
    )
    from hint_plugin.science.reactions.methods import method_of
    from hint_plugin.science.reactions.model_comparison import compare
    from hint_plugin.science.reactions.sets import read_set

    pairs = read_set(reaction_set)
    if against is not None:
        results_of(against)  # that there are some: before the work
    settings = ReactionSettings(fmax=fmax, steps=steps, guesses=guesses, method=search)
    method_of(search)
    method = [str(model) if model else engine, *(engine_option or [])]
    about = {"set": str(reaction_set), "charge": charge, "spin": spin, **asdict(settings)}
    about |= {"method": method, "search": search}  # `method` has been the potential in folders of before
    make = partial(make_calculator, model, engine, engine_option, device, charge, spin)
    # errors of options come here, before anything is written
    origin = run_provenance([reaction_set], model, make())
    about[COMPUTED_BY] = computed_by(origin)
    todo, done = prepare(output, pairs, about)
    worker = Worker(output.resolve(), make, settings, timeout)
    try:
        with terminate_as_interrupt():
            for count, name, verdict in _run(worker, todo, jobs, parsl, output):
                typer.echo(f"{done + count}/{len(pairs)} {name}: {verdict}", err=True)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; what is done is in {output}. The same command goes on where this stopped"
        ) from None
    names = {pair.name for pair in pairs}
    found = summary(output, names, provenance=origin)
    write_index(output, found, f"{reaction_set.stem}: {', '.join(str(part) for part in method)}")
    if against is not None:
        found["against"] = compare(output, against, only=names)
        write_json(output / "summary.json", found)
    if json_:
        typer.echo(json.dumps(found, indent=2))
        return
    _print(found, against)
    typer.echo(f"written to {output}")


def _run(worker: Any, todo: list[Any], jobs: int, parsl: Path | None, output: Path) -> Any:
    """(how many, name, verdict) as reactions finish; what kills its process is left as a failed reaction."""
    from hint_plugin.parallel.pool import Failure, run_tasks

    tasks = enumerate(todo)
    if parsl is None:
        stream = run_tasks(tasks, worker, jobs)
    else:
        from hint_plugin.parallel.parsl_config import read_parsl_file
        from hint_plugin.parallel.parsl_pool import run_tasks_on_parsl

        run = read_parsl_file(parsl, output / "parsl")
        run.frames_per_task = run.frames_per_task or 1
        stream = run_tasks_on_parsl(tasks, worker, run, len(todo))
    for count, (number, result) in enumerate(stream, start=1):
        name = todo[number].name
        if isinstance(result, Failure):
            _keep_failure(worker, todo[number], result.message)
            yield count, name, f"failed: {result.message}"
        else:
            yield count, name, result["verdict"] + (f" ({result['failure']})" if result["failure"] else "")


def _keep_failure(worker: Any, pair: Any, message: str) -> None:
    from hint_plugin.science.reactions import Reaction
    from hint_plugin.science.reactions.many_reactions import identity_of
    from hint_plugin.science.reactions.reaction_files import write_report

    lost = Reaction()
    lost.fail(message)
    about = {"inputs": identity_of(pair)}
    write_report(worker.folder / pair.name, lost, worker.settings, pair.name, about)


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
    typer.echo(f"as ReactBench counts: {found['reactbench']}; by geometry and energy: {found['geometric']}")
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
        typer.echo(f"left out, as SET does not have them: {', '.join(found['left_out'])}")
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
            typer.echo(f"no barrier compared, as the optimised ends are other molecules: {names}")
        if other["other_inputs"]:
            typer.echo(f"left out, as the inputs are other molecules: {', '.join(other['other_inputs'])}")
