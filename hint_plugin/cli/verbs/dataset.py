"""`hint dataset convert|merge|split|stats|check`: what a set of frames needs before it trains."""

import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_PROBLEMS
from hint_plugin.cli.support.outputs import a_file, a_folder, can_be_written
from hint_plugin.cli.support.progress import StatusLine

dataset = typer.Typer(
    help="Convert, merge, split, describe and check data sets.",
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Format(str, Enum):
    """Formats of HINT's own files."""

    extxyz = "extxyz"
    hdf5 = "hdf5"


class Precision(str, Enum):
    """Of Hessians in a store."""

    float32 = "float32"
    float64 = "float64"


class Compression(str, Enum):
    """Of a store."""

    gzip = "gzip"
    lzf = "lzf"
    none = "none"


Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="IN...", help="Files, folders of shards, or patterns such as 'set-*.h5'."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")]
HessianDtype = Annotated[
    Precision | None,
    typer.Option(
        help="Precision of Hessians and products in stores; float32 halves their size. The default is "
        "float64, or for merge the first store's."
    ),
]
Packing = Annotated[
    Compression | None,
    typer.Option(help="Compression of stores; the default is none, or for merge the first store's."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random choices.")]


@dataset.command()
def convert(
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=can_be_written,
            help="New file; a folder for shards and for some formats.",
        ),
    ],
    source_format: Annotated[
        str | None, typer.Option("--from", help="Format of IN, if its name and content do not show it.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="Option of that format, such as split=test; docs/formats.md lists them.", metavar="KEY=VALUE"
        ),
    ] = None,
    only_this_file: Annotated[
        bool, typer.Option("--only-this-file", help="Read one file, not its whole set of dynamical matrices.")
    ] = False,
    to: Annotated[
        str | None, typer.Option(help="Format of OUT, if its name does not show it: deepmd, phonopy.")
    ] = None,
    hessian_dtype: HessianDtype = None,
    compression: Packing = None,
    frames_per_shard: Annotated[
        int | None, typer.Option(min=1, help="Write shards of N frames: set.h5 becomes set-00000.h5, ...")
    ] = None,
    project: Annotated[
        int | None, typer.Option(min=1, help="Replace full Hessians by K random pairs (v, Hv).", metavar="K")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json_: Json = False,
) -> None:
    """Write frames of any format as extxyz, as a store (HDF5, whole or in shards), or for another program."""
    from hint_plugin.cli.support.provenance import say_what_is_read
    from hint_plugin.data.sets import run

    with _Progress("converting") as progress:
        done = run.dataset_convert(
            inputs,
            output,
            source_format=source_format,
            option=option or [],
            only_this_file=only_this_file,
            to=to,
            hessian_dtype=_value(hessian_dtype),
            compression=_value(compression),
            frames_per_shard=frames_per_shard,
            project=project,
            seed=seed,
            overwrite=overwrite,
            report=progress,
        )
    if source_format is None:
        say_what_is_read(map(Path, done.inputs), only_this_file, json_)
    words = f"{done.frames} frames, {done.bytes / 1e6:.1f} MB; frames with {_labels_in_words(done.labels)}"
    if done.renamed:
        words += f"; energy, forces and stress of {done.renamed} renamed from ASE's names to REF_..."
    if project is not None:
        words += f"; {done.projected} labels projected onto {project} probes"
    words += "".join(f"\nremark: {text}" for text in filter(None, [done.mixture, *done.near_misses]))
    _say(done.as_dict(), f"{words}\nwritten to {_names(done.files)}", json_)


@dataset.command()
def merge(
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", callback=a_file, help="New file: a store (.h5) or text (.xyz)."),
    ],
    hessian_dtype: HessianDtype = None,
    compression: Packing = None,
    mixed: Annotated[bool, typer.Option("--mixed", help="Join labels of several methods anyway.")] = False,
    overwrite: Overwrite = False,
    json_: Json = False,
) -> None:
    """Join files into one, in order. Stores with the same settings are copied without unpacking."""
    from hint_plugin.data.sets import run

    with _Progress("merging") as progress:
        done = run.dataset_merge(
            inputs,
            output,
            hessian_dtype=_value(hessian_dtype),
            compression=_value(compression),
            mixed=mixed,
            overwrite=overwrite,
            report=progress,
        )
    lines = [f"{count:>10}  {name}" for name, count in done.inputs.items()]
    lines.append(f"{done.frames:>10}  frames, {done.bytes / 1e6:.1f} MB, written to {output}")
    _say(done.as_dict(), "\n".join(lines), json_)


@dataset.command()
def split(
    source: Annotated[Path, typer.Argument(metavar="IN", help="File, folder of shards, or pattern.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", callback=can_be_written, help="Folder for the parts."),
    ],
    fractions: Annotated[
        tuple[float, float, float],
        typer.Option(help="Fractions of train, valid and test; 0 leaves one out."),
    ] = (0.8, 0.1, 0.1),
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Property that no two parts share: formula, molecule, structure, reaction or another key of "
            "info; with frame, they may share all of these. You can repeat it. \\[default: formula]",
        ),
    ] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="Cut the set into N shards instead of parts.")
    ] = None,
    frames_per_shard: Annotated[
        int | None, typer.Option(min=1, help="Cut the set into shards of N frames instead of parts.")
    ] = None,
    to: Annotated[
        Format | None, typer.Option(help="Format of the parts; by default the format of IN.")
    ] = None,
    hessian_dtype: HessianDtype = None,
    compression: Packing = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Split a set into train, valid and test without leakage, or cut it into shards."""
    from hint_plugin.data.sets import run

    is_cut = shards is not None or frames_per_shard is not None
    with _Progress("cutting" if is_cut else "splitting") as progress:
        done = run.dataset_split(
            source,
            output,
            fractions=fractions,
            by=by,
            shards=shards,
            frames_per_shard=frames_per_shard,
            to=_value(to),
            hessian_dtype=_value(hessian_dtype),
            compression=_value(compression),
            seed=seed,
            report=progress,
        )
    if isinstance(done, run.Shards):
        words = f"{done.frames} frames in {len(done.files)} shards\nwritten to {_names(done.files)}"
    else:
        words = _split_in_words(done)
    _say(done.as_dict(), words, json_)


@dataset.command()
def stats(
    inputs: Inputs,
    plots: Annotated[
        Path | None,
        typer.Option(callback=a_folder, help="Folder for histograms (PNG) and stats.json."),
    ] = None,
    mace_statistics: Annotated[
        Path | None,
        typer.Option(
            callback=a_file,
            help="Write the file that mace_run_train --statistics_file reads.",
            metavar="JSON",
        ),
    ] = None,
    r_max: Annotated[
        float, typer.Option("--r-max", help="Cutoff of the model in A, for --mace-statistics.")
    ] = 5.0,
    json_: Json = False,
) -> None:
    """Describe a set: sizes, elements, labels, energies, forces, Hessians, noise and distances."""
    from hint_plugin.cli.support.dataset_tables import print_statistics
    from hint_plugin.data.sets import run

    with _Progress("reading") as progress:
        found = run.dataset_stats(
            inputs, plots=plots, mace_statistics=mace_statistics, r_max=r_max, report=progress
        )
    words = []
    if plots is not None:
        words.append(f"plots: {_names(found.about['plots']) or 'none could be made'}")
    if mace_statistics is not None:
        words.append(f"written: {mace_statistics}, for a cutoff of {r_max:g} A")
    if json_:
        _say(found.as_dict(), "", json_)
        return
    print_statistics(found.summary())
    _say({}, "\n".join(words), json_)


@dataset.command()
def check(
    inputs: Inputs,
    leakage: Annotated[
        bool, typer.Option("--leakage", help="Look for formulas, molecules and structures that files share.")
    ] = False,
    against: Annotated[
        str,
        typer.Option(
            help="Kinds that count as leakage: formula, molecule, structure, reaction.", metavar="LIST"
        ),
    ] = "structure",
    show: Annotated[
        int, typer.Option(min=0, help="Largest number of lines of each kind; 0 prints all.")
    ] = 50,
    json_: Json = False,
) -> None:
    """Find everything that is wrong with files: labels, damage, duplicates, leakage between them.

    Exit status: 0 nothing is wrong, 1 something is wrong, 2 the command itself is wrong.
    """
    from hint_plugin.cli.support.dataset_tables import audit_in_words
    from hint_plugin.data.sets import run

    with _Progress("checking") as progress:
        found = run.dataset_check(inputs, leakage=leakage, against=against, report=progress)
    if json_:
        _say(found.as_dict(), "", json_)
    else:
        _say({}, audit_in_words(found.audit, found.respects, show or None), json_)
    if not found.ok:
        raise typer.Exit(EXIT_PROBLEMS)


def _split_in_words(done: Any) -> str:
    total = sum(done.frames.values())
    lines = [
        f"{total} frames in {done.groups} groups by {' and '.join(done.by)}; the largest has {done.largest}"
    ]
    for name, count in done.frames.items():
        if name in done.files:
            lines.append(f"  {name:<6} {count:>8}  {100 * count / total:5.1f} %  {done.files[name]}")
    lines.append("parts share:")
    for respect, pairs in done.overlap.items():
        shown = ", ".join(f"{pair}: {count}" for pair, count in pairs.items()) or "-"
        lines.append(f"  {respect:<10} {shown}")
    return "\n".join(lines)


def _value(choice: Enum | None) -> Any:
    return None if choice is None else choice.value


def _labels_in_words(labels: Mapping[str, int]) -> str:
    """ "energy: 10, forces: 10, Hessian: none": stress only where there is one."""
    names = {"energy": "energy", "forces": "forces", "stress": "stress", "hessian": "Hessian"}
    shown = [name for name in names if name != "stress" or labels.get(name)]
    return ", ".join(f"{names[name]}: {labels.get(name) or 'none'}" for name in shown)


def _names(files: list[str]) -> str:
    return ", ".join(files) if len(files) <= 4 else f"{files[0]} ... {files[-1]} ({len(files)} files)"


def _say(summary: dict[str, Any], words: str, json_: bool) -> None:
    import json

    if json_:
        typer.echo(json.dumps(summary, indent=2))
    elif words:
        typer.echo(words)


class _Progress(StatusLine):
    """Frames and their rate."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self._what, self._start = what, time.monotonic()

    def __call__(self, what: str, done: int) -> None:
        if done % 100 == 0:
            rate = done / (time.monotonic() - self._start)
            self.say(f"{self._what} {what}: {done} frames, {rate:.0f}/s")


if __name__ == "__main__":
    dataset()
