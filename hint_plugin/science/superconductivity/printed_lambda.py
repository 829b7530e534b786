"""A table of a2F against the lambda that its program prints: rows that are missing change the integral.

| format | where lambda is | what it is |
|---|---|---|
| `matdyn` | last line, "lambda = ..." | 2 sum a2F/w dw over all rows, negative frequencies too |
| `epw` | behind "Integrated el-ph coupling" | the same, of each smearing |
| `lambda` | `lambda.dat` beside the file, "int alpha2F" | the same, of each broadening |

matdyn.x and EPW write theirs behind the table, always: a file that ends before is truncated.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import DataError
from hint_plugin.science.superconductivity.tables import number

WITHIN = 0.02
"""Relative: two ways to sum, and few digits in a file."""
_DIGITS = 1e-3
"""Absolute: lambda.dat has a few digits, and a2F five."""


def check_printed(path: Path, kind: str, text: str, table: NDArray, column: int) -> None:
    """Compare the integral of a table with the lambda of its program, where that prints one.

    Args:
        path: of the table.
        kind: its format.
        text: of the file.
        table: [W, columns], frequencies first, in any unit.
        column: the chosen one, from 1.

    Raises:
        DataError: they differ by more than `WITHIN`; or the program's closing lines are missing.
    """
    printed: float | None
    if kind == "matdyn":
        printed, column = _of_matdyn(path, text), 2  # the columns behind it are those of the modes
    elif kind == "epw":
        printed = _of_epw(path, text, column)
    elif kind == "lambda":
        printed = _beside(path, text, column)
    else:
        return
    if printed is None or not np.isfinite(printed):
        return
    found = integral(table[:, 0], table[:, column - 1])
    if abs(found - printed) > max(WITHIN * abs(printed), _DIGITS):
        raise DataError(
            f"{path}: the integral of 2 a2F/w is {found:.4f}, and the program has printed lambda = "
            f"{printed:.4f} for it. Are rows missing, or of another run? (--format table reads the rows as "
            "they are)"
        )


def integral(w: NDArray, a2f: NDArray) -> float:
    """2 sum a2F/w dw over all rows but w = 0, imaginary (negative) frequencies included, as programs sum."""
    steps = 0.5 * (np.append(np.diff(w), 0.0) + np.insert(np.diff(w), 0, 0.0))
    rest = w != 0
    return float(2 * (a2f[rest] / w[rest] * steps[rest]).sum())


def _of_matdyn(path: Path, text: str) -> float:
    found = re.search(r"^\s*lambda\s*=\s*(\S+)", text, re.MULTILINE)
    if found is None:
        raise _truncated(path, "matdyn.x", "lambda = ...")
    return _value(path, found[1])


def _of_epw(path: Path, text: str, column: int) -> float | None:
    if "modeproj" in text[:2000]:
        return None
    _, mark, behind = text.partition("Integrated el-ph coupling")
    if not mark:
        raise _truncated(path, "EPW", "Integrated el-ph coupling")
    values: list[float] = []
    for line in behind.splitlines()[1:]:
        if not line.lstrip().startswith("#") and values:
            break
        values += [_value(path, word) for word in line.replace("#", " ").split()]
    return values[column - 2] if column - 2 < len(values) else None


def _beside(path: Path, text: str, column: int) -> float | None:
    """Of lambda.dat, which lambda.x writes in the same run; None where it is not there, or of others."""
    table = path.with_name("lambda.dat")
    if not table.is_file():
        return None
    head = text.lstrip().splitlines()[0].partition(")")[2].split()
    lines = [line.split() for line in table.read_text(errors="replace").splitlines()]
    if not lines or lines[0][:4] != ["#", "degauss", "lambda", "int"] or len(head) < column - 1:
        return None
    wanted = _value(path, head[column - 2])
    for words in lines[1:]:
        if len(words) > 2 and abs(_value(table, words[0]) - wanted) < 1e-6:
            return _value(table, words[2])
    return None


def _value(path: Path, word: str) -> float:
    try:
        return number(word)
    except ValueError as error:
        raise DataError(f"{path}: {word!r} where lambda is wanted") from error


def _truncated(path: Path, program: str, line: str) -> DataError:
    return DataError(
        f"{path} ends without the line {line!r} that {program} writes behind its table: it is truncated. "
        "Copy the whole file (--format table with --unit and --column reads the rows as they are)"
    )
