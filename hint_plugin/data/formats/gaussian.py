"""Formatted checkpoint files of Gaussian, also written by Q-Chem, Psi4 and others.

Layout (gaussian.com/interfacing): lines "name, type I or R, value", or "N= count" and the values below, five
reals or six integers a line. Atomic units: `Current cartesian coordinates` in bohr, `Total Energy` in
hartree, `Cartesian Gradient` in hartree/bohr (all zero where none was computed, which is left out),
`Cartesian Force Constants` as the lower triangle in hartree/bohr^2.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from hint_plugin.data.file_io import opened
from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.errors import LabelWarning

FREQUENCIES = ("freq", "mixed")  # jobs whose force constants are second derivatives
_WANTED = {
    "Charge", "Multiplicity", "Atomic numbers", "Current cartesian coordinates", "Real atomic weights",
    "Total Energy", "Cartesian Gradient", "Cartesian Force Constants",
}  # fmt: skip


def read(path: Path) -> Iterator[Atoms]:
    """One frame; energy, forces and Hessian where the file has them, the Hessian of frequency jobs only.

    Raises:
        DataError: truncated, several in one file, or no formatted checkpoint file.
    """
    with reading(path, 0, "a formatted checkpoint file"):
        with opened(path, errors="replace") as handle:
            next(handle)  # the title may look like anything
            job = next(handle).split()  # type, method, basis
            values = _values(handle)
        numbers = values["Atomic numbers"]
        n = len(numbers)
        positions = np.asarray(values["Current cartesian coordinates"]).reshape(n, 3) * Bohr
        atoms = Atoms(numbers, positions, masses=values.get("Real atomic weights"))
        for name, key in (("charge", "Charge"), ("spin", "Multiplicity")):
            if key in values:
                atoms.info[name] = values[key]
        triangle, gradient = values.get("Cartesian Force Constants"), values.get("Cartesian Gradient")
        if gradient is not None and not np.any(gradient):  # a single point fills it with zeros
            gradient = None
        if triangle is not None and job[0].lower() not in FREQUENCIES:
            warnings.warn(
                f"{path}: force constants of a job '{job[0]}' may be an optimiser's guess, and are left out",
                LabelWarning,
                stacklevel=2,
            )
            triangle = None
        if triangle is None and job[0].lower() in FREQUENCIES:
            warnings.warn(
                f"{path}: a job '{job[0]}' without force constants, so there is no Hessian. Is it made of a "
                "checkpoint of an unfinished run?",
                LabelWarning,
                stacklevel=2,
            )
        energy = values.get("Total Energy")
        labelled(
            atoms,
            "gaussian-fchk",
            energy=None if energy is None else energy * Hartree,
            forces=None if gradient is None else -gradient.reshape(n, 3) * Hartree / Bohr,
            hessian=None if triangle is None else _square(triangle, 3 * n) * Hartree / Bohr**2,
            method="/".join(job[1:3]) or None,
        )
    yield atoms


def _values(lines: Iterator[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for line in lines:
        name, kind, rest = line[:40].strip(), line[43:44], line[44:]
        if name not in _WANTED:
            continue
        if name in values:
            raise ValueError(f"{name} twice: two checkpoints in one file. Give each a file of its own")
        convert = int if kind == "I" else float
        if "N=" not in rest:
            values[name] = convert(rest)
            continue
        count = int(rest.split("N=")[1])
        words: list[str] = []
        while len(words) < count:
            words += next(lines, "").split() or _end(name, len(words), count)
        values[name] = np.array(words, dtype=convert)
    return values


def _end(name: str, got: int, wanted: int) -> list[str]:
    raise EOFError(f"{name} has {got} values of {wanted}")


def _square(triangle: np.ndarray, size: int) -> np.ndarray:
    if triangle.size != size * (size + 1) // 2:
        raise ValueError(f"{triangle.size} force constants; wanted {size * (size + 1) // 2}")
    matrix = np.zeros((size, size))
    matrix[np.tril_indices(size)] = triangle
    return matrix + np.tril(matrix, -1).T
