"""`hint double-well STRUCTURE -o DIR`: the energy along a mode or a displacement, model against reference."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.potential_options import (
    Device,
    Engine,
    EngineOption,
    Folder,
    Json,
    Model,
    make_calculator,
)
from hint_plugin.cli.verbs.phonons import Structure, Supercell, supercell_of


def double_well(
    structure: Structure,
    output: Folder = Path("double-well"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    mode: Annotated[
        str | None,
        typer.Option(help="Phonon of the model: qx,qy,qz,branch, such as 0,0,0,4. Branch 1 is the lowest."),
    ] = None,
    displacement: Annotated[
        str | None,
        typer.Option(
            help="Atom (from 0) and axis instead of a phonon: 1,z or 1,1,1,1 (along 111). Or a FILE with the "
            "displaced crystal."
        ),
    ] = None,
    amplitude: Annotated[float, typer.Option(help="Displacement in A of the atom that moves most.")] = 0.5,
    points: Annotated[int, typer.Option(min=3, help="Number of energies from -amplitude to amplitude.")] = 21,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Compare with a FILE of frames with energies along the line, or an engine (qe, calculator)."
        ),
    ] = None,
    reference_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Option for the reference's engine; you can repeat it."),
    ] = None,
    supercell: Supercell = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Compute the energy of a crystal along a phonon or the displacement of an atom.

    The result shows whether this is a double well, and how deep it is. The command writes double-well.json,
    double-well.png and frames.xyz, whose structures hint label can read.

    Exit status: 0 done, 2 nothing could be done.
    """
    import json
    from functools import partial

    from rich.console import Console

    from hint_plugin.science.phonons import run

    with Console(stderr=True).status("") as status:
        result = run.double_well(
            structure,
            partial(make_calculator, model, engine, engine_option, device),
            output,
            mode=mode,
            displacement=displacement,
            amplitude=amplitude,
            points=points,
            reference=reference,
            reference_option=reference_option or (),
            supercell=supercell_of(supercell),
            report=status.update,
        )
    if json_:
        typer.echo(json.dumps(result.as_dict(), indent=2))
    else:
        _print(result, output)


def _print(result: Any, output: Path) -> None:
    """What a person wants to see."""
    from hint_plugin.cli.support.tables import show
    from hint_plugin.science.phonons.double_well import AT_REST

    rows = []
    for name, one in result.series:
        place, depth = one.minimum
        well = f"{1e3 * depth:.2f}" if abs(place) > AT_REST else "none: 0 is the minimum"
        if one.at_edge:
            well = "still falling at the end"
        rows.append((name, f"{abs(place):.3f}", well, f"{1e3 * one.energies.max():.1f}"))
    line = result.line
    frequency = "" if line.frequency is None else f", {line.frequency:.1f} cm^-1"
    show(
        ("", "minimum at, A", "energy there, meV", "highest, meV"),
        rows,
        left=1,
        title=f"{line.name}{frequency}",
    )
    if errors := result.errors:
        typer.echo(f"errors: MAE {1e3 * errors['mean']:.2f}, largest {1e3 * errors['largest']:.2f} meV")
    if result.outside:
        typer.echo(f"warning: {result.outside}")
    typer.echo(f"written to {output}")
