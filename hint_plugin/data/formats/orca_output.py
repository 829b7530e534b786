"""The output of ORCA (4 to 6): geometries with their energies and gradients, in the order of the file.

Read here and not by cclib, whose release 1.8 stops at outputs of ORCA 6. Blocks: CARTESIAN COORDINATES
(ANGSTROEM) begins a step; FINAL SINGLE POINT ENERGY (hartree, with dispersion and all corrections) and
CARTESIAN GRADIENT, or "The final MP2 gradient" (hartree/bohr), belong to the step before them.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from hint_plugin.data.formats.qc_jobs import ORCA_ENDS
from hint_plugin.data.formats.qc_steps import Steps
from hint_plugin.errors import DataError

_NUMBER = r"\s+(-?\d+\.\d+)"
_ATOM = re.compile(rf"\s*([A-Z][a-z]?){_NUMBER * 3}\s*$")
_ROW = re.compile(rf"\s*\d+\s*(?:[A-Z][a-z]?)?\s*:{_NUMBER * 3}\s*$")


def read_steps(path: Path, text: str) -> Steps:
    """The steps of a finished run.

    Raises:
        DataError: not finished, no geometry, or geometries of different molecules.
    """
    if ORCA_ENDS not in text:
        raise DataError(f"{path}: the run of ORCA did not end well: it lacks {ORCA_ENDS}")
    lines = text.splitlines()
    numbers: list[NDArray[np.int64]] = []
    steps = Steps(np.zeros(0, dtype=np.int64), [], [], [])
    for at, line in enumerate(lines):
        if line.startswith("CARTESIAN COORDINATES (ANGSTROEM)"):
            rows = _rows(lines, at + 2, _ATOM)
            numbers.append(np.array([atomic_numbers[row[0]] for row in rows]))
            steps.positions.append(np.array([row[1:] for row in rows], dtype=float))
            steps.energies.append(None)
            steps.gradients.append(None)
        elif not numbers:
            continue
        elif line.startswith("FINAL SINGLE POINT ENERGY"):
            energy = float(line.split()[4])
            if steps.energies[-1] not in (None, energy):
                raise DataError(
                    f"{path}, line {at + 1}: a second energy for one geometry, {steps.energies[-1]} and "
                    f"{energy} hartree; which one the gradient belongs to is not certain. Give single steps"
                )
            steps.energies[-1] = energy
        elif line.startswith(("CARTESIAN GRADIENT", "The final MP2 gradient")):
            steps.gradients[-1] = _gradient(lines, at, len(numbers[-1]))
        elif line.startswith("VIBRATIONAL FREQUENCIES"):
            steps.has_frequencies = True
    if not numbers or any(not np.array_equal(numbers[0], other) for other in numbers):
        raise DataError(
            f"{path}: {'no geometry' if not numbers else 'geometries of different molecules'} in it"
        )
    steps.numbers = numbers[0]
    _about(steps, text)
    return steps


def _gradient(lines: list[str], at: int, n: int) -> NDArray[np.float64] | None:
    start = next(k for k in range(at + 1, at + 8) if _ROW.match(lines[k]) or "CONSTRAINED" in lines[k])
    if "CONSTRAINED" in lines[start]:  # gradients without the parts along constraints are no labels
        return None
    rows = _rows(lines, start, _ROW)
    if len(rows) != n:
        raise ValueError(f"a gradient of {len(rows)} atoms for a geometry of {n}")
    return np.array(rows, dtype=float)


def _rows(lines: list[str], start: int, pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    """The rows of a table, up to an empty line or a rule. Raises ValueError for a row of another form."""
    found = []
    for number, line in enumerate(lines[start:], start + 1):
        match = pattern.match(line)
        if match is None:
            if line.strip(" -"):
                raise ValueError(
                    f"line {number}, {line.strip()[:60]!r}, is no row of the table; ghost atoms, point "
                    "charges and embedding are not read"
                )
            break
        found.append(match.groups())
    return found


def _about(steps: Steps, text: str) -> None:
    for attribute, pattern in (
        ("charge", r"Total Charge\s+Charge\s+\.+\s+(-?\d+)"),
        ("multiplicity", r"Multiplicity\s+Mult\s+\.+\s+(\d+)"),
    ):
        values = sorted({int(value) for value in re.findall(pattern, text)})
        if len(values) > 1:
            raise ValueError(f"{attribute} {' and '.join(map(str, values))} in one job")
        setattr(steps, attribute, values[0] if values else None)
    version = re.search(r"Program Version\s+(\S+)", text)
    steps.version = None if version is None else version[1]
    words = re.findall(r"^\|\s*\d+>\s*!\s*(.+?)\s*$", text, re.MULTILINE)
    steps.method = " ".join(words) or None
