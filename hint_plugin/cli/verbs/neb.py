"""`hint neb R.xyz P.xyz -o DIR`: a climbing-image nudged elastic band."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED
from hint_plugin.cli.support.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Folder,
    Json,
    Model,
    Product,
    Reactant,
    Spin,
)
from hint_plugin.cli.support.run_options import Restart


def neb(
    reactant: Reactant,
    product: Product,
    output: Folder = Path("neb"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    optimize: Annotated[
        bool, typer.Option("--optimize/--no-optimize", help="Optimise both ends to minima first.")
    ] = True,
    images: Annotated[
        int,
        typer.Option(min=3, help="Number of images, ends included; more are added where the path is steep."),
    ] = 9,
    climb: Annotated[bool, typer.Option("--climb/--no-climb", help="Let the highest image climb.")] = True,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Follow the path from its top to both sides."),
    ] = True,
    fmax: Annotated[
        float, typer.Option(min=0, help="Relax until no force across the band exceeds this, in eV/A.")
    ] = 0.05,
    steps: Annotated[int, typer.Option(min=1, help="Largest number of steps.")] = 300,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Relax a path between two molecules; its top is close to the transition state.

    The band starts from a geodesic path and gets more images where it does not resolve the energy. From the
    top, the reaction path is followed to both sides to see whether it joins the ends. The command writes
    neb.json, path.xyz, irc.xyz, transition_state.xyz and profile.png, and it continues a run that was
    stopped. `hint reaction` finds the saddle itself, usually in less time.

    Exit status: 0 converged, resolved, and the top joins both ends (or --no-verify), 3 not so, or both ends
    are one geometry, 2 nothing could be done, 130 stopped.
    """
    import json

    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.potentials.on_demand import PotentialSpec
    from hint_plugin.science.reactions import run_neb

    with Bar("relaxing", "steps") as bar:
        found = run_neb.neb(
            reactant,
            product,
            PotentialSpec(model, engine, engine_option),
            output,
            optimize=optimize,
            images=images,
            climb=climb,
            verify=verify,
            fmax=fmax,
            steps=steps,
            device=device,
            charge=charge,
            spin=spin,
            restart=restart,
            report=bar,
        )
    result = found.as_dict()
    typer.echo(json.dumps(result, indent=2) if json_ else "\n".join(_in_words(result, found.wanted)))
    if not json_:
        typer.echo(f"written to {output}")
    if not found.complete:
        raise typer.Exit(EXIT_SOME_FAILED)


def _in_words(result: dict[str, Any], verify: bool) -> list[str]:
    """What a person has to know of a band, the doubts included."""
    from hint_plugin.science.reactions.reaction_files import KCAL

    if result.get("same_ends"):
        return ["both ends are the same geometry, apart from position and orientation: there is no reaction"]
    state = "converged" if result["converged"] else "not converged"
    added = f", {result['images_added']} added where it is steep" if result["images_added"] else ""
    between = result["interpolation"]
    lines = [
        f"{state} after {result['steps']} steps, {result['largest_force']:.3f} eV/A; highest image "
        f"{result['highest_image']} of {result['images']}{added}",
        "energy, kcal/mol: "
        + ", ".join(f"{name} {KCAL * value:+.2f}" for name, value in result["barriers"].items()),
    ]
    if result["collapsed"]:
        lines.append("after optimisation both ends have the same bonds: this potential has no such reaction")
    if not result["resolved"]:
        a, b = between["between_images"]
        lines.append(
            f"the barrier is not resolved: between images {a} and {b} the energy is "
            f"{KCAL * between['error']:.1f} kcal/mol off what they predict. Give more --images or --steps"
        )
    if result["outside_training"]:
        lines.append(f"warning: {result['outside_training']}")
    if "connection" in result:
        lines += _joins(result["connection"])
    elif verify:
        lines.append(
            "it was not verified whether the top joins the two ends, because the band has not converged"
        )
    else:
        lines.append("it was not verified whether the top joins the two ends")
    return lines


def _joins(found: dict[str, Any]) -> list[str]:
    from hint_plugin.science.reactions.reaction_files import KCAL

    if found["joins"]:
        return ["the reaction path from the top leads to both ends"]
    if "ends" not in found:
        return [f"whether the top joins the two ends could not be verified: {found['failure']}"]
    lines = ["the reaction path from the top does not lead to both ends: look for intermediates"]
    for name, end in zip(("reactant", "product"), found["ends"], strict=True):
        lines.append(
            f"  {name}: {KCAL * end['energy_of_the_band']:+.2f} kcal/mol; the path ends at "
            f"{KCAL * end['energy']:+.2f} kcal/mol, {end['rmsd']:.2f} A from it"
        )
    return lines
