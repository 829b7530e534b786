"""`hint double-well STRUCTURE -o DIR`: the energy along a mode or a displacement, model against reference."""

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
from hint_plugin.cli.verbs.phonons import Structure, Supercell, supercell_of


def double_well(
    structure: Structure,
    output: Folder = Path("double-well"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    mode: Annotated[
        str | None,
        typer.Option(help="qx,qy,qz,branch: a phonon of the model, as 0,0,0,4; branch 1 is the lowest."),
    ] = None,
    displacement: Annotated[
        str | None,
        typer.Option(help="In its place: atom,axis as 1,z or 1,1,1,1 (along 111); or a FILE, displaced."),
    ] = None,
    amplitude: Annotated[float, typer.Option(help="A, of the atom that moves most.")] = 0.5,
    points: Annotated[int, typer.Option(min=3, help="Energies, from -amplitude to amplitude.")] = 21,
    reference: Annotated[
        str | None,
        typer.Option(help="A FILE of frames with energies along the line, or an engine (qe, calculator)."),
    ] = None,
    reference_option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the reference's engine; repeatable.")
    ] = None,
    supercell: Supercell = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Energy of a crystal along a phonon or the displacement of an atom: is it a double well, how deep.

    Writes double-well.json and double-well.png, and frames.xyz: the structures, ready for hint label.

    Exit status: 0 done, 2 it could not be.
    """
    import json

    from rich.console import Console

    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.cli.support.tables import show
    from hint_plugin.data import write_frames
    from hint_plugin.data.file_io import files_of, remove_earlier, write_json
    from hint_plugin.data.structures.unit_cell import read_crystal
    from hint_plugin.errors import OptionsError
    from hint_plugin.science.phonons.double_well import (
        AT_REST,
        along_displacement,
        compare_profiles,
        plot_profiles,
        profile,
    )

    if (mode is None) == (displacement is None):
        raise OptionsError("wanted one of --mode qx,qy,qz,branch and --displacement atom,axis")
    atoms = read_crystal(structure, layers=True)
    calculator = make_calculator(model, engine, engine_option, device)
    with Console(stderr=True).status("") as status:
        if displacement is not None:
            line = along_displacement(atoms, displacement)
        else:
            status.update("force constants")
            line = _mode(atoms, calculator, str(mode), supercell)
        found = profile(line, calculator, amplitude, points, lambda k, n: status.update(f"energy {k} of {n}"))
        series = [("this work" if reference else "", found)]
        result: dict[str, Any] = {"line": line.name, "frequency": line.frequency, "atoms": len(line.atoms)}
        result["model"] = found.as_dict()
        files = [
            structure,
            *(Path(name) for name in (reference, displacement) if name and Path(name).is_file()),
        ]
        result["provenance"] = run_provenance(files, model, calculator)
        if reference is not None:
            theirs = _reference(
                line,
                reference,
                reference_option,
                amplitude,
                points,
                lambda k, n: status.update(f"reference {k} of {n}"),
            )
            series.append(("reference", theirs))
            result |= {"reference": theirs.as_dict(), "errors": compare_profiles(found, theirs)}
    output.mkdir(parents=True, exist_ok=True)
    own, inputs = (r"frames\.xyz", r"double-well\.png"), files_of(result["provenance"])
    remove_earlier(output, "double-well.json", own, (), inputs)
    write_frames(output / "frames.xyz", [line.at(a) for a in found.amplitudes])
    write_json(output / "double-well.json", result)
    plot_profiles(output / "double-well.png", series, f"{structure.stem}: {line.name}")
    if json_:
        typer.echo(json.dumps(result, indent=2))
        return
    rows = []
    for name, one in (("this work", found), ("reference", series[-1][1]))[: len(series)]:
        place, depth = one.minimum
        well = f"{1e3 * depth:.2f}" if abs(place) > AT_REST else "none: 0 is the minimum"
        if one.at_edge:
            well = "still falling at the end"
        rows.append((name, f"{abs(place):.3f}", well, f"{1e3 * one.energies.max():.1f}"))
    frequency = "" if line.frequency is None else f", {line.frequency:.1f} cm^-1"
    show(
        ("", "minimum at, A", "energy there, meV", "highest, meV"),
        rows,
        left=1,
        title=f"{line.name}{frequency}",
    )
    if "errors" in result:
        errors = result["errors"]
        typer.echo(f"errors: MAE {1e3 * errors['mean']:.2f}, largest {1e3 * errors['largest']:.2f} meV")
    typer.echo(f"written to {output}")


def _mode(atoms: Any, calculator: Any, words: str, supercell: tuple[str, str, str] | None) -> Any:
    from hint_plugin.errors import OptionsError
    from hint_plugin.science.phonons import harmonic_phonons
    from hint_plugin.science.phonons.crystals import in_a_box
    from hint_plugin.science.phonons.double_well import along_mode

    try:
        *q, branch = [float(word) for word in words.replace(" ", ",").split(",")]
    except ValueError:
        raise OptionsError(f"--mode {words}; wanted qx,qy,qz,branch, as 0,0,0,4") from None
    if len(q) != 3 or branch != int(branch):
        raise OptionsError(f"--mode {words}; wanted qx,qy,qz,branch, as 0,0,0,4")
    phonon = harmonic_phonons(atoms, calculator, supercell_of(supercell, atoms), force_tolerance=None)
    atoms = in_a_box(atoms)
    return along_mode(phonon, q, int(branch), atoms)


def _reference(
    line: Any, reference: str, options: list[str] | None, amplitude: float, points: int, report: Any
) -> Any:
    from hint_plugin.data import read_frames
    from hint_plugin.errors import OptionsError
    from hint_plugin.science.phonons.double_well import profile, stored_profile

    if Path(reference).exists():
        if options:
            raise OptionsError("--reference-option goes with an engine, and --reference is a file")
        return stored_profile(line, read_frames(Path(reference)))
    return profile(line, make_calculator(None, reference, options), amplitude, points, report)
