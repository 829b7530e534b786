"""Files of a2F: QE (matdyn.x, lambda.x, alpha2f.x), Elk, EPW, plain tables.

| format | written by | recognised by | unit |
|---|---|---|---|
| `matdyn` | matdyn.x, `a2F.dosN` | "Eliashberg function a2F", "frequencies in Rydberg" | Ry |
| `lambda` | lambda.x, `alpha2F.dat`: a column for each broadening | "# E(THz)" | THz |
| `tetra` | alpha2f.x, `PREFIX.a2F.dat` | "# Frequency[Ry]", or the name | Ry |
| `elk` | Elk, `ALPHA2F.OUT` | the name | Ha |
| `epw` | EPW, `PREFIX.a2f`: a column for each smearing | "w[meV]", "Integrated el-ph coupling" | meV |
| `hint` | `hint tc`, `a2f.csv` | "energy_meV,a2F" | meV |
| `table` | anything | has to be said | has to be given, and the column where there are more than two |

lambda.x's input (`lambda.in`), with the files elph.inp_lambda.N that it names, is read by `qe_couplings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.formats.common import reading
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.superconductivity.energy_units import unit_in_ev
from hint_plugin.science.superconductivity.printed_lambda import check_printed
from hint_plugin.science.superconductivity.spectral import Spectrum
from hint_plugin.science.superconductivity.tables import read_numbers

UNITS = {"matdyn": "Ry", "lambda": "THz", "tetra": "Ry", "elk": "Ha", "epw": "meV", "hint": "meV"}
FORMATS = (*UNITS, "table")
_OTHERS = {
    "epw": "the integral of 2 a2F/w up to each frequency, or of single modes",
    "tetra": "a density of states",
    "hint": "the lambda from below each frequency",
}
"""What the columns after those of a2F hold."""
_INTEGRAL = 0.02  # of the whole: two ways to sum, and few digits in a file


@dataclass(frozen=True)
class A2fFile:
    """A table of a2F, not checked yet.

    Attributes:
        format: one of `FORMATS`.
        unit: of the frequencies in the file.
        energies: [W], eV.
        values: [W], a2F.
        column: which one it is, counted from 1, the frequencies being 1.
        columns: how many hold an a2F.
    """

    format: str
    unit: str
    energies: NDArray
    values: NDArray
    column: int
    columns: int

    def spectrum(self, *, leave_out: bool = False) -> Spectrum:
        """Checked; raises what `Spectrum.from_table` does."""
        return Spectrum.from_table(self.energies, self.values, leave_out=leave_out)


def read_a2f(
    path: Path, format: str | None = None, unit: str | None = None, column: int | None = None
) -> A2fFile:
    """One a2F of a file.

    Args:
        format: one of `FORMATS`; recognised if not given.
        unit: of the frequencies (`units.EV`); only for tables, whose unit nothing tells.
        column: of a2F, counted from 1; 2 if not given and there is no choice.

    Raises:
        DataError: missing, empty, not a table; of an unknown kind; a row that is no number, with its line;
            another lambda than its program has printed (`printed_lambda`).
        OptionsError: a unit for a format that has one, or none for a table; no such column; several and none
            chosen; a column that is an integral of a2F.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; wanted a2F (a2F.dosN, alpha2F.dat, ALPHA2F.OUT, PREFIX.a2f, a table)"
        )
    with reading(path, wanted="a table of a2F as text"):
        text = path.read_text(encoding="utf-8", errors="strict")
    kind = format or recognise(path, text)
    if kind is None:
        if unit is None:
            raise OptionsError(
                f"{path}: nothing says what program wrote it, and what unit its frequencies have. Give "
                f"--unit (meV, THz, cm-1, Ry, Ha, eV, K), or --format ({', '.join(UNITS)})"
            )
        kind = "table"
    if kind not in FORMATS:
        raise OptionsError(f"got the format {kind!r}; wanted one of {', '.join(FORMATS)}")
    if kind == "table" and unit is None:
        raise OptionsError(f"{path}: a plain table says no unit; give --unit (meV, THz, cm-1, Ry, Ha, eV, K)")
    if kind != "table" and unit is not None and unit_in_ev(unit) != unit_in_ev(UNITS[kind]):
        raise OptionsError(
            f"{path} is of the format {kind}, whose frequencies are in {UNITS[kind]}; got --unit {unit}. "
            "Give --format table if it was converted"
        )
    table = read_numbers(path, text, skip=1 if kind == "tetra" else 0, tail=kind in ("epw", "matdyn"))
    known = UNITS.get(kind, unit or "eV")
    count = _a2f_columns(kind, text, table.shape[1])
    chosen = _choose(path, kind, column, count, table.shape[1])
    _check_no_integral(path, table, chosen)
    check_printed(path, kind, text, table, chosen)
    return A2fFile(kind, known, table[:, 0] * unit_in_ev(known), table[:, chosen - 1], chosen, count)


