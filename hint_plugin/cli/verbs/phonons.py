"""`hint phonons STRUCTURE -o DIR`: force constants, bands, densities of states of a crystal."""

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
    make_calculator,
)

Structure = Annotated[
    Path,
    typer.Argument(
        metavar="STRUCTURE", help="File of one unit cell: CIF, POSCAR, .xyz, phonopy.yaml, fildyn0, ..."
    ),
]
Supercell = Annotated[
    tuple[str, str, str] | None,
    typer.Option(
        metavar="N N N",
        help="Repetitions (4 4 4) or rows of a matrix (0,1,1 1,0,1 1,1,0); by default at least 10 A wide.",
    ),
]


def supercell_of(words: tuple[str, str, str] | None, option: str = "--supercell") -> list[int] | None:
    """Of `--supercell`: three numbers, or nine, of three rows as phonopy's --dim has them; None: the default.

    Raises:
        OptionsError: something else.
    """
    from hint_plugin.errors import OptionsError

    if words is None:
        return None
    try:
        rows = [[int(number) for number in word.split(",")] for word in words]
    except ValueError:
        rows = []
    if {len(row) for row in rows} not in ({1}, {3}):
        raise OptionsError(
            f"{option} {' '.join(words)}; wanted three whole numbers, such as 4 4 4, or three rows of "
            "a matrix, such as 0,1,1 1,0,1 1,1,0"
        )
    return [number for row in rows for number in row]


class Relaxation(str, Enum):
    """Of what, before the phonons."""

    no = "no"
    positions = "positions"
    cell = "cell"


def phonons(
    structure: Structure,
    output: Folder = Path("phonons"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    supercell: Supercell = None,
    relax: Annotated[
        Relaxation,
        typer.Option(
            metavar="NAME",
            help="Relax first, keeping the symmetry: no, positions, or cell (both).",
        ),
    ] = Relaxation.no,
    fmax: Annotated[float, typer.Option(min=0, help="Largest force after --relax, in eV/A.")] = 1e-3,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Compare with a Hessian that hint dataset convert reads, or a CSV (qx,qy,qz,frequency)."
        ),
    ] = None,
    only_this_file: Annotated[
        bool, typer.Option("--only-this-file", help="Read only this file of the reference's matrices.")
    ] = False,
    born: Annotated[
        Path | None,
        typer.Option(help="BORN file of phonopy, for the reference too; it splits modes at Gamma."),
    ] = None,
    points: Annotated[int, typer.Option(min=2, help="Number of points per segment of the bands.")] = 51,
    mesh: Annotated[
        float, typer.Option(min=1, help="Length in A that sets the q mesh, as phonopy's --mesh.")
    ] = 60.0,
    temperature: Annotated[
        float,
        typer.Option("--temperature", "-T", min=0, help="Highest temperature of thermal properties in K."),
    ] = 1000.0,
    displacement: Annotated[
        float | None,
        typer.Option(min=1e-4, help="Use differences of forces with this step in A, not exact products."),
    ] = None,
    precision: Annotated[float, typer.Option(help="Tolerance of the symmetry, in A.")] = 1e-5,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Compute phonons of a crystal from exact Hessian-vector products, as few as its symmetry allows.

    The command writes phonons.json, bands.csv, bands.png, dos.csv, thermal.csv, phonopy.yaml and
    FORCE_CONSTANTS for phonopy, qe/matdyn.dyn* for Quantum ESPRESSO, and relaxed.xyz after --relax. Imaginary
    frequencies are negative numbers.

    Exit status: 0 done, 2 nothing could be done.
    """
    import json
    from functools import partial

    from rich.console import Console

    from hint_plugin.cli.support.provenance import say_what_is_read
    from hint_plugin.cli.support.tables import show
    from hint_plugin.science.phonons import run

    repeats = supercell_of(supercell)
    if reference is not None:
        say_what_is_read([reference], only_this_file, json_)
    with Console(stderr=True).status("") as status:
        found = run.phonons(
            structure,
            partial(make_calculator, model, engine, engine_option, device),
            output,
            supercell=repeats,
            relax=relax.value,
            fmax=fmax,
            reference=reference,
            only_this_file=only_this_file,
            born=born,
            points=points,
            mesh=mesh,
            temperature=temperature,
            displacement=displacement,
            precision=precision,
            report=status.update,
        )
    result = found.as_dict()
    if json_:
        typer.echo(json.dumps(result, indent=2))
        return
    show(("", ""), _rows(result), left=1)
    for note in result["notes"]:
        typer.echo(note)
    typer.echo(f"written to {output}")


def _rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """What a person wants to see."""
    kind = "displacements" if result["displacement"] else "products"
    rows = [
        ("space group", result["space_group"]),
        ("supercell", f"{result['atoms_in_supercell']} atoms, {result['products']} {kind}"),
        ("largest force", f"{result['largest_force']:.4f} eV/A"),
        ("frequencies", f"{result['lowest']:.1f} to {result['highest']:.1f} cm^-1"),
        ("imaginary", f"{100 * result['imaginary']:.1f} % of the modes"),
        ("zero point", f"{result['zero_point_energy']:.4f} eV"),
    ]
    for name, errors in result.get("errors", {}).items():
        if isinstance(errors, dict):
            rows.append(
                (
                    f"errors, {name.replace('_', ' ')}",
                    f"MAE {errors['mean']:.2f}, largest {errors['largest']:.2f} cm^-1",
                )
            )
            counts = f"{errors['imaginary']} of {errors['count']}, reference {errors['imaginary_reference']}"
            rows.append(("    imaginary", counts))
            if name in ("bands", "table"):
                rows.append(("    scale", f"{errors['scale']:.3f} times the reference"))
        elif isinstance(errors, float):
            rows.append((f"{name} of the reference", f"{100 * errors:.2f} %"))
        else:
            rows.append((name, errors))
    return rows
