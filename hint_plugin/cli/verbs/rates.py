"""`hint rates FOLDER -o DIR`: rate constants and isotope effects of a reaction that was found before."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Folder,
    Json,
    Model,
    Spin,
    potential_of,
)


def rates(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of `hint reaction`.")],
    output: Folder = Path("rates"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    temperature: Annotated[
        str, typer.Option("--temperature", "-T", metavar="K", help="300,400 or 250:500:25.")
    ] = "250,275,298.15,325,350,400,450,500",
    isotopes: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="0=D, '4,5=13C 0=D', H=D; repeatable."),
    ] = None,
    tunnelling: Annotated[
        str, typer.Option(metavar="NAMES", help="Some of wigner, eckart, sct; or none.")
    ] = "wigner,eckart,sct",
    variational: Annotated[
        bool,
        typer.Option("--variational/--no-variational", help="Vary the dividing surface."),
    ] = True,
    step: Annotated[float, typer.Option(min=0, help="Step of the path, A amu^1/2.")] = 0.05,
    points: Annotated[int, typer.Option(min=1, help="Points of the path on each side.")] = 60,
    scale: Annotated[float, typer.Option(min=0, help="Factor on all frequencies.")] = 1.0,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    json_: Json = False,
) -> None:
    """Compute rate constants and kinetic isotope effects from the folder of a reaction.

    Eyring, variational theory, tunnelling, Arrhenius fit. The transition state must be verified. Without
    --model and --engine, the potential is the one of the folder. Writes rates.json, rates.csv, rates.png.

    Exit status: 0 done, 2 it could not be: for example, the transition state is not verified.
    """
    import json

    from rich.console import Console

    from hint_plugin.science.reactions.kinetics import run_rates

    with Console(stderr=True).status("") as status:
        found = run_rates.rates(
            folder,
            potential_of(model, engine, engine_option),
            output,
            temperature=temperature,
            isotopes=isotopes or (),
            tunnelling=tunnelling,
            variational=variational,
            step=step,
            points=points,
            scale=scale,
            device=device,
            charge=charge,
            spin=spin,
            report=status.update,
        )
    result = found.as_dict()
    if json_:
        typer.echo(json.dumps(result, indent=2))
        return
    for channel in result["channels"]:
        _show(channel)
    for text in [result["model_error"]["said"], *result["remarks"]]:
        typer.echo(text)
    typer.echo(f"written to {output}")


def _show(channel: dict[str, Any]) -> None:
    from hint_plugin.cli.support.tables import show
    from hint_plugin.science.reactions.kinetics.channel import UNITS

    for direction in ("forward", "reverse"):
        if direction not in channel:
            continue
        about = channel[direction]
        unit = UNITS[about["molecularity"]]
        rows = [
            (
                f"{row['temperature_K']:g}",
                *(_short(row[direction].get(f"k_{name}_{unit}")) for name in ("tst", "cvt")),
                *(_short(row.get(f"kappa_{name}")) for name in ("wigner", "eckart", "sct")),
                f"{row[direction][f'k_{unit}']:.3e}",
            )
            for row in channel["rows"]
        ]
        best = channel["rows"][0][direction]["method"]
        heads = ("T, K", "k TST", "k CVT", "Wigner", "Eckart", "SCT", f"k {best}")
        words = {1: "s^-1", 2: "cm^3 molecule^-1 s^-1"}[about["molecularity"]]
        show(heads, rows, left=0, title=f"{channel['name']}, {direction}, {words}")
        _say_fit(about)
    for effect in channel["isotope_effects"]:
        for row in effect["rows"]:
            typer.echo(
                f"isotope effect {effect['isotopologue']} at {row['temperature_K']:g} K: {row['kie']:.4f} "
                f"({row['method']}), {row['tst']:.4f} (TST)"
            )
    for note in channel["notes"]:
        typer.echo(note)


def _say_fit(about: dict[str, Any]) -> None:
    from hint_plugin.science.reactions.reaction_files import KCAL

    typer.echo(
        f"barrier {KCAL * about['barrier_eV']:.2f} kcal/mol, with zero-point energies "
        f"{KCAL * about['barrier_with_zero_point_eV']:.2f}; path degeneracy {about['path_degeneracy']:g}"
    )
    if fit := about["arrhenius"]:
        typer.echo(
            f"Arrhenius: A = 10^{fit['log10_A']:.2f}, E_a = {KCAL * fit['activation_energy_eV']:.2f} "
            f"kcal/mol (largest deviation of ln k {fit['largest_deviation_ln_k']:.2f})"
        )


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3e}" if value >= 1000 or value < 0.01 else f"{value:.3f}"
