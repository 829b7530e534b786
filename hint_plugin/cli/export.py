"""`hint export CHECKPOINT -o model.hint.pt`: one file for LAMMPS, i-PI and ASE."""

from pathlib import Path
from typing import Annotated

import typer

from hint_plugin.cli.outputs import a_file


def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="Of MACE (.model) or NequIP (.ckpt, .nequip.zip). It is a pickle: use only those you trust."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            callback=a_file,
            help="The artifact. [default: CHECKPOINT's name .hint.pt]",
        ),
    ] = None,
    head: Annotated[str | None, typer.Option(help="Head of a multihead model.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64; the checkpoint's own if not given.")
    ] = None,
    aoti: Annotated[
        bool,
        typer.Option(
            help="Also compile it for this processor and torch: OUTPUT with .pt2. Needs g++, minutes."
        ),
    ] = False,
    mliap: Annotated[
        bool,
        typer.Option(
            help="Also write it for LAMMPS's ML-IAP (KOKKOS, several GPUs): NAME.mliap. AlphaNet only."
        ),
    ] = False,
    check: Annotated[
        list[Path] | None,
        typer.Option(help="Compare artifact and checkpoint on these structures, too; repeatable."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print what is written as JSON.")] = False,
) -> None:
    """Write a trained potential as one file that LAMMPS, i-PI and ASE run.

    The file is compared with the checkpoint before it is kept: energies, forces, stresses.
    """
    import json

    from hint_plugin.data import read_frames
    from hint_plugin.data.patterns import expand
    from hint_plugin.export.checkpoint import compiled_path
    from hint_plugin.export.checkpoint import export as run

    output = output or checkpoint.with_suffix(".hint.pt")
    frames = [atoms for path in expand(check or []) for atoms in read_frames(path)]
    unified = output.with_name(output.name.removesuffix(".pt").removesuffix(".hint") + ".mliap")
    if mliap:  # first: it refuses what is no AlphaNet
        from lammps_pair.mliap import write_mliap

        write_mliap(checkpoint, unified, dtype)
    metadata = run(checkpoint, output, head=head, dtype=dtype, frames=frames, aoti=aoti)
    found = metadata.verification
    if json_:
        files = [output, *([unified] if mliap else []), *([compiled_path(output)] if aoti else [])]
        content = json.loads(metadata.to_json())
        typer.echo(json.dumps({"files": [str(path) for path in files], "metadata": content}, indent=2))
        return
    typer.echo(
        f"written: {output} ({metadata.architecture}, {metadata.parameters:,} parameters, {metadata.dtype}; "
        f"{' '.join(metadata.species)}; cutoff {metadata.cutoff:g} A, {metadata.hops} hops)\n"
        f"against the checkpoint on {found['frames']} structures: energy {found['energy_per_atom']:.1e} "
        f"eV/atom, forces {found['forces']:.1e} eV/A, stress {found['stress']:.1e} eV/A^3"
    )
    if mliap:
        typer.echo(f"written: {unified}, for pair_style mliap unified")
    if aoti:
        typer.echo(f"written: {compiled_path(output)}, the same compiled for this processor and torch")
