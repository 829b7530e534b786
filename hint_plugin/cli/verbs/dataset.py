"""`hint dataset convert|merge|split|stats|check`: what a set of frames needs before it trains."""

import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_PROBLEMS
from hint_plugin.cli.support.outputs import a_file, a_folder, can_be_written
from hint_plugin.cli.support.progress import StatusLine
from hint_plugin.errors import DataError, OptionsError

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
    list[Path], typer.Argument(metavar="IN...", help="Files, folders of shards, or patterns as 'set-*.h5'.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
HessianDtype = Annotated[
    Precision | None, typer.Option(help="Of Hessians and products in stores; float32 halves them.")
]
Packing = Annotated[Compression | None, typer.Option(help="Of stores.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all random choices.")]


@dataset.command()
def convert(
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", callback=can_be_written, help="The new file; with shards, or a folder."
        ),
    ],
    source_format: Annotated[
        str | None, typer.Option("--from", help="Format of IN, where its name and content do not tell.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="Of that format, such as split=test; docs/formats.md lists them.", metavar="KEY=VALUE"
        ),
    ] = None,
    only_this_file: Annotated[
        bool, typer.Option("--only-this-file", help="Of a set of dynamical matrices, not the whole set.")
    ] = False,
    to: Annotated[
        str | None, typer.Option(help="Format of OUT, where its name does not tell: deepmd, phonopy.")
    ] = None,
    hessian_dtype: HessianDtype = None,
    compression: Packing = None,
    frames_per_shard: Annotated[
        int | None, typer.Option(min=1, help="Write shards: set.h5 becomes set-00000.h5, ...")
    ] = None,
    project: Annotated[
        int | None, typer.Option(min=1, help="Full labels become K pairs (v, Hv).", metavar="K")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json_: Json = False,
) -> None:
    """Write frames of any format as extxyz, as a store (HDF5, whole or in shards), or for another program."""
    from hint_plugin.cli.support.provenance import say_what_is_read
    from hint_plugin.data.sets.conversion import convert as run

    inputs = _files(inputs, output)
    if frames_per_shard is None:
        _refuse(output, overwrite)
    elif output.suffix.lower() in (".xyz", ".extxyz"):
        raise OptionsError(f"{output}: shards are stores. Name a folder, or a file that ends in .h5")
    with _Progress("converting") as progress:
        done = run(
            inputs,
            output,
            source_format=source_format,
            source_options=_pairs(option or []) | ({"only_this_file": True} if only_this_file else {}),
            format=to,
            project=project,
            seed=seed,
            frames_per_shard=frames_per_shard,
            report=progress,
            **_store_options(output, hessian_dtype, compression, shards=frames_per_shard is not None),
        )
    if source_format is None:
        say_what_is_read(inputs, only_this_file, json_)
    words = f"{done.frames} frames, {done.bytes / 1e6:.1f} MB; frames with {_labels_in_words(done.labels)}"
    if done.renamed:
        words += f"; energy, forces and stress of {done.renamed} renamed from ASE's names to REF_..."
    if project is not None:
        words += f"; {done.projected} labels projected onto {project} probes"
    words += "".join(f"\nremark: {text}" for text in filter(None, [done.mixture, *done.near_misses]))
    summary = {
        "frames": done.frames,
        "inputs": done.inputs,
        "files": done.files,
        "bytes": done.bytes,
        "projected": done.projected,
        "renamed": done.renamed,
        "mixture": done.mixture,
        "labels": dict(done.labels),
        "near_misses": done.near_misses,
    }
    _record(output, "convert", summary, inputs, inputs if only_this_file else [])
    _say(summary, f"{words}\nwritten to {_names(done.files)}", json_)


