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
    typer.Argument(metavar="STRUCTURE", help="One unit cell: CIF, POSCAR, .xyz, phonopy.yaml, fildyn0, ..."),
]
Supercell = Annotated[
    tuple[str, str, str] | None,
    typer.Option(
        metavar="N N N",
        help="As 4 4 4, or rows of a matrix: 0,1,1 1,0,1 1,1,0; at least 10 A wide if not given.",
    ),
]


def supercell_of(words: tuple[str, str, str] | None, atoms: Any) -> Any:
    """The matrix [3, 3] of `--supercell`: three numbers, or three rows as phonopy's --dim has them.

    Raises:
        OptionsError: something else.
    """
    from hint_plugin.errors import OptionsError
    from hint_plugin.science.phonons.crystals import supercell_matrix
    from hint_plugin.science.phonons.phonon_files import default_supercell

    if words is None:
        return supercell_matrix(default_supercell(atoms))
    try:
        rows = [[int(number) for number in word.split(",")] for word in words]
    except ValueError:
        rows = []
    if {len(row) for row in rows} not in ({1}, {3}):
        raise OptionsError(
            f"--supercell {' '.join(words)}; wanted three whole numbers, as 4 4 4, or three rows of a "
            f"matrix, as "
            "0,1,1 1,0,1 1,1,0"
        )
    return supercell_matrix([number for row in rows for number in row])


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
    relax: Annotated[Relaxation, typer.Option(help="First; keeps symmetry. cell: both.")] = Relaxation.no,
    fmax: Annotated[float, typer.Option(min=0, help="Largest force after --relax, eV/A.")] = 1e-3,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="To compare: a Hessian in any format of hint dataset convert, CSV (qx,qy,qz,frequency)."
        ),
    ] = None,
    only_this_file: Annotated[
        bool, typer.Option("--only-this-file", help="Of the reference's set of dynamical matrices.")
    ] = False,
    born: Annotated[
        Path | None, typer.Option(help="phonopy's BORN, of the reference too: splits modes at Gamma.")
    ] = None,
    points: Annotated[int, typer.Option(min=2, help="To a segment of the bands.")] = 51,
    mesh: Annotated[float, typer.Option(min=1, help="Of q points, A: phonopy's --mesh.")] = 60.0,
    temperature: Annotated[
        float, typer.Option("--temperature", "-T", min=0, help="Highest, of thermal properties, K.")
    ] = 1000.0,
    displacement: Annotated[
        float | None,
        typer.Option(min=1e-4, help="A: differences of forces, not exact products; to compare."),
    ] = None,
    precision: Annotated[float, typer.Option(help="Within which symmetry is found, A.")] = 1e-5,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Phonons of a crystal, from exact Hessian-vector products: as few as its symmetry allows.

    Writes phonons.json, bands.csv, bands.png, dos.csv, thermal.csv, phonopy.yaml and FORCE_CONSTANTS for
    phonopy, qe/matdyn.dyn* for Quantum ESPRESSO, and relaxed.xyz after --relax. Imaginary frequencies are
    negative numbers.

    Exit status: 0 done, 2 it could not be.
    """
    import json

    from rich.console import Console

    from hint_plugin.cli.support.phonon_steps import (
        described,
        relaxed,
        sums_and_files,
        with_born,
        with_reference,
    )
    from hint_plugin.cli.support.provenance import run_provenance, say_what_is_read
    from hint_plugin.cli.support.tables import show
    from hint_plugin.data.file_io import write_json
    from hint_plugin.data.structures.unit_cell import check_crystal, quiet, read_crystal
    from hint_plugin.science.phonons.bands import band_path, band_structure
    from hint_plugin.science.phonons.crystals import in_a_box, layer_axis
    from hint_plugin.science.phonons.force_constants import forces_at_rest, harmonic_phonons
    from hint_plugin.science.phonons.reference_phonons import read_reference
    from hint_plugin.science.phonons.same_crystal import check_reference

    atoms = read_crystal(structure, layers=True)
    repeats = supercell_of(supercell, atoms)
    other = None if reference is None else read_reference(reference, only_this_file)
    if other is not None:
        check_reference(in_a_box(atoms), other, layer_axis(atoms))
    calculator = make_calculator(model, engine, engine_option, device)
    result: dict[str, Any] = {"structure": str(structure), "supercell": repeats.tolist()}
    result["displacement"] = displacement
    files = [path for path in (structure, reference, born) if path is not None]
    result["provenance"] = run_provenance(
        files, model, calculator, [reference] if only_this_file and reference is not None else []
    )
    if reference is not None:
        say_what_is_read([reference], only_this_file, json_)
    with Console(stderr=True).status("") as status, quiet():
        atoms = relaxed(atoms, calculator, relax.value, fmax, output, result, status.update)
        check_crystal(atoms, layers=True)
        result["largest_force"] = forces_at_rest(atoms, calculator)
        counted = [0]

        def report(done: int, total: int) -> None:
            counted[0] = total
            status.update(
                f"force constants: {done} of {total} {'displacements' if displacement else 'products'}"
            )

        phonon = harmonic_phonons(
            atoms, calculator, repeats, displacement=displacement, symmetry_precision=precision, report=report
        )
        born_notes = with_born(phonon, structure, born, other, reference)
        status.update("bands")
        bands = band_structure(phonon, band_path(phonon, points, layer_axis(atoms)), group_velocities=True)
        output.mkdir(parents=True, exist_ok=True)
        status.update("sums over the Brillouin zone")
        result |= {"products": counted[0], **described(phonon, bands, in_a_box(atoms))}
        density, notes = sums_and_files(phonon, bands, mesh, temperature, output, result)
        status.update("reference")
        draw = with_reference(phonon, bands, density, other, structure.stem, output, result)
    result["notes"] = [*born_notes, *notes]
    write_json(output / "phonons.json", result)
    draw()
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
        elif isinstance(errors, float):
            rows.append((f"{name} of the reference", f"{100 * errors:.2f} %"))
        else:
            rows.append((name, errors))
    return rows
