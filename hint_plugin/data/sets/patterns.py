"""Patterns of file names (`'runs/*.out'`) as lists of files, and what is said where there are none.

A shell expands a pattern unless it is quoted, or too long for it, or matches nothing; then it arrives here.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hint_plugin.data.formats import is_there
from hint_plugin.errors import DataError, OptionsError

NAMED = 6
"""Files of a folder that an error names, at most."""


def natural(path: str | Path) -> list[tuple[int, int | str]]:
    """A key for sorting: numbers in names by their value, so that frame2 comes before frame10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def is_pattern(path: str | Path) -> bool:
    """Whether it has `*`, `?` or `[...]`, and is not the name of a file that exists."""
    return glob.has_magic(str(path)) and not os.path.lexists(path)


def matching(pattern: str | Path) -> list[Path]:
    """The files and folders of a pattern, in natural order; `**` stands for folders of any depth.

    Brackets are those of names where such files are there: `a[1]-*.h5` means the shards of `a[1].h5`.

    Raises:
        DataError: there is none, or files of both readings are there.
    """
    found = [Path(name) for name in glob.glob(str(pattern), recursive=True)]
    named = [Path(name) for name in glob.glob(str(pattern).replace("[", "[[]"), recursive=True)]
    if found and named and set(found) != set(named):
        raise DataError(
            f"{pattern}: brackets of a pattern, as in {found[0]}, or of names, as in {named[0]}? Name the "
            "files one by one"
        )
    found = found or named
    if not found:
        raise DataError(f"{pattern}: no file matches this pattern. {_what_is_there(Path(pattern))}")
    return sorted(found, key=natural)


def expand(paths: Iterable[str | Path]) -> list[Path]:
    """All files that are meant: patterns become what they match, other names have to exist.

    Raises:
        DataError: a pattern matches nothing, or a file is not there; with what there is in its folder.
    """
    found: list[Path] = []
    for path in paths:
        if is_pattern(path):
            found += matching(path)
        elif not is_there(path):
            raise DataError(f"{path}: no such file. {_what_is_there(Path(path))}")
        else:
            found.append(Path(path))
    return found


def each_once(paths: Sequence[str | Path], only_this_file: bool = False) -> None:
    """Refuse a file that is given twice, be it by another name, by a pattern, or as a part of the same set.

    Args:
        paths: names that are meant one by one; patterns stand for their files.
        only_this_file: files of one set of dynamical matrices count as different.

    Raises:
        OptionsError: with both names.
    """
    seen: dict[Path, str | Path] = {}
    for path in paths:
        for file in matching(path) if is_pattern(path) else [Path(path)]:
            place = _what_is_read(file, only_this_file)
            if place in seen:
                also = "" if str(seen[place]) == str(path) else f", also as {seen[place]}"
                raise OptionsError(f"{path}: given twice{also}; its frames would count twice")
            seen[place] = path


def _what_is_read(path: Path, only_this_file: bool) -> Path:
    """The file itself; of a set of dynamical matrices, its first file."""
    from hint_plugin.data.formats.qe_set import dyn_set, is_dyn

    if not only_this_file and is_dyn(path):
        with contextlib.suppress(DataError):  # the reader says what is wrong with the set
            return dyn_set(path).all_files[0].resolve()
    return path.resolve()


def _what_is_there(path: Path) -> str:
    """The names in the folder where `path` was looked for, those with its suffix first."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    names = [entry.name + "/" * entry.is_dir() for entry in folder.iterdir() if entry.name[0] != "."]
    names.sort(key=lambda name: (Path(name).suffix != path.suffix, natural(name)))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"In {folder.resolve()}: {', '.join(names[:NAMED]) or 'nothing'}{more}"
