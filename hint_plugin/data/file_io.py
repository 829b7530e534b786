"""What every reader and writer needs: whole files or none, JSON, CSV, and the hash of a file."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from hint_plugin.errors import DataError

PACKED: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
"""Suffixes of packed files, and what opens them."""
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading raises where a packed file is damaged or truncated."""


MARK = codecs.BOM_UTF8
"""The byte order mark that some editors put before a text in UTF-8. It is no part of the text."""


def opened(path: Path, mode: str = "rt", errors: str = "strict") -> IO[Any]:
    """A file for reading, unpacked on the way where its suffix is one of `PACKED`.

    Text is UTF-8, a byte order mark before it is left out, and `errors` says what becomes of other bytes.
    """
    how = {} if "b" in mode else {"encoding": "utf-8-sig", "errors": errors}
    handle: IO[Any] = PACKED.get(path.suffix.lower(), open)(path, mode, **how)
    return handle


def text_of(path: Path, errors: str = "strict") -> str:
    """The text of a file, as `opened` reads it."""
    with opened(path, errors=errors) as handle:
        return str(handle.read())


@contextlib.contextmanager
def without_mark(path: Path) -> Iterator[Path]:
    """`path`, for readers of others that open it themselves; of a text that begins with a byte order mark, a
    copy without it under the same name, which is gone at the end of the block."""
    try:
        with opened(path, "rb") as handle:
            has_mark = handle.read(len(MARK)) == MARK
    except DAMAGED:  # the reader says what is wrong
        has_mark = False
    if not has_mark:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="hint-text-") as folder:
        copy = Path(folder) / (path.stem if path.suffix.lower() in PACKED else path.name)
        with opened(path, "rb") as source, open(copy, "wb") as target:
            source.read(len(MARK))
            shutil.copyfileobj(source, target)
        yield copy


def bare_name(path: Path) -> str:
    """The name without the suffix of packing, in lower case: what tells the format of the content."""
    is_packed = path.suffix.lower() in PACKED
    return (path.stem if is_packed else path.name).lower()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end; removed if an error comes first."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any, **options: Any) -> None:
    """`content` as JSON, whole or not at all; `options` of `json.dumps`, indented by 2 unless they say."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, **{"indent": 2, **options}) + "\n", encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """A table as CSV, whole or not at all: `columns`, or those of the first row; floats to 12 digits."""
    names = list(columns or rows[0])
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(names)
        for row in rows:
            cells = (row.get(name) for name in names)
            writer.writerow([f"{cell:.12g}" if isinstance(cell, float) else cell for cell in cells])


def remove_earlier(
    folder: Path, results: str, own: Sequence[str], written: Sequence[str], inputs: Iterable[str | Path] = ()
) -> None:
    """Remove what an earlier run has left in its folder, and the one that writes now does not write anew:
    two files of one folder are of one run.

    Nothing is removed where the JSON of an earlier run is not there: then no run has been here, and the files
    are somebody's own.

    Args:
        folder: of the results.
        results: name of the JSON that every run of this kind writes there.
        own: regular expressions of the files, within the folder, that runs of this kind write.
        written: names of those of them that stay, since this run has written them already.
        inputs: files that this run has read; they stay.
    """
    if not (folder / results).is_file():
        return
    kept = {Path(path).resolve() for path in inputs}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        name = path.relative_to(folder).as_posix()
        is_own = any(re.fullmatch(pattern, name) for pattern in own)
        if is_own and name not in written and path.is_file() and path.resolve() not in kept:
            path.unlink()


def files_of(provenance: Mapping[str, Any]) -> list[str]:
    """The paths of all inputs that a `provenance` names."""
    return [one["path"] for one in provenance.get("data", [])]


def file_sha256(path: Path) -> str:
    """Hex digest of a file, read in blocks.

    Raises:
        DataError: it is a folder.
    """
    if path.is_dir():
        raise DataError(
            f"{path}: a folder; wanted a file. Make one of it: hint dataset convert {path} -o set.h5"
        )
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
