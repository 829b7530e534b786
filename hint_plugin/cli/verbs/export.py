"""`hint export CHECKPOINT -o model.hint.pt`: one file for LAMMPS, i-PI and ASE."""

from pathlib import Path
from typing import Annotated

import typer

from hint_plugin.cli.support.outputs import a_file


def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint of MACE (.model) or NequIP (.ckpt, .nequip.zip), which is a pickle: use only "
            "those that you trust. Or a name from `hint model list`."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            callback=a_file,
            help="File for the artifact. \\[default: CHECKPOINT's name .hint.pt]",
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="Head of a multihead model; by default the one named default.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Precision: float32 or float64; by default the checkpoint's own.")
    ] = None,
    aoti: Annotated[
        bool,
        typer.Option(
            help="Also compile it for this processor and torch (.pt2). This needs g++ and takes minutes."
        ),
    ] = False,
    mliap: Annotated[
        bool,
        typer.Option(
            help="Also write NAME.mliap for LAMMPS's ML-IAP (KOKKOS, several GPUs); for AlphaNet models only."
        ),
    ] = False,
    check: Annotated[
        list[Path] | None,
        typer.Option(help="Compare artifact and checkpoint on these structures, too; you can repeat it."),
    ] = None,
    training_set: Annotated[
        list[Path] | None,
        typer.Option(
            "--training-set",
            help="File that the model was trained on; users are then warned of structures outside of it. You "
            "can repeat it.",
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the files and the metadata as JSON.")] = False,
) -> None:
    """Write a trained potential as one file that LAMMPS, i-PI and ASE run.

    Before the file is kept, its energies, forces and stresses are compared with those of the checkpoint.
    """
    import json

    from hint_plugin import pretrained
    from hint_plugin.data import read_frames
    from hint_plugin.data.sets.patterns import expand
    from hint_plugin.export.checkpoint_to_artifact import compiled_path
    from hint_plugin.export.checkpoint_to_artifact import export as run

    output = output or checkpoint.with_suffix(".hint.pt")  # of a model's name: in this folder
    frames = [atoms for path in expand(check or []) for atoms in read_frames(path)]
    unified = output.with_name(output.name.removesuffix(".pt").removesuffix(".hint") + ".mliap")
    if mliap:  # first: it refuses what is no AlphaNet
        from lammps_pair.mliap import write_mliap

        write_mliap(pretrained.or_path(checkpoint, pretrained.CHECKPOINT), unified, dtype)
    sets = expand(training_set or [])
    metadata = run(checkpoint, output, head=head, dtype=dtype, frames=frames, aoti=aoti, training_set=sets)
    found = metadata.verification
    if json_:
        files = [output, *([unified] if mliap else []), *([compiled_path(output)] if aoti else [])]
        content = json.loads(metadata.to_json())
        typer.echo(json.dumps({"files": [str(path) for path in files], "metadata": content}, indent=2))
        return
    typer.echo(
        f"written: {output} ({metadata.architecture}, {metadata.parameters:,} parameters, {metadata.dtype}; "
        f"{' '.join(metadata.species)}; cutoff {metadata.cutoff:g} A, {metadata.hops} hops)\n"
        f"largest differences from the checkpoint on {found['frames']} structures: energy "
        f"{found['energy_per_atom']:.1e} eV/atom, forces {found['forces']:.1e} eV/A, stress "
        f"{found['stress']:.1e} eV/A^3"
    )
    if metadata.domain:
        typer.echo(f"trained on: {metadata.domain}")
    else:
        typer.echo(
            "the file does not record what it was trained on: give --training-set FILE, and it warns of "
            "other structures"
        )
    if mliap:
        typer.echo(f"written: {unified}, for pair_style mliap unified")
    if aoti:
        typer.echo(
            f"written: {compiled_path(output)}, the same compiled for this processor and torch; it is "
            "machine code, which is loaded only if you say that you trust it"
        )
