"""Tables of numbers as programs and people write them, line by line; no row is ever dropped in silence.

Read are Fortran's numbers (`1.0d0`, `1.0D-3`, and `1.234-100`, whose letter had no room), commas or spaces
between them, and notes after `#` or `!`, in lines of their own or behind a row. Text may stand before the
first row, and behind the last one where the program is known to write some there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import DataError

_FORTRAN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[dDqQ]([+-]?\d+)|([+-]\d+))")


@dataclass(frozen=True)
class _Line:
    """A line that is not empty: its number from 1, its words, and the numbers they are, None for text."""

    number: int
    text: str
    words: tuple[str, ...]
    values: tuple[float, ...] | None


def number(word: str) -> float:
    """A number as C or Fortran writes it. Raises ValueError."""
    match = _FORTRAN.fullmatch(word)
    return float(f"{match[1]}e{match[2] or match[3]}" if match else word)


def read_numbers(path: Path, text: str, skip: int = 0, tail: bool = False) -> NDArray:
    """[rows, columns]: all rows of a table.

    Args:
        path: for the errors.
        text: of the file.
        skip: so many lines at the start are none of the table.
        tail: text after the last row is the program's own, and not a damaged row.

    Raises:
        DataError: no rows; a row that is no number, or of another length, with the number of its line.
    """
    lines = _lines(text, skip)
    first = next((k for k, line in enumerate(lines) if line.values is not None), None)
    if first is None:
        _no_row(path, [line for line in lines if "*" in line.text])
        raise DataError(
            f"{path}: no line of numbers in it; wanted frequencies and a2F. Is it empty, or truncated?"
        )
    width = len(lines[first].words)
    last = max(k for k, line in enumerate(lines) if line.values is not None)
    _no_row(path, [line for line in lines[:first] if _is_damaged(line, width)])
    _no_row(path, [line for line in lines[first:last] if line.values is None])
    _no_row(path, [line for line in lines[last + 1 :] if not tail or _is_damaged(line, width)])
    rows = [line for line in lines[first : last + 1] if line.values is not None]
    odd = next((k for k, line in enumerate(rows) if len(line.words) != width or width < 2), None)
    if odd is not None:
        raise DataError(
            f"{path}: row {odd + 1} of the table has {len(rows[odd].words)} columns, the first has {width} "
            f"(line {rows[odd].number}); wanted frequencies and a2F, as many columns in every row. Is it "
            "truncated?"
        )
    return np.array([line.values for line in rows], dtype=float)


def _lines(text: str, skip: int) -> list[_Line]:
    found = []
    for place, line in enumerate(text.splitlines(), start=1):
        words = tuple(re.split(r"[#!]", line, maxsplit=1)[0].replace(",", " ").split())
        if place <= skip or not words:
            continue
        try:
            values: tuple[float, ...] | None = tuple(number(word) for word in words)
        except ValueError:
            values = None
        found.append(_Line(place, line.strip(), words, values))
    return found


def _is_damaged(line: _Line, width: int) -> bool:
    """Whether a line of text looks like a row: it begins with a number and is as long, or has Fortran's
    stars."""
    if any(set(word) == {"*"} for word in line.words):
        return True
    try:
        number(line.words[0])
    except ValueError:
        return False
    return len(line.words) == width


def _no_row(path: Path, lines: list[_Line]) -> None:
    if not lines:
        return
    line = lines[0]
    stars = "*" in line.text
    why = (
        "stars are what Fortran prints where a number has no room. Print it with more digits"
        if stars
        else ("where it is a note, begin it with #")
    )
    raise DataError(
        f"{path}, line {line.number}: {line.text[:60]!r} is no row of numbers; {why}"
        + ("" if len(lines) == 1 else f" ({len(lines)} such lines)")
    )
