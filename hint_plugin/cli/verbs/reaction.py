"""`hint reaction R.xyz P.xyz -o DIR`: a transition state, what it connects, barriers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED
from hint_plugin.cli.support.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Fmax,
    Folder,
    Json,
    Model,
    Product,
    Reactant,
    SearchMethod,
    Spin,
    Steps,
    Temperature,
    potential_of,
)


def reaction(
    reactant: Reactant,
    product: Product,
    output: Folder = Path("reaction"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    method: SearchMethod = "sella",
    fmax: Fmax = 0.01,
    steps: Steps = 300,
    images: Annotated[int, typer.Option(min=5, help="Number of images of the first path (sella).")] = 17,
    guesses: Annotated[
        int,
        typer.Option(
            min=1, help="Number of initial paths to try; the lowest saddle that connects is kept (sella)."
        ),
    ] = 2,
    temperature: Temperature = 298.15,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    json_: Json = False,
) -> None:
    """Find the transition state between a reactant and a product.

    Both ends are optimised, and a geodesic path without energies gives a guess. Sella goes from there to a
    saddle with exact Hessians. Other paths give other guesses (--guesses), and the lowest saddle that
    connects the two is kept. The intrinsic reaction coordinate is followed to both sides, and its ends are
    optimised. The verdict compares their bonds with those of the optimised reactant and product.

    The command writes reaction.json, report.html, reactant.xyz, transition_state.xyz, product.xyz, irc.xyz
    and profile.png.

    Exit status: 0 the path connects both, 3 it does not or was not found, 2 nothing could be done.
    """
    import json

    from rich.console import Console

    from hint_plugin.science.reactions import run

    with Console(stderr=True).status("") as status:
        found = run.reaction(
            reactant,
            product,
            potential_of(model, engine, engine_option),
            output,
            method=method,
            fmax=fmax,
            steps=steps,
            images=images,
            guesses=guesses,
            temperature=temperature,
            device=device,
            charge=charge,
            spin=spin,
            report=status.update,
        )
    result = found.as_dict()
    typer.echo(json.dumps(result, indent=2) if json_ else _in_words(result))
    if not json_:
        typer.echo(f"written to {output}")
    if found.reaction.verdict != "intended":
        raise typer.Exit(EXIT_SOME_FAILED)


_PARTS = {"ts": "transition state"}


def _of_guesses(tried: list[dict[str, Any]]) -> list[str]:
    """What each initial path gave, where there are several."""
    from hint_plugin.science.reactions.reaction_files import KCAL

    if len(tried) < 2:
        return []
    different = sum(one["saddle"] is not None and one["same_as"] is None for one in tried)
    saddles = "one saddle" if different == 1 else f"{different} different saddles"
    lines = [f"guesses: {len(tried)} tried, {saddles}"]
    for number, one in enumerate(tried, start=1):
        found = [] if one["saddle"] is None else [f"saddle at {KCAL * one['saddle']:+.2f} kcal/mol"]
        told = "; ".join([*found, one["failure"] or one["verdict"]])
        lines.append(f"  {number} {one['path']}: {told}")
    return lines


def _in_words(result: dict[str, Any]) -> str:
    from hint_plugin.science.reactions.reaction_files import KCAL

    lines = [f"verdict: {result['verdict']}"]
    if result["failure"]:
        lines.append(f"the search stopped at: {result['stage']} ({result['failure']})")
    for name, kept in zip(("reactant", "product"), result["relaxed_ends_keep_bonds"], strict=True):
        if not kept:
            lines.append(
                f"the {name} changed its bonds (on a surface, its site) when it was optimised: this "
                "potential has another minimum"
            )
    for name, kind in zip(("reactant", "product"), result["ends_are"], strict=True):
        if result["barriers"] and kind != "minimum":
            lines.append(f"the {name} is not a minimum ({kind}): barriers from it are not reliable")
    for name, doubt in result["doubts"].items():
        lines.append(f"the {_PARTS.get(name, name)} cannot be trusted: {doubt}")
    if result.get("imaginary"):
        lines.append(f"imaginary mode: {result['imaginary'][0]:.0f} cm^-1")
    lines += _of_guesses(result.get("guesses", []))
    for title, key in (("energy", "barriers"), ("Gibbs energy", "gibbs")):
        if result[key]:
            numbers = ", ".join(f"{name} {KCAL * value:+.2f}" for name, value in result[key].items())
            where = f" at {result['temperature']:g} K" if key == "gibbs" else ""
            lines.append(f"{title}{where}, kcal/mol: {numbers}")
    return "\n".join(lines)
