"""`hint thermo IN... -o DIR`: enthalpies, entropies and Gibbs energies of molecules."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.potential_options import (
    Charge,
    Cutoff,
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
    Temperature,
    potential_of,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart


def thermo(
    inputs: Inputs,
    output: Folder = Path("thermo"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    optimize: Optimize = False,
    saddle: Saddle = False,
    fmax: Fmax = 0.01,
    temperature: Temperature = 298.15,
    pressure: Annotated[
        float, typer.Option("--pressure", "-p", min=0, help="Pressure in Pa; 101325 is 1 atm.")
    ] = 101325.0,
    symmetry_number: Annotated[
        int | None,
        typer.Option(min=1, help="Rotational symmetry number. \\[default: from geometry]"),
    ] = None,
    cutoff: Cutoff = 100.0,
    hindered: Annotated[
        list[str] | None,
        typer.Option(
            "--hindered",
            metavar="KEY=VALUE",
            help="Hindered adsorbates: translation, rotation (barriers, eV), sites (per cm^2), minima.",
        ),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Frames of a file are conformers of one molecule.")
    ] = False,
    conformers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Let RDKit make N conformers of each structure.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of RDKit.")] = 0,
    prune: Annotated[
        float, typer.Option(min=0, help="Drop made conformers within this RMSD of others, in A.")
    ] = 0.2,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Compute Gibbs energies in the gas from rigid rotor, harmonic oscillators and quasi-RRHO entropy.

    One imaginary mode makes a stationary structure a transition state: the mode is left out and named. More
    of them (with --optimize, any) make it fail. A structure that is not stationary has no Gibbs energy, which
    the table and `remarks` in the files say. Without --model and --engine, energies, forces and Hessians come
    from the files. The command writes thermo.json and thermo.csv, and it continues a run that was stopped.

    If atoms are held (FixAtoms, FixCartesian or the column move_mask), all modes of the others are harmonic
    oscillators, and G is their free energy F.

    With --ensemble or --conformers, each conformer is optimised and verified, duplicates are merged, and the
    Boltzmann average over all of them gives G, H, S and C_p. Failed conformers are named and left out.

    Exit status: 0 all done, 3 some failed, 2 nothing could be done, 130 stopped.
    """
    from hint_plugin.cli.support.batch import finish
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.science.molecules import run

    with Bar("thermo", "molecules") as bar:
        found = run.thermo(
            inputs,
            potential_of(model, engine, engine_option),
            output,
            optimize=optimize,
            saddle=saddle,
            fmax=fmax,
            temperature=temperature,
            pressure=pressure,
            symmetry_number=symmetry_number,
            cutoff=cutoff,
            hindered=hindered,
            ensemble=ensemble,
            conformers=conformers,
            seed=seed,
            prune=prune,
            device=device,
            charge=charge,
            spin=spin,
            jobs=jobs,
            parsl=parsl,
            restart=restart,
            report=bar,
        )
    if not json_ and found.results:
        if found.ensembles:
            for one in found.ensembles:
                _show_ensemble(one.about)
        else:
            _show(found.results, temperature, pressure)
        typer.echo(f"written to {output}")
    finish(found, json_)


def _show(results: list[dict[str, Any]], temperature: float, pressure: float) -> None:
    from hint_plugin.cli.support.tables import show
    from hint_plugin.science.molecules.remarks import in_short, remarks_of

    rows = [
        (
            row["name"],
            in_short(row),
            str(row.get("symmetry_number", "-")),
            *(f"{row[key]:.4f}" for key in ("energy", "zero_point_energy")),
            f"{temperature * row['entropy']:.4f}",
            *(f"{row[key]:.4f}" for key in ("gibbs_correction", "gibbs_energy")),
        )
        for row in results
    ]
    title = f"eV at {temperature:g} K and {pressure:g} Pa"
    show(("molecule", "kind", "sigma", "E", "ZPE", "T S", "G - E", "G"), rows, left=2, title=title)
    for row in results:
        for text in remarks_of(row):
            typer.echo(f"{row['name']}: {text}")


def _show_ensemble(about: dict[str, Any]) -> None:
    from hint_plugin.cli.support.tables import show

    rows = [
        (
            row["name"],
            str(1 + len(row["same"])),
            str(row["degeneracy"]),
            str(row["symmetry_number"]),
            *(f"{1000 * row[f'relative_{key}']:.1f}" for key in ("energy", "enthalpy", "gibbs_energy")),
            f"{100 * row['population']:.2f}",
        )
        for row in about["conformers"]
    ]
    temperature = about["temperature"]
    title = f"{about['name']}: meV at {temperature:g} K and {about['pressure']:g} Pa"
    show(("conformer", "found", "g", "sigma", "E", "H", "G", "%"), rows, title=title)
    typer.echo(
        f"{about['name']}: G {about['gibbs_energy']:.4f} eV, H {about['enthalpy']:.4f} eV, "
        f"T S {temperature * about['entropy']:.4f} eV (of the mixing of conformers "
        f"{temperature * about['conformational_entropy']:.4f}), C_p {1e6 * about['heat_capacity']:.1f} ueV/K"
    )
    for text in about["remarks"]:
        typer.echo(f"{about['name']}: {text}")
