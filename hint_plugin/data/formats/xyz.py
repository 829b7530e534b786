"""Extended XYZ: frames parsed by ASE, boundaries between frames found here.

ASE's own search for frames takes a blank line for the end of the file, so that everything behind one would be
lost without a word. Here blank lines may stand between frames and at the end, and anything else that is not
the number of atoms of a next frame is an error with its line. Files packed by gzip, bzip2 or xz are read too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from ase import Atoms

from hint_plugin.data.file_io import DAMAGED, MARK, bare_name, opened, replacing
from hint_plugin.data.formats import xyz_comment
from hint_plugin.errors import DataError

# what ASE's reader raises on a damaged file, depending on where it breaks off
_READ_ERRORS = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    AssertionError,
    EOFError,
    OSError,  # XYZError is one
)
_VECTORS = 3  # lines "VEC1 x y z" behind the atoms, for the cell, at most


class _Chunk(NamedTuple):
    """The lines of one frame: the number of the first, and whether blank lines precede it."""

    line: int
    text: list[str]
    blank: bool


def read(path: Path) -> Iterator[Atoms]:
    """The frames one by one, with all that `info` and `arrays` hold; labels keep the keys of the file.

    Raises:
        DataError: truncated, or a line where the number of atoms of the next frame is wanted and is not.
    """
    with opened(path) as handle:
        for number, chunk in enumerate(_chunks(handle, path)):
            yield _parsed(chunk, path, number)


def select(path: Path, index: int | slice) -> list[Atoms]:
    """Frames by Python's index or slice; the others are not parsed. An index out of range gives none."""
    wanted = slice(index, index + 1 or None) if isinstance(index, int) else index
    parts = (wanted.start, wanted.stop, wanted.step)
    if any(part is not None and part < 0 for part in parts):
        total = count(path)
        if isinstance(index, int) and index < -total:
            return []
        order = list(range(total))[wanted]
        ascending = _picked(path, order)
        return [ascending[number] for number in order]
    return list(_sliced(path, wanted))


def count(path: Path) -> int:
    """The number of frames, without parsing them.

    Raises:
        DataError: as `read`.
    """
    with opened(path) as handle:
        return sum(1 for _ in _chunks(handle, path))


def check_as_ase_reads(path: Path) -> None:
    """Refuse a file of which ASE's own reader would leave out frames without a word.

    For programs that read a file by ASE and not through HINT: MACE's and NequIP's own data loaders. A file of
    another format is left alone.

    Raises:
        DataError: a blank line stands before a frame, a byte order mark before the first, a comment line
            loses labels, or as `read`.
    """
    if not is_xyz(path):
        return
    way_out = f"rewrite the file: hint dataset convert {path} -o {Path(bare_name(path)).stem}-whole.xyz"
    with opened(path, "rb") as raw:
        if raw.read(len(MARK)) == MARK:
            raise DataError(
                f"{path} begins with a byte order mark, as some editors write it, and this program cannot "
                f"read it. Save the file as UTF-8 without one, or {way_out}"
            )
    with opened(path) as handle:
        for number, chunk in enumerate(_chunks(handle, path)):
            if chunk.blank:
                raise DataError(
                    f"{path}, line {chunk.line - 1}: a blank line stands before frame {number}, and this "
                    f"program would take it for the end of the file. Remove the blank line, or {way_out}"
                )
            _check_comment(chunk, path, number)


def is_xyz(path: Path) -> bool:
    """Whether ASE reads a file as XYZ: .xyz and .extxyz in any case, packed too, and what looks like one."""
    from ase.io.formats import UnknownFileTypeError, filetype

    if bare_name(path).endswith((".xyz", ".extxyz")):
        return True
    try:
        return filetype(str(path), read=True) in ("xyz", "extxyz")
    except (UnknownFileTypeError, OSError, ValueError, EOFError):
        return False


