"""`hint vibrations IN... -o DIR`: frequencies, modes, infrared intensities and spectra of molecules."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Fmax,
    Folder,
    Inputs,
    Json,
    Model,
    Optimize,
    Saddle,
    Spin,
    potential_of,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart


def vibrations(
    inputs: Inputs,
    output: Folder = Path("vibrations"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    optimize: Optimize = False,
    saddle: Saddle = False,
    fmax: Fmax = 0.01,
    infrared: Annotated[
        bool,
        typer.Option("--ir/--no-ir", help="Compute intensities from dipoles (6N evaluations)."),
    ] = True,
    width: Annotated[float, typer.Option(min=0.1, help="Width of a line in the figure, in cm^-1.")] = 10.0,
    md: Annotated[
        float,
        typer.Option(
            "--md", min=0, help="Length of dynamics for an anharmonic density of states, in ps; 0 runs none."
        ),
    ] = 0.0,
    temperature: Annotated[
        float, typer.Option("--temperature", "-T", min=0, help="Temperature of the dynamics in K.")
    ] = 300.0,
    anharmonic: Annotated[
        bool, typer.Option("--anharmonic", help="Compute anharmonic levels by VPT2, too.")
    ] = False,
    anharmonic_step: Annotated[
        float, typer.Option(help="Displacement for --anharmonic; dimensionless.")
    ] = 0.1,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Compute vibrations of molecules: 3N - 6 modes (linear: 3N - 5) without translations and rotations.

    The command writes vibrations.json and, for each molecule, NAME.molden, NAME.modes.xyz (movies) and
    pictures. Without --model and --engine, energies, forces and Hessians come from the files. The same
    command continues a run that was stopped.

    Exit status: 0 all done, 3 some failed, 2 nothing could be done, 130 stopped.
    """
    from hint_plugin.cli.support.batch import finish
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.science.molecules import run

    with Bar("vibrations", "molecules") as bar:
        found = run.vibrations(
            inputs,
            potential_of(model, engine, engine_option),
            output,
            optimize=optimize,
            saddle=saddle,
            fmax=fmax,
            infrared=infrared,
            width=width,
            md=md,
            temperature=temperature,
            anharmonic=anharmonic,
            anharmonic_step=anharmonic_step,
            device=device,
            charge=charge,
            spin=spin,
            jobs=jobs,
            parsl=parsl,
            restart=restart,
            report=bar,
        )
    if not json_:
        for row in found.results:
            _show(row)
        typer.echo(f"written to {output}")
    finish(found, json_)


def _show(row: dict[str, Any]) -> None:
    from hint_plugin.cli.support.tables import show

    strengths, found = row.get("infrared_intensities"), row.get("anharmonic")
    columns = ["mode", "cm^-1", *(["anharmonic", "error"] if found else []), "mass, amu", "mdyn/A"]
    columns += ["infrared, km/mol"] if strengths else []
    rows = []
    per_mode = zip(row["frequencies"], row["reduced_masses"], row["force_constants"], strict=True)
    for k, (nu, mass, constant) in enumerate(per_mode):
        line = [str(k + 1), f"{nu:.1f}"]
        line += [f"{found['frequencies'][k]:.1f}", f"{found['errors'][k]:.1f}"] if found else []
        line += [f"{mass:.3f}", f"{constant:.3f}"] + ([f"{strengths[k]:.1f}"] if strengths else [])
        rows.append(line)
    show(columns, rows, left=0, title=f"{row['name']} ({row['formula']})")
    if found:
        _show_anharmonic(found)
    typer.echo(_in_words(row))


FEW_MODES = 6
"""Up to so many, overtones and combinations are printed, too."""


def _show_anharmonic(found: dict[str, Any]) -> None:
    from hint_plugin.cli.support.tables import show

    levels = found["overtones_and_combinations"]
    if len(found["frequencies"]) <= FEW_MODES:
        rows = [
            (
                " + ".join(str(mode) for mode in level["modes"]),
                f"{level['harmonic']:.1f}",
                f"{level['frequency']:.1f}",
                f"{level['weight']:.2f}",
            )
            for level in levels
        ]
        show(["modes", "harmonic", "anharmonic", "weight"], rows, title="overtones and combinations, cm^-1")
    else:
        typer.echo(f"{len(levels)} overtones and combinations are in vibrations.json")
    for one in found["resonances"]:
        if "modes" in one:
            i, j, k = one["modes"]
            typer.echo(
                f"{one['type']} resonance: {i} + {j} with {k}, gap {one['gap']:.1f}, "
                f"coupling {one['coupling']:.1f} cm^-1"
            )
    if second := sum("states" in one for one in found["resonances"]):
        told = "one pair of levels couples" if second == 1 else f"{second} pairs of levels couple"
        typer.echo(f"{told} in second order (Darling-Dennison)")
    cost, parts = found["cost"], found["zero_point_energy_parts_cm"]
    typer.echo(
        f"anharmonic zero-point energy {found['zero_point_energy']:.4f} eV, with "
        + ", ".join(f"{name} {value:.1f}" for name, value in parts.items())
        + " cm^-1"
    )
    products = f" ({cost['products']} products H v)" if cost["products"] else ""
    typer.echo(
        f"cost: {cost['hessians']} Hessians of displaced geometries{products} and {cost['forces']} forces"
    )


def _in_words(row: dict[str, Any]) -> str:
    from hint_plugin.science.molecules.remarks import NOT_STATIONARY, remarks_of

    kind = row["kind"] if row["kind"] == NOT_STATIONARY else f"a {row['kind']}"
    kind += "" if row.get("stationary", True) is not None else ", if it is stationary"
    said = [*remarks_of(row), *row.get("anharmonic", {}).get("remarks", [])]
    remarks = "".join(f"; {text}" for text in said)
    what = "harmonic zero-point energy" if "anharmonic" in row else "zero-point energy"
    return f"{kind}; {what} {row['zero_point_energy']:.4f} eV{remarks}"
