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
    from dataclasses import asdict

    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.cli.support.tables import show
    from hint_plugin.data.file_io import write_json
    from hint_plugin.data.structures.displaced import displaced_copies
    from hint_plugin.data.structures.unit_cell import read_crystal
    from hint_plugin.dft.dft_folder import check_no_outputs, write_folder
    from hint_plugin.dft.dft_inputs import DftSettings, dft_inputs, formula_of
    from hint_plugin.dft.next_commands import readme
    from hint_plugin.dft.primitive import primitive_cell
    from hint_plugin.dft.upf import choose_cutoffs
    from hint_plugin.sampling import DisplaceSettings

    check_no_outputs(output)
    cell = primitive_cell(read_crystal(structure), precision)
    headers = _pseudopotentials(pseudo, pseudopotential, sorted(set(cell.atoms.symbols)))
    files = {symbol: header.path for symbol, header in headers.items()}
    wave, density = choose_cutoffs(headers, ecutwfc, ecutrho)
    settings = DftSettings(
        ecutwfc=wave,
        ecutrho=density,
        q_grid=q_grid,
        k_grid=k_grid,
        k_grid_dft=k_grid_dft,
        displaced_k_grid=displaced_k_grid,
        smearing=smearing.value,
        degauss=degauss,
        electron_phonon=electron_phonon,
    )
    settings.check()
    moves = DisplaceSettings(sigma=sigma, copies=copies, floor=floor, seed=seed)
    moves.check()
    inputs = dft_inputs(
        cell.atoms, list(displaced_copies(cell.atoms, 0, moves, name=str(structure))), files, settings
    )
    about: dict[str, Any] = {"space_group": cell.space_group, "sigma": sigma, "seed": seed}
    names = {symbol: path.name for symbol, path in files.items()}
    write_folder(output, inputs, files, readme(cell.atoms, copies, settings, names, about))
    result = {
        "structure": str(structure),
        "atoms": len(cell.atoms),
        "formula": formula_of(cell.atoms),
        **about,
        "notes": cell.notes,
        "copies": copies,
        "floor": floor,
        "settings": asdict(settings),
        "pseudopotentials": names,
        "inputs": list(inputs),
        "provenance": run_provenance([structure, *files.values()]),
    }
    write_json(output / "settings.json", result)
    if json_:
        typer.echo(json.dumps(result, indent=2))
        return
    show(("", ""), _rows(result, settings), left=2)
    for note in cell.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"written to {output}: run {output / 'run.sh'}, then see {output / 'README.md'}")


def _pseudopotentials(folder: Path, given: list[str] | None, symbols: list[str]) -> Any:
    """Element -> header of its file."""
    from hint_plugin.dft.qe_input import match_pseudopotentials
    from hint_plugin.dft.upf import check_elements, read_upf_header
    from hint_plugin.errors import OptionsError

    if not folder.is_dir():
        raise OptionsError(f"--pseudo {folder}: no such folder")
    named = {}
    for pair in given or []:
        symbol, _, file = pair.partition("=")
        if symbol not in symbols or not file:
            raise OptionsError(f"--pseudopotential {pair}; wanted ELEMENT=FILE, of {', '.join(symbols)}")
        named[symbol] = file
    found = match_pseudopotentials(folder, symbols, named, "--pseudopotential {}=FILE")
    headers = {symbol: read_upf_header(folder / name) for symbol, name in found.items()}
    check_elements(headers)
    return headers


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
