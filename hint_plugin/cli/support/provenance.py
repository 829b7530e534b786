"""Where the results of a run come from: the command, versions, the date, hashes of what went in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

_arguments: list[str] = []


def remember(arguments: Sequence[str]) -> None:
    """Told by `hint_plugin.cli.app.main` what follows `hint` on the command line."""
    _arguments[:] = arguments


def run_provenance(
    inputs: Iterable[Path],
    model: Path | None = None,
    calculator: Any = None,
    alone: Collection[Path] = (),
    **about: Any,
) -> dict[str, Any]:
    """`data.provenance` of a verb, with the command and the engine. It goes into the results' JSON.

    Args:
        inputs: files, patterns of files; folders (one hash for all that is in them); dynamical matrices by
            one of their names.
        model: the file behind `--model`.
        calculator: what `make_calculator` has returned; its engine says what it is.
        alone: inputs that stand for themselves, not for the set that they are part of.
        about: is added as it is.
    """
    from hint_plugin.data.formats import files_read
    from hint_plugin.data.provenance import provenance
    from hint_plugin.data.sets.patterns import is_pattern, matching

    given = [file for path in inputs for file in (matching(path) if is_pattern(path) else [path])]
    files = [
        file
        for path in given
        if not path.is_dir()
        for file in ([path] if path in alone else files_read(path))
    ]
    files = [file for file in files if file.is_file()]  # what is missing is an error of the reader
    found: dict[str, Any] = {"command": shlex.join(["hint", *_arguments])}
    found |= provenance(model if model is not None and model.is_file() else None, files)
    found["data"] += [_folder(path) for path in given if path.is_dir()]
    engine = getattr(calculator, "engine", None)
    if engine is not None:
        found["engine"] = json.loads(json.dumps(engine.provenance(), default=str))
    return found | about


def say_what_is_read(paths: Iterable[Path], only_this_file: bool = False, quiet: bool = False) -> None:
    """Print which files a name stands for, where it stands for several; to stderr where `quiet`."""
    import typer

    from hint_plugin.data.formats import read_in_words

    for path in paths:
        if text := read_in_words(path, only_this_file):
            typer.echo(text, err=quiet)


def _folder(path: Path) -> dict[str, Any]:
    """The hash of the lines `sha256  name` of all files, sorted by name."""
    import hashlib

    from hint_plugin.data.file_io import file_sha256

    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = "".join(f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    return {"path": str(path), "files": len(files), "sha256": hashlib.sha256(lines.encode()).hexdigest()}