def write(path: Path, frames: Iterable[Atoms]) -> int:
    """Write frames; returns how many.

    Raises:
        DataError: a frame with a key or value that the format cannot hold.
    """
    written = 0
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
        for atoms in frames:
            write_frame(handle, atoms, f"{path}, frame {written}")
            written += 1
        handle.flush()
        os.fsync(handle.fileno())
    return written


def write_frame(handle: IO[str], atoms: Atoms, name: str = "a frame") -> None:
    """Write one frame so that it is read back as it is; `name` is what errors call it.

    Raises:
        DataError: as `write`.
    """
    from ase.io.extxyz import write_extxyz

    try:
        write_extxyz(handle, [xyz_comment.writable(atoms)])
    except (ValueError, TypeError, DataError) as error:
        raise DataError(
            f"{name} ({atoms.get_chemical_formula()}): cannot be written as .xyz ({error})"
        ) from error


def _sliced(path: Path, wanted: slice) -> Iterator[Atoms]:
    with opened(path) as handle:
        numbered = enumerate(_chunks(handle, path))
        for number, chunk in islice(numbered, wanted.start, wanted.stop, wanted.step):
            yield _parsed(chunk, path, number)


def _picked(path: Path, numbers: Iterable[int]) -> dict[int, Atoms]:
    chosen = set(numbers)
    with opened(path) as handle:
        return {
            number: _parsed(chunk, path, number)
            for number, chunk in enumerate(_chunks(handle, path))
            if number in chosen
        }


def _chunks(handle: IO[str], path: Path) -> Iterator[_Chunk]:
    """The frames as lines. Raises DataError where something else than a frame or the end follows."""
    line, frame, blank = 0, 0, False
    try:
        following = handle.readline()
        while following:
            line += 1
            following = following.removeprefix("\ufeff")  # of files that were glued together
            if not following.strip():
                blank, following = True, handle.readline()
                continue
            atoms = _atoms_announced(following, path, line, frame)
            text = [following, *islice(handle, atoms + 1)]
            if len(text) < atoms + 2 and not (atoms == 0 and len(text) == 1):
                raise DataError(
                    f"{path}, frame {frame}: the file ends after {max(0, len(text) - 2)} of {atoms} atoms. "
                    "The file is truncated"
                )
            following = handle.readline()
            while following.lstrip().startswith("VEC") and len(text) < atoms + 2 + _VECTORS:
                text.append(following)
                following = handle.readline()
            yield _Chunk(line, text, blank)
            line, frame, blank = line + len(text) - 1, frame + 1, False
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, frame {frame}: is not text in UTF-8 ({error})") from error
    except DAMAGED as error:
        raise DataError(
            f"{path}, frame {frame}: cannot be read on ({error}). Is the file truncated?"
        ) from error


def _atoms_announced(text: str, path: Path, line: int, frame: int) -> int:
    try:
        atoms = int(text)
    except ValueError:
        atoms = -1
    if atoms < 0:
        raise DataError(
            f"{path}: cannot read frame {frame} as extended XYZ: line {line} is {text.strip()[:60]!r}; "
            "wanted the number of atoms of the next frame. Is the file truncated or glued together, or of "
            "another format?"
        )
    return atoms


def _check_comment(chunk: _Chunk, path: Path, number: int) -> None:
    try:
        xyz_comment.check(chunk.text[1] if len(chunk.text) > 1 else "")
    except ValueError as error:
        raise DataError(f"{path}, frame {number}, line {chunk.line + 1}: {error}") from error


def _parsed(chunk: _Chunk, path: Path, number: int) -> Atoms:
    from ase.io.extxyz import read_extxyz  # ase.io is slow to import, and workers that label need none of it

    _check_comment(chunk, path, number)
    try:
        return next(read_extxyz(StringIO("".join(chunk.text)), 0))
    except (*_READ_ERRORS, StopIteration) as error:
        raise DataError(
            f"{path}: cannot read frame {number}, from line {chunk.line} on, as extended XYZ "
            f"({type(error).__name__}: {error}). Is the file truncated, or of another format?"
        ) from error
