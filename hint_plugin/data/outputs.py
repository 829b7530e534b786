"""Outputs of runs: whether they can be written, and what files of frames have beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from hint_plugin.data.file_io import write_json
from hint_plugin.data.formats import for_writing
from hint_plugin.errors import OptionsError


@overload
def as_path(name: str | Path) -> Path: ...
@overload
def as_path(name: str | Path | None) -> Path | None: ...
def as_path(name: str | Path | None) -> Path | None:
    """A name as it may be given in Python; None stays."""
    return None if name is None else Path(name)


def can_be_written(output: Path | None) -> Path | None:
    """`output`, unless nothing can be written there; makes nothing.

    Raises:
        OptionsError: a folder on the way is a file, or does not let this user write.
    """
    if output is None:
        return None
    place = output
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if place != output and not place.is_dir():
        raise OptionsError(f"{output} cannot be written: {place} is a file. Choose another name")
    if not os.access(place, os.W_OK):
        raise OptionsError(f"{output} cannot be written: no permission for {place}. Choose another name")
    return output


def a_folder(output: Path | None) -> Path | None:
    """`can_be_written`, for folders. Raises OptionsError for a file, too."""
    if output is not None and output.exists() and not output.is_dir():
        raise OptionsError(f"{output} is a file; wanted the name of a folder. Choose another name")
    return can_be_written(output)


def a_file(output: Path | None) -> Path | None:
    """`can_be_written`, for files. Raises OptionsError for a folder, too."""
    if output is not None and output.is_dir():
        raise OptionsError(f"{output} is a folder; wanted the name of a file. Choose another name")
    return can_be_written(output)


def check_file(output: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuse the name of a new file of frames before the work.

    Raises:
        DataError: a suffix of no known format.
        OptionsError: its folder is not there, or it is an input.
    """
    for_writing(output)
    if not output.resolve().parent.is_dir():
        raise OptionsError(f"{output}: the folder {output.parent} does not exist. Make it first")
    if output.exists() and any(path.samefile(output) for path in inputs):
        raise OptionsError(f"{output} is input and output. Choose another output")


def record(output: Path, verb: str, content: Mapping[str, Any]) -> Path:
    """Write what a verb has done, with its provenance: NAME.json beside a file, VERB.json in a folder."""
    path = output / f"{verb}.json" if output.is_dir() else output.with_name(f"{output.name}.json")
    write_json(path, content)
    return path