@dataset.command()
def merge(
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", callback=a_file, help="The new file: a store, .h5, or text, .xyz."),
    ],
    hessian_dtype: HessianDtype = None,
    compression: Packing = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Join labels of several methods all the same.")
    ] = False,
    overwrite: Overwrite = False,
    json_: Json = False,
) -> None:
    """Join files into one, in order; stores of the same settings without unpacking them."""
    from hint_plugin.data import merge as run
    from hint_plugin.data.sets.frames import file_kind

    if file_kind(output) not in ("hdf5", "extxyz"):
        raise OptionsError(
            f"{output}: merge writes a store, .h5, or text, .xyz. For another format join the files to "
            f"joined.h5 first, and then: hint dataset convert joined.h5 -o {output}"
        )
    inputs = _files(inputs, output)
    _refuse(output, overwrite)
    with _Progress("merging") as progress:
        options = _store_options(output, hessian_dtype, compression)
        counts = run(inputs, output, progress, mixed=mixed, **options)
    total, size = sum(counts.values()), output.stat().st_size
    lines = [f"{count:>10}  {name}" for name, count in counts.items()]
    summary = {"frames": total, "inputs": counts, "files": [str(output)], "bytes": size}
    _record(output, "merge", summary, inputs)
    _say(
        summary, "\n".join([*lines, f"{total:>10}  frames, {size / 1e6:.1f} MB, written to {output}"]), json_
    )


