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
    pseudo: Annotated[Path, typer.Option(help="Folder with pseudopotentials (.upf).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", callback=a_folder, help="Folder for the inputs.")
    ] = Path("dft"),
    q_grid: Annotated[
        Grid, typer.Option(help="Grid of q points for ph.x, which is the supercell of the Hessian.")
    ] = (2, 2, 2),
    k_grid: Annotated[Grid, typer.Option(help="Dense grid of k points for electron-phonon matrices.")] = (
        12,
        12,
        12,
    ),
    k_grid_dft: Annotated[Grid, typer.Option(help="Grid of k points for the ground state and ph.x.")] = (
        6,
        6,
        6,
    ),
    displaced_k_grid: Annotated[Grid, typer.Option(help="Grid of k points for displaced cells.")] = (8, 8, 8),
    ecutwfc: Annotated[
        float | None,
        typer.Option(help="Cutoff of wave functions in Ry; by default the pseudopotentials suggest it."),
    ] = None,
    ecutrho: Annotated[
        float | None,
        typer.Option(help="Cutoff of the density in Ry; by default as suggested, or 4 times --ecutwfc."),
    ] = None,
    smearing: Annotated[
        Smearing, typer.Option(metavar="NAME", help="Smearing: mp, mv (cold), gaussian or fd (Fermi-Dirac).")
    ] = Smearing.mp,
    degauss: Annotated[float, typer.Option(help="Width of the smearing in Ry.")] = 0.03,
    pseudopotential: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ELEMENT=FILE", help="File for an element that has several in PSEUDO; you can repeat it."
        ),
    ] = None,
    copies: Annotated[int, typer.Option(min=1, help="Number of displaced cells.")] = 30,
    sigma: Annotated[float, typer.Option(help="Standard deviation of each Cartesian component, in A.")] = 0.4,
    floor: Annotated[
        float, typer.Option(help="Smallest distance, in units of the sum of covalent radii.")
    ] = 0.6,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    electron_phonon: Annotated[
        bool,
        typer.Option(
            "--electron-phonon/--no-electron-phonon",
            help="Include the electron-phonon matrices that Tc needs.",
        ),
    ] = True,
    precision: Annotated[float, typer.Option(help="Tolerance of the symmetry, in A.")] = 1e-5,
    json_: Json = False,
) -> None:
    """Write inputs of Quantum ESPRESSO for a crystal: Hessian, displaced cells, electron-phonon matrices.

    The command writes scf.in, scf_dense.in, ph.in, q2r.in, matdyn.in, displaced/pert_NN.in, the
    pseudopotentials and settings.json. It also writes run.sh, which runs all of these, and README.md, which
    has the HINT commands that follow.

    Exit status: 0 done, 2 nothing could be done.
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
