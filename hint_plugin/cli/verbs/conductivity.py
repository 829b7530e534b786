"""`hint conductivity STRUCTURE -o DIR`: lattice thermal conductivity of a crystal."""

from enum import Enum
from math import isfinite
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
from hint_plugin.cli.verbs.cubic import (
    Born,
    HowThird,
    LargestForce,
    Method,
    PairCutoff,
    PhononSupercell,
    Precision,
    Relax,
    Step,
)
from hint_plugin.cli.verbs.phonons import Relaxation, Supercell, supercell_of

TEMPERATURES = [100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0]
MESHES = [30.0, 40.0]


class Solution(str, Enum):
    """Of the Boltzmann equation."""

    rta = "rta"
    direct = "direct"


def conductivity(
    structure: Annotated[
        Path,
        typer.Argument(metavar="STRUCTURE", help="One unit cell; or a folder of hint cubic or phono3py."),
    ],
    output: Folder = Path("conductivity"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    temperature: Annotated[
        list[float], typer.Option("--temperature", "-T", help="K; you can repeat it.")
    ] = TEMPERATURES,
    mesh: Annotated[
        list[float], typer.Option(help="Density of the q mesh, as a length in A; you can repeat it.")
    ] = MESHES,
    tolerance: Annotated[
        float, typer.Option(help="Relative difference of the two finest meshes that counts as converged.")
    ] = 0.05,
    solution: Annotated[
        Solution, typer.Option(metavar="NAME", help="rta: relaxation times; direct: the full equation, too.")
    ] = Solution.rta,
    isotopes: Annotated[bool, typer.Option("--isotopes", help="Scatter at natural isotopes, too.")] = False,
    wigner: Annotated[bool, typer.Option(help="Add the coherences (Wigner's term).")] = True,
    boundary: Annotated[
        float | None, typer.Option(help="Mean free path that ends at walls, in micrometres.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Compare modes with an earlier folder, or phono3py's kappa-*.hdf5."),
    ] = None,
    supercell: Supercell = None,
    phonon_supercell: PhononSupercell = None,
    cutoff: PairCutoff = None,
    relax: Relax = Relaxation.no,
    fmax: LargestForce = 1e-3,
    method: HowThird = Method.best,
    step: Step = None,
    born: Born = None,
    precision: Precision = 1e-5,
    device: Device = "cpu",
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Compute the lattice thermal conductivity of a crystal by phono3py.

    The command computes harmonic and cubic force constants as hint cubic does, or reads them from a folder,
    and then the conductivity on several q meshes, which it compares. A crystal with imaginary modes is
    refused.

    It writes conductivity.json, conductivity.csv, cumulative.csv, modes.hdf5 and conductivity.png, and of a
    structure the files of hint cubic. A run that is stopped continues when the same command is given again.

    Exit status: 0 done, 3 the meshes do not agree, 2 nothing could be done, 130 stopped.
    """
    import json

    from hint_plugin.cli.app import EXIT_SOME_FAILED
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.science.phonons import run_conductivity

    repeats, wide = supercell_of(supercell), supercell_of(phonon_supercell, "--phonon-supercell")
    with Bar("third derivatives", "vectors") as bar:
        found = run_conductivity.conductivity(
            structure,
            potential_of(model, engine, engine_option),
            output,
            temperature=temperature,
            mesh=mesh,
            tolerance=tolerance,
            solution=solution.value,
            isotopes=isotopes,
            wigner=wigner,
            boundary=boundary,
            reference=reference,
            supercell=repeats,
            phonon_supercell=wide,
            cutoff=cutoff,
            relax=relax.value,
            fmax=fmax,
            method=method.value,
            step=step,
            born=born,
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
        _show(found)
        typer.echo(f"written to {output}")
    if not found.complete:
        raise typer.Exit(EXIT_SOME_FAILED)


def _show(found: Any) -> None:
    from hint_plugin.cli.support.tables import show

    finest = found.finest
    columns = ["T, K", *(f"mesh {' '.join(map(str, one.mesh))}" for one in found.meshes)]
    parts = [("relaxation times", finest.rta), ("direct", finest.direct), ("coherences", finest.coherences)]
    parts = [(name, part) for name, part in parts if part is not None]
    rows = [
        (
            f"{t:g}",
            *(f"{one.total[k, :3].mean():.3f}" for one in found.meshes),
            *(f"{part[k, :3].mean():.3f}" for _, part in parts),
        )
        for k, t in enumerate(finest.temperatures)
    ]
    title = f"{found.name}: thermal conductivity, W/m/K; the last columns are parts of the finest mesh"
    show((*columns, *(name for name, _ in parts)), rows, left=0, title=title)
    frequency, path = found.half()
    if isfinite(frequency) and isfinite(path):
        typer.echo(
            f"at {found.temperature:g} K half of it is carried below {frequency:.0f} cm^-1, "
            f"and by mean free paths below {path:.3g} micrometres"
        )
    if found.convergence is not None:
        typer.echo(f"the last two meshes differ by {100 * found.convergence:.1f} %")
    for row in found.errors:
        typer.echo(
            f"against the reference at {row['temperature']:g} K: {row['kappa']:.3f} and "
            f"{row['reference']:.3f} W/m/K, SRD {row['srd']:.3f}, SRME {row['srme']:.3f}"
        )
    for note in found.notes:
        typer.echo(note)
