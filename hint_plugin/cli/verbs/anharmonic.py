"""`hint anharmonic STRUCTURE -o DIR --pseudo FOLDER`: all inputs of DFT for anharmonic phonons and Tc."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.outputs import a_folder
from hint_plugin.cli.support.potential_options import Json
from hint_plugin.cli.verbs.phonons import Structure

Grid = tuple[int, int, int]


class Smearing(str, Enum):
    """Of pw.x."""

    mp = "mp"
    mv = "mv"
    gaussian = "gaussian"
    fd = "fd"


def anharmonic(
    structure: Structure,
    pseudo: Annotated[Path, typer.Option(help="Folder of pseudopotentials, .upf.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", callback=a_folder, help="Folder of the inputs.")
    ] = Path("dft"),
    q_grid: Annotated[Grid, typer.Option(help="q points of ph.x: the Hessian's supercell.")] = (2, 2, 2),
    k_grid: Annotated[Grid, typer.Option(help="k points, dense: electron-phonon matrices.")] = (12, 12, 12),
    k_grid_dft: Annotated[Grid, typer.Option(help="k points: ground state, ph.x.")] = (6, 6, 6),
    displaced_k_grid: Annotated[Grid, typer.Option(help="k points: displaced cells.")] = (8, 8, 8),
    ecutwfc: Annotated[
        float | None, typer.Option(help="Cutoff, Ry; as the pseudopotentials suggest if not given.")
    ] = None,
    ecutrho: Annotated[
        float | None, typer.Option(help="Of the density, Ry; 4 times the other, or as suggested.")
    ] = None,
    smearing: Annotated[
        Smearing, typer.Option(metavar="NAME", help="mp, mv (cold), gaussian, fd (Fermi).")
    ] = Smearing.mp,
    degauss: Annotated[float, typer.Option(help="Its width, Ry.")] = 0.03,
    pseudopotential: Annotated[
        list[str] | None, typer.Option(metavar="ELEMENT=FILE", help="Where PSEUDO has several; repeatable.")
    ] = None,
    copies: Annotated[int, typer.Option(min=1, help="Displaced cells.")] = 30,
    sigma: Annotated[float, typer.Option(help="Standard deviation of a component, A.")] = 0.4,
    floor: Annotated[float, typer.Option(help="No distance below this times covalent radii.")] = 0.6,
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers.")] = 0,
    electron_phonon: Annotated[
        bool, typer.Option("--electron-phonon/--no-electron-phonon", help="With what Tc needs.")
    ] = True,
    precision: Annotated[float, typer.Option(help="Within which symmetry is found, A.")] = 1e-5,
    json_: Json = False,
) -> None:
    """Inputs of Quantum ESPRESSO for a crystal: Hessian, displaced cells, electron-phonon matrices.

    Writes scf.in, scf_dense.in, ph.in, q2r.in, matdyn.in, displaced/pert_NN.in, the pseudopotentials, run.sh,
    which runs them all, README.md with the commands of HINT that follow, and settings.json.

    Exit status: 0 done, 2 it could not be.
    """
    import json

    from hint_plugin.cli.support.tables import show
    from hint_plugin.dft import run

    found = run.anharmonic(
        structure,
        pseudo,
        output,
        q_grid=q_grid,
        k_grid=k_grid,
        k_grid_dft=k_grid_dft,
        displaced_k_grid=displaced_k_grid,
        ecutwfc=ecutwfc,
        ecutrho=ecutrho,
        smearing=smearing.value,
        degauss=degauss,
        pseudopotential=pseudopotential or (),
        copies=copies,
        sigma=sigma,
        floor=floor,
        seed=seed,
        electron_phonon=electron_phonon,
        precision=precision,
    )
    result = found.as_dict()
    if json_:
        typer.echo(json.dumps(result, indent=2))
        return
    show(("", ""), _rows(result, found.settings), left=2)
    for note in result["notes"]:
        typer.echo(f"note: {note}")
    typer.echo(f"written to {output}: run {output / 'run.sh'}, then see {output / 'README.md'}")


def _rows(result: dict[str, Any], settings: Any) -> list[tuple[str, str]]:
    """What a person wants to see."""
    density = f"{settings.ecutrho:g}" if settings.ecutrho else f"{4 * settings.ecutwfc:g}"
    grids = {
        "q points": settings.q_grid,
        "k points, response": settings.k_grid_dft,
        "k points, dense": settings.k_grid if settings.electron_phonon else None,
        "k points, displaced": settings.displaced_k_grid,
    }
    return [
        ("crystal", f"{result['formula']}, {result['space_group']}"),
        ("cutoffs", f"{settings.ecutwfc:g} Ry, density {density} Ry"),
        ("pseudopotentials", ", ".join(sorted(result["pseudopotentials"].values()))),
        *((name, "x".join(map(str, grid))) for name, grid in grids.items() if grid),
        ("displaced cells", f"{result['copies']}, {result['sigma']:g} A"),
    ]