@dataset.command()
def split(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file, folder of shards, or pattern.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", callback=can_be_written, help="The folder of the parts."),
    ],
    fractions: Annotated[
        tuple[float, float, float],
        typer.Option(help="Of train, valid and test; 0 leaves one out."),
    ] = (0.8, 0.1, 0.1),
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="What no two parts share: formula, molecule, structure, reaction or another key of info; "
            "frame for nothing. Repeat it for several.",
        ),
    ] = None,
    shards: Annotated[int | None, typer.Option(min=1, help="Cut into N shards in place of parts.")] = None,
    frames_per_shard: Annotated[
        int | None, typer.Option(min=1, help="Cut into shards of this size in place of parts.")
    ] = None,
    to: Annotated[Format | None, typer.Option(help="Format of the parts; by default that of IN.")] = None,
    hessian_dtype: HessianDtype = None,
    compression: Packing = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Split a set into train, valid and test without leakage, or cut it into shards."""
    from hint_plugin.data.stores.hdf5 import SUFFIXES
    from hint_plugin.data.stores.shards import is_sharded

    is_cut = shards is not None or frames_per_shard is not None
    if not is_cut or output.suffix.lower() not in SUFFIXES:
        a_folder(output)
    if is_cut:
        if by or (shards is not None and frames_per_shard is not None):
            raise OptionsError("one of --by, --shards and --frames-per-shard; wanted only one of them")
        options = _store_options(output, hessian_dtype, compression, shards=True)
        _cut(source, output, shards, frames_per_shard, options, json_)
        return
    from hint_plugin.data.sets.splits import split as run

    was_store = is_sharded(source) or source.suffix.lower() in SUFFIXES
    suffix = ".h5" if to is Format.hdf5 or (to is None and was_store) else ".xyz"
    with _Progress("splitting") as progress:
        done = run(
            source,
            output,
            fractions=fractions,
            by=by or ["formula"],
            seed=seed,
            suffix=suffix,
            report=progress,
            **_store_options(Path(f"part{suffix}"), hessian_dtype, compression),
        )
    summary = {
        "by": list(done.by),
        "groups": done.groups,
        "largest_group": done.largest,
        "frames": dict(done.frames),
        "overlap": {respect: dict(pairs) for respect, pairs in done.overlap.items()},
        "files": dict(done.files),
    }
    _record(output, "split", summary, [source])
    _say(summary, "" if json_ else _split_in_words(done), json_)


@dataset.command()
def stats(
    inputs: Inputs,
    plots: Annotated[
        Path | None,
        typer.Option(callback=a_folder, help="A folder for histograms (PNG) and stats.json."),
    ] = None,
    mace_statistics: Annotated[
        Path | None,
        typer.Option(
            callback=a_file, help="Write what mace_run_train --statistics_file reads.", metavar="JSON"
        ),
    ] = None,
    r_max: Annotated[
        float, typer.Option("--r-max", help="Cutoff of the model, A, for --mace-statistics.")
    ] = 5.0,
    json_: Json = False,
) -> None:
    """Sizes, elements, labels, energies, forces, Hessians, noise, distances."""
    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.data import iter_frames
    from hint_plugin.data.outputs import record
    from hint_plugin.data.sets.patterns import each_once, expand
    from hint_plugin.data.sets.statistics import gather

    inputs = expand(inputs)
    each_once(inputs)
    for_mace: Any = None
    if mace_statistics is not None:
        from hint_plugin.mace.statistics_file import MaceStatistics

        for_mace = MaceStatistics(r_max)
    if plots is not None:
        from hint_plugin.data.sets.statistics_plots import plot_statistics, prepare

        prepare(plots)

    def frames() -> Any:
        total = 0
        for path in inputs:
            for atoms in iter_frames(path):
                total += 1
                progress(str(path), total)
                if for_mace is not None:
                    for_mace.add(atoms)
                yield atoms

    with _Progress("reading") as progress:
        found = gather(frames())
    summary = found.to_dict() | {"inputs": [str(path) for path in inputs]}
    if not summary["frames"]:
        raise DataError(f"{', '.join(map(str, inputs))}: no frames")
    words = ""
    if mace_statistics is not None:
        summary["mace_statistics"] = for_mace.write(mace_statistics)
        words = f"written: {mace_statistics}, for a cutoff of {r_max:g} A"
    if json_ or plots is not None or mace_statistics is not None:  # hashes take time
        summary["provenance"] = run_provenance(inputs)
    if mace_statistics is not None:
        record(mace_statistics, "stats", summary)
    if plots is not None:  # the numbers first: a picture may fail
        record(plots, "stats", summary)
        summary["plots"] = [str(path) for path in plot_statistics(found, plots)]
        record(plots, "stats", summary)
        words = "\n".join(filter(None, [f"plots: {_names(summary['plots']) or 'none could be made'}", words]))
    if not json_:
        from hint_plugin.cli.support.dataset_tables import print_statistics

        print_statistics(summary)
    if json_ or words:
        _say(summary, words, json_)


@dataset.command()
def check(
    inputs: Inputs,
    leakage: Annotated[
        bool, typer.Option("--leakage", help="Compare the files: shared formulas, molecules, structures.")
    ] = False,
    against: Annotated[
        str,
        typer.Option(
            help="Which of these count as leakage: formula, molecule, structure, reaction.", metavar="LIST"
        ),
    ] = "structure",
    show: Annotated[int, typer.Option(min=0, help="Lines of each kind to print; 0 for all.")] = 50,
    json_: Json = False,
) -> None:
    """Find all that is wrong with files: labels, damage, duplicates, leakage between them.

    Exit status: 0 nothing is wrong, 1 something is, 2 the command itself is wrong.
    """
    from hint_plugin.cli.support.dataset_tables import audit_in_words
    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.data.sets.audit import LEAKAGE, audit
    from hint_plugin.data.sets.patterns import each_once, expand

    each_once(expand(inputs))  # what is not there is an error of the command, not of the data
    respects = [name for name in against.replace(",", " ").split() if name]
    if unknown := set(respects) - set(LEAKAGE):
        raise OptionsError(f"--against {sorted(unknown)[0]}: wanted some of {', '.join(LEAKAGE)}")
    if leakage and len(inputs) < 2:
        raise OptionsError("--leakage compares files: give two or more")
    with _Progress("checking") as progress:
        found = audit(inputs, leakage=leakage, report=progress)
    leaks = {
        respect: {pair: count for pair, count in found.leakage.get(respect, {}).items() if count}
        for respect in respects
    }
    wrong = bool(found.problems or found.duplicates or any(leaks.values()))
    summary = {
        "ok": not wrong,
        "files": found.files,
        "labels": found.labels,
        "ase_names": found.ase_names,
        "problems": [vars(problem) for problem in found.problems],
        "remarks": [vars(remark) for remark in found.remarks],
        "mixtures": found.mixtures,
        "duplicates": [
            {"file": a, "frame": i, "first_file": b, "first_frame": j} for a, i, b, j in found.duplicates
        ],
        "leakage": found.leakage,
        "untested": [
            {"test": test, "reason": reason, "labels": count}
            for (test, reason), count in found.untested.items()
        ],
    }
    if json_:
        summary["provenance"] = run_provenance(inputs)
    _say(summary, "" if json_ else audit_in_words(found, respects, show or None), json_)
    if wrong:
        raise typer.Exit(EXIT_PROBLEMS)


def _cut(
    source: Path, output: Path, shards: int | None, size: int | None, options: dict[str, Any], json_: bool
) -> None:
    from hint_plugin.data import iter_frames, write_shards

    total = sum(1 for _ in iter_frames(source)) if shards is not None else 0
    if shards is not None and shards > total:
        raise OptionsError(f"{source} has {total} frames: too few for {shards} shards")
    sizes: Any = (
        size if shards is None else [total // shards + (number < total % shards) for number in range(shards)]
    )

    def frames() -> Any:
        for number, atoms in enumerate(iter_frames(source)):
            progress("", number + 1)
            yield atoms

    with _Progress("cutting") as progress:
        files = [str(path) for path in write_shards(output, frames(), frames_per_shard=sizes, **options)]
    summary = {"frames": progress.done, "files": files}
    _record(output, "split", summary, [source])
    _say(summary, f"{progress.done} frames in {len(files)} shards\nwritten to {_names(files)}", json_)


def _split_in_words(done: Any) -> str:
    total = sum(done.frames.values())
    lines = [
        f"{total} frames in {done.groups} groups by {' and '.join(done.by)}, the largest has {done.largest}"
    ]
    for name, count in done.frames.items():
        if name in done.files:
            lines.append(f"  {name:<6} {count:>8}  {100 * count / total:5.1f} %  {done.files[name]}")
    lines.append("in common:")
    for respect, pairs in done.overlap.items():
        shown = ", ".join(f"{pair}: {count}" for pair, count in pairs.items()) or "-"
        lines.append(f"  {respect:<10} {shown}")
    return "\n".join(lines)


def _refuse(output: Path, overwrite: bool) -> None:
    if output.exists() and not overwrite:
        raise OptionsError(f"{output} exists. Choose another name, or replace it with --overwrite")


def _files(inputs: list[Path], output: Path) -> list[Path]:
    """The inputs, patterns expanded. Raises OptionsError if a pattern has the output among them."""
    from hint_plugin.data.sets.patterns import expand

    found = expand(inputs)
    if output not in inputs and output.exists() and any(path.samefile(output) for path in found):
        raise OptionsError(f"{output} is output, and one of the files that a pattern matches. Name it apart")
    return found


def _record(
    output: Path, verb: str, summary: dict[str, Any], inputs: list[Path], alone: Sequence[Path] = ()
) -> None:
    """Add the provenance, and keep all beside the output."""
    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.data.outputs import record

    summary["provenance"] = run_provenance(inputs, alone=alone)
    record(output, verb, summary)


def _store_options(
    output: Path, hessian_dtype: Precision | None, compression: Compression | None, shards: bool = False
) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if hessian_dtype is not None:
        options["hessian_dtype"] = hessian_dtype.value
    if compression is not None:
        options["compression"] = None if compression is Compression.none else compression.value
    from hint_plugin.data.stores.hdf5 import SUFFIXES

    if options and not shards and output.suffix.lower() not in SUFFIXES:
        raise OptionsError(f"{output}: --hessian-dtype and --compression are of stores, .h5. Leave them out")
    return options


def _pairs(options: list[str]) -> dict[str, Any]:
    """["split=test", "full=true"] -> values as YAML has them, as far as Python's literals go."""
    import ast
    import contextlib

    found: dict[str, Any] = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise OptionsError(f"--option {text}: wanted KEY=VALUE")
        found[name] = {"true": True, "false": False}.get(value.lower(), value)
        with contextlib.suppress(ValueError, SyntaxError):
            found[name] = ast.literal_eval(value)
    return found


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
        self._what, self._start, self.done = what, time.monotonic(), 0

    def __call__(self, what: str, done: int) -> None:
        self.done = done
        if done % 100 == 0:
            rate = done / (time.monotonic() - self._start)
            self.say(f"{self._what} {what}: {done} frames, {rate:.0f}/s")


if __name__ == "__main__":
    dataset()
