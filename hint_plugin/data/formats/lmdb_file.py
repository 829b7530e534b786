"""An LMDB file, opened to read, without a lock and without the crash that a truncated one would be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hint_plugin.errors import DataError
from hint_plugin.optional import load


@contextlib.contextmanager
def open_lmdb(path: Path) -> Iterator[Any]:
    """A read transaction of an LMDB file, or of the folder that holds `data.mdb`.

    LMDB maps the file into memory: a page beyond the end of a truncated file kills the process, so the size
    is compared with the number of pages in use first.

    Raises:
        DataError: no LMDB, or truncated.
        MissingDependencyError: lmdb is not installed.
    """
    lmdb = load("lmdb", "formats", f"{path} needs lmdb")
    data = path / "data.mdb" if path.is_dir() else path
    if not data.is_file():
        raise DataError(f"{path}: no such file, or a folder without data.mdb")
    try:
        environment = lmdb.open(
            str(data), subdir=False, readonly=True, lock=False, readahead=False, max_readers=1
        )
    except lmdb.Error as error:
        raise DataError(f"{path}: truncated, or no LMDB file ({error})") from error
    try:
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if data.stat().st_size < needed:
            raise DataError(f"{path}: truncated, {data.stat().st_size} bytes of {needed}. Copy it again")
        with environment.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise DataError(f"{path}: damaged ({error})") from error
    finally:
        environment.close()
