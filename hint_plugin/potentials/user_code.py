"""Code and files of a user that numbers depend on, by their hashes: names alone do not say what was run.

Packages that are installed tell their version; the source of a module that lies somewhere else, and files
that arguments name, may be edited between two runs. Of code the module of a class or function counts, not
what it imports.
"""

from __future__ import annotations

import hashlib
import inspect
import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import Any

from hint_plugin.data.file_io import file_sha256

_DIGITS = 16


def code_of(*owners: Any) -> str | None:
    """A hash of the source files of modules, classes or functions; None where all are of installed packages,
    or have no source."""
    paths = sorted({path for owner in owners if (path := _source(owner)) is not None})
    if not paths:
        return None
    digests = [_hash(path) for path in paths]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:_DIGITS]


def files_in(arguments: Any) -> str | None:
    """ "model.pt 0123456789abcdef, ..." of the files that arguments name, however nested; None if none."""
    found = dict.fromkeys(f"{path.name} {_hash(path)}" for path in _files(arguments))
    return ", ".join(found) or None


def _source(owner: Any) -> Path | None:
    try:
        name = inspect.getsourcefile(owner)
    except TypeError:  # built in, or an object of another kind
        return None
    path = None if name is None else Path(name).resolve()
    return path if path is not None and path.is_file() and not _is_installed(path) else None


def _is_installed(path: Path) -> bool:
    known = sysconfig.get_paths()
    places = [Path(known[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    places.append(Path(__file__).resolve().parents[1])  # HINT itself, wherever it is
    return any(place in path.parents for place in places) or "dist-packages" in path.parts


def _files(value: Any) -> list[Path]:
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [path for item in value for path in _files(item)]
    if not isinstance(value, str | Path) or not str(value) or len(str(value)) > 4096:
        return []
    try:
        path = Path(value)
        return [path] if path.is_file() else []
    except (OSError, ValueError):  # a text that is no path
        return []


def _hash(path: Path) -> str:
    state = path.stat()
    return _hash_of(path.resolve(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _hash_of(path: Path, changed: int, size: int) -> str:
    return file_sha256(path)[:_DIGITS]
