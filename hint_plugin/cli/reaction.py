"""`hint reaction R.xyz P.xyz -o DIR`: a transition state, what it connects, barriers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Json,
    Model,
    Spin,
    make_calculator,
)

EXIT_NOT_FOUND = 3


def reaction(
    reactant: Annotated[Path, typer.Argument(metavar="REACTANT", help="One molecule (or several, apart).")],
    product: Annotated[Path, typer.Argument(metavar="PRODUCT", help="The same atoms in the same order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")] = Path("reaction"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    fmax: Annotated[float, typer.Option(help="Largest force on an atom at a stationary point, eV/A.")] = 0.01,
    steps: Annotated[int, typer.Option(min=1, help="Of an optimisation, at most.")] = 300,
    images: Annotated[int, typer.Option(min=5, help="Of the first path.")] = 17,
    guesses: Annotated[
        int, typer.Option(min=1, help="Tops of the first path that are tried, highest first.")
    ] = 3,
    temperature: Annotated[float, typer.Option("--temperature", "-T", help="Of Gibbs energies, K.")] = 298.15,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    json_: Json = False,
) -> None:
    """Find the transition state between a reactant and a product.

    Both ends are optimised; a geodesic path without energies gives a guess; Sella goes from there to a saddle
    with exact Hessians; the intrinsic reaction coordinate is followed to both sides; its ends are optimised.
    The verdict compares their bonds with those of the optimised reactant and product.

    Writes reaction.json, reactant.xyz, transition_state.xyz, product.xyz, irc.xyz and profile.png.

    Exit status: 0 the path connects both, 3 it does not or there is none, 2 nothing could be done.
    """
    import json

    from rich.console import Console

    from hint_plugin.data import read_frames
    from hint_plugin.errors import DataError
    from hint_plugin.labelling.structures import charge_and_multiplicity
    from hint_plugin.science.reactions import ReactionSettings, find_reaction
    from hint_plugin.science.reactions.report import write_report

    ends = []
    for path in (reactant, product):
        frames = read_frames(path)
        if len(frames) != 1:
            raise DataError(f"{path} has {len(frames)} frames; wanted one molecule")
        ends.append(frames[0])
    calculator = make_calculator(model, engine, engine_option, device, charge, spin)
    multiplicity = charge_and_multiplicity(ends[0], charge, spin)[1]
    settings = ReactionSettings(
        fmax, steps, images, guesses, temperature=temperature, multiplicity=multiplicity
    )
    with Console(stderr=True).status("") as status:
        found = find_reaction(ends[0], ends[1], calculator, settings, say=status.update)
    write_report(output, found, settings, f"{reactant.stem} to {product.stem}:")
    result = found.as_dict(settings)
    typer.echo(json.dumps(result, indent=2) if json_ else _in_words(result))
    if not json_:
        typer.echo(f"written to {output}")
    if found.verdict != "intended":
        raise typer.Exit(EXIT_NOT_FOUND)


def _in_words(result: dict[str, Any]) -> str:
    from hint_plugin.science.reactions.report import KCAL

    lines = [f"verdict: {result['verdict']}"]
    if result["failure"]:
        lines.append(f"stopped at: {result['stage']} ({result['failure']})")
    for name, kept in zip(("reactant", "product"), result["relaxed_ends_keep_bonds"], strict=True):
        if not kept:
            lines.append(
                f"the {name} changed its bonds when it was optimised: this potential has another minimum"
            )
    if result.get("imaginary"):
        lines.append(f"imaginary mode: {result['imaginary'][0]:.0f} cm^-1")
    for title, key in (("energy", "barriers"), ("Gibbs energy", "gibbs")):
        if result[key]:
            numbers = ", ".join(f"{name} {KCAL * value:+.2f}" for name, value in result[key].items())
            where = f" at {result['temperature']:g} K" if key == "gibbs" else ""
            lines.append(f"{title}{where}, kcal/mol: {numbers}")
    return "\n".join(lines)