def recognise(path: Path, text: str) -> str | None:
    """The format by the marks that programs leave, or None."""
    head = text[:2000]
    if "Eliashberg function a2F" in head and "Rydberg" in head:
        return "matdyn"
    if re.match(r"\s*#\s*E\(THz\)", head):
        return "lambda"
    if re.match(r"\s*energy_meV,a2F\b", head):
        return "hint"
    if re.match(r"\s*w\[meV\]", head) or "Integrated el-ph coupling" in text:
        return "epw"
    if path.name.upper().startswith("ALPHA2F") and path.suffix.upper() == ".OUT":
        return "elk"
    if re.match(r"\s*#\s*Frequency\[Ry\]", head) or (
        path.name.endswith("a2F.dat") and re.match(r"\s*\d+\s*\n", head)
    ):
        return "tetra"
    return None


def _choose(path: Path, kind: str, column: int | None, count: int, width: int) -> int:
    """The column of a2F, counted from 1; never one of several in silence."""
    if column is None:
        if count == 1:
            return 2
        what = "broadenings" if kind in ("lambda", "epw") else "nothing tells which of them is a2F"
        raise OptionsError(
            f"{path} has a2F in {count} columns ({what}): choose one with --column 2 to {count + 1}"
        )
    if not 2 <= column <= width:
        raise OptionsError(
            f"{path} has {width} columns; got --column {column}; wanted 2 to {width} (1 are the frequencies)"
        )
    if kind in _OTHERS and column > count + 1:
        wanted = "2" if count == 1 else f"2 to {count + 1}"
        raise OptionsError(
            f"{path}: column {column} of the format {kind} is {_OTHERS[kind]}, and no a2F; wanted --column "
            f"{wanted}"
        )
    return column


def _a2f_columns(kind: str, text: str, width: int) -> int:
    """How many columns hold an a2F of their own; what follows them is made of them."""
    if kind in ("lambda", "table"):
        return width - 1
    if kind == "epw":
        head = text[:2000]
        announced = re.search(r"for\s+(\d+)\s+smearing values", head)
        if announced:
            return int(announced[1])
        if "modeproj" in head:
            return 1
        return (width - 1) // 2 if "integrated" in head else width - 1
    return 1


def _check_no_integral(path: Path, table: NDArray, column: int) -> None:
    """Raises OptionsError where a column of a table is lambda(w) = 2 int a2F / w of another column."""
    w, chosen = table[:, 0], table[:, column - 1]
    above = w > 0
    if above.sum() < 3 or not chosen[-1] > 0 or (np.diff(chosen) < -1e-3 * abs(chosen[-1])).any():
        return
    for other in range(1, table.shape[1]):
        if other == column - 1:
            continue
        slopes = 2 * table[above, other] / w[above]
        steps = 0.5 * (slopes[1:] + slopes[:-1]) * np.diff(w[above])
        sums = np.concatenate([[0.0], np.cumsum(steps)]) + chosen[above][0]
        if np.abs(sums - chosen[above]).max() < _INTEGRAL * chosen[-1]:
            raise OptionsError(
                f"{path}: column {column} is the integral of 2 a2F/w of column {other + 1} (the lambda from "
                f"below each frequency), and no a2F; wanted --column {other + 1}, or another one"
            )
