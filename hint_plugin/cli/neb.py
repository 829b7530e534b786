"""`hint neb R.xyz P.xyz -o DIR`: a climbing-image nudged elastic band."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED
from hint_plugin.cli.potential_options import (
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
    make_calculator,
)


def neb(
    reactant: Reactant,
    product: Product,
    output: Folder = Path("neb"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    optimize: Annotated[
        bool, typer.Option("--optimize/--no-optimize", help="Go to the minima at both ends first.")
    ] = True,
    images: Annotated[int, typer.Option(min=3, help="Ends included.")] = 9,
    climb: Annotated[bool, typer.Option("--climb/--no-climb", help="The highest image climbs.")] = True,
    fmax: Annotated[
        float, typer.Option(min=0, help="Largest force across the band at the end, eV/A.")
    ] = 0.05,
    steps: Annotated[int, typer.Option(min=1, help="At most.")] = 300,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    json_: Json = False,
) -> None:
    """Relax a path between two molecules; its top is the transition state, nearly.

    Starts from a geodesic path. Writes neb.json, path.xyz and profile.png. `hint reaction` finds the saddle
    itself, usually in less time, and proves what it connects.

    Exit status: 0 converged, 3 not (what there is, is written), 2 nothing could be done.
    """
    import json

    from rich.console import Console

    from hint_plugin.cli.molecules import read_ends
    from hint_plugin.cli.provenance import run_provenance
    from hint_plugin.data.files import write_json
    from hint_plugin.science.reactions.neb import elastic_band, plot_band
    from hint_plugin.science.reactions.report import KCAL, write_path

    ends, files = read_ends(reactant, product), (reactant, product)
    calculator = make_calculator(model, engine, engine_option, device, charge, spin)
    with Console(stderr=True).status("") as status:
        if optimize:
            ends = [
                _relaxed(atoms, path.stem, calculator, status)
                for atoms, path in zip(ends, files, strict=True)
            ]
        band = elastic_band(
            ends[0],
            ends[1],
            calculator,
            images=images,
            climb=climb,
            fmax=fmax,
            steps=steps,
            report=lambda step, top, force: status.update(f"step {step}, top {top:.3f} eV, {force:.3f} eV/A"),
        )
    output.mkdir(parents=True, exist_ok=True)
    result = {**band.as_dict(), "provenance": run_provenance(files, model, calculator)}
    write_json(output / "neb.json", result)
    write_path(output / "path.xyz", band.images, band.energies.tolist())
    plot_band(output / "profile.png", band, f"{reactant.stem} to {product.stem}")
    if json_:
        typer.echo(json.dumps(result, indent=2))
    else:
        heights = ", ".join(f"{name} {KCAL * value:+.2f}" for name, value in result["barriers"].items())
        state = "converged" if band.converged else "not converged"
        typer.echo(
            f"{state} after {band.steps} steps, {band.largest_force:.3f} eV/A; highest image {band.top}"
        )
        typer.echo(f"energy, kcal/mol: {heights}")
        typer.echo(f"written to {output}")
    if not band.converged:
        raise typer.Exit(EXIT_SOME_FAILED)


def _relaxed(atoms: Any, name: str, calculator: Any, status: Any) -> Any:
    from hint_plugin.cli.molecules import relaxed

    atoms.calc = calculator
    return relaxed(atoms, False, 0.01, 300, lambda text: status.update(f"{name}: {text}")).atoms
