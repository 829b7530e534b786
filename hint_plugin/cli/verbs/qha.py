"""`hint qha STRUCTURE... -o DIR`: thermal expansion and Gibbs energies of crystals, quasi-harmonic."""

from enum import Enum
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
    potential_of,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart
from hint_plugin.cli.verbs.phonons import Supercell, supercell_of


class Relaxation(str, Enum):
    """Of what, at each volume."""

    cell = "cell"
    positions = "positions"
    no = "no"


class EquationOfState(str, Enum):
    """Of F(V)."""

    vinet = "vinet"
    birch_murnaghan = "birch_murnaghan"
    murnaghan = "murnaghan"


def qha(
    structures: Annotated[
        list[Path],
        typer.Argument(metavar="STRUCTURE...", help="One unit cell; several: phases of one composition."),
    ],
    output: Folder = Path("qha"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    volumes: Annotated[int, typer.Option(help="How many, 5 or more.")] = 9,
    strain: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Range of (V - V0) / V0."),
    ] = (-0.04, 0.08),
    supercell: Supercell = None,
    relax: Annotated[
        Relaxation, typer.Option(help="At each volume; cell: shape, positions.")
    ] = Relaxation.cell,
    fmax: Annotated[float, typer.Option(min=0, help="Largest force after that, eV/A.")] = 1e-3,
    temperature: Annotated[
        float, typer.Option("--temperature", "-T", min=0, help="Highest temperature, K.")
    ] = 1000.0,
    temperature_step: Annotated[float, typer.Option(help="Between temperatures, K.")] = 10.0,
    pressure: Annotated[float, typer.Option("--pressure", "-p", help="Pressure, GPa.")] = 0.0,
    eos: Annotated[
        EquationOfState,
        typer.Option(metavar="NAME", help="Equation: vinet, birch_murnaghan, murnaghan."),
    ] = EquationOfState.vinet,
    mesh: Annotated[float, typer.Option(min=1, help="Density of the q mesh, as a length in A.")] = 60.0,
    displacement: Annotated[
        float | None,
        typer.Option(min=1e-4, help="A: differences of forces, not exact products; to compare."),
    ] = None,
    precision: Annotated[float, typer.Option(help="Within which symmetry is found, A.")] = 1e-5,
    device: Device = "cpu",
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Thermal expansion, bulk modulus, C_p and Gibbs energies of crystals: quasi-harmonic approximation.

    The command relaxes each crystal and its cells at several volumes, computes the phonons of each cell, and
    minimises the free energy at each temperature. For several phases it says where their Gibbs energies
    cross. A volume with imaginary modes, and a temperature whose minimum is not between the volumes, are left
    out, and a message says so.

    It writes qha.json, qha.csv, volumes.csv, free_energies.csv, gruneisen.csv, volumes.xyz and qha.png. A run
    that is stopped continues when the same command is given again.

    Exit status: 0 done, 3 a volume or a temperature is left out, 2 nothing could be done, 130 stopped.
    """
    import json

    from hint_plugin.cli.app import EXIT_SOME_FAILED
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.science.phonons import run_qha

    repeats = supercell_of(supercell)
    with Bar("volumes", "volumes") as bar:
        found = run_qha.qha(
            structures,
            potential_of(model, engine, engine_option),
            output,
            volumes=volumes,
            strain=strain,
            supercell=repeats,
            relax=relax.value,
            fmax=fmax,
            temperature=temperature,
            temperature_step=temperature_step,
            pressure=pressure,
            eos=eos.value,
            mesh=mesh,
            displacement=displacement,
            precision=precision,
            device=device,
            jobs=jobs,
            parsl=parsl,
            restart=restart,
            report=bar,
        )
    if json_:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        for phase in found.phases:
            _show(phase, found.about["pressure"])
        for crossing in found.crossings:
            typer.echo(_crossing(crossing))
        for note in found.notes:
            typer.echo(note)
        typer.echo(f"written to {output}")
    if not found.complete:
        raise typer.Exit(EXIT_SOME_FAILED)


def _show(phase: Any, pressure: float) -> None:
    from hint_plugin.cli.support.tables import show

    used = len(phase.grid.volumes)
    of_all = f"{used} of {len(phase.volumes)} volumes, mesh {' '.join(map(str, phase.mesh))}"
    title = f"{phase.name}: per {phase.formula} at {pressure:g} GPa, {of_all}"
    columns = ("T, K", "V, A^3", "alpha, 10^-6/K", "B_T, GPa", "C_p, J/mol/K", "gamma", "G, eV")
    show(columns, [_row(phase.equilibrium.at(t)) for t in phase.some_temperatures()], left=0, title=title)
    fit, mesh = 1e3 * phase.equilibrium.residual.max(), 1e3 * phase.mesh_error
    typer.echo(f"F(V): the fit is within {fit:.3f} meV, and a finer mesh moves it by {mesh:.3f} meV")
    typer.echo(f"C_p = C_V + T V alpha^2 B_T holds within {100 * phase.inconsistency:.2f} %")
    if phase.modes is not None:
        modes = phase.modes.as_dict()
        typer.echo(
            f"Grueneisen parameters of the modes at {modes['volume']:.3f} A^3: {modes['lowest']:.2f} to "
            f"{modes['highest']:.2f}, mean {modes['mean']:.3f}"
        )


def _row(here: dict[str, float]) -> tuple[str, ...]:
    from hint_plugin.science.phonons.quasiharmonic_result import PER_MOL

    gamma = here["gruneisen"]
    return (
        f"{here['temperature']:g}",
        f"{here['volume']:.4f}",
        f"{1e6 * here['thermal_expansion']:.2f}",
        f"{here['bulk_modulus']:.2f}",
        f"{PER_MOL * here['heat_capacity_p']:.3f}",
        "" if gamma != gamma else f"{gamma:.3f}",
        f"{here['gibbs_energy']:.4f}",
    )


def _crossing(crossing: Any) -> str:
    from hint_plugin.science.phonons.quasiharmonic_result import PER_MOL

    below, above = crossing.phases
    other = "" if crossing.stable else "; a third phase is lower there"
    return (
        f"{below} and {above} cross at {crossing.temperature:.0f} K (+-{crossing.spread:.2g} K by the fits). "
        f"{below} is lower below, {above} above. The entropy of {above} is higher by "
        f"{PER_MOL * crossing.entropy:.3f} J/mol/K{other}"
    )
