"""The archive entry at the end of a Gaussian output: geometry, gradient and force constants with many digits.

It is one long line, wrapped at 70 characters: fields parted by a backslash (on Windows by a bar), sections by
two. Behind `NImag=` stand the lower triangle of the force constants (hartree/bohr^2) and the gradient
(hartree/bohr), both in the orientation of the geometry of the entry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

_ENERGY = re.compile(r"\\(?:HF|MP\d[A-Z]*|CC[A-Z()0-9]*|QCI[A-Z()]*|CI[A-Z]*)=(-?\d+\.\d+)")


@dataclass(frozen=True)
class Archive:
    """`numbers` [N]; `positions` [N, 3], A; `hessian` [3N, 3N], hartree/bohr^2; `gradient` [N, 3] or None;
    `energies`, hartree, of all methods of the job."""

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    hessian: NDArray[np.float64]
    gradient: NDArray[np.float64] | None
    energies: tuple[float, ...] = ()


def last_archive(text: str) -> Archive | None:
    """The last entry with force constants; None where there is none, or its geometry is a Z-matrix."""
    entries = re.findall(r"(?:^ ?1[\\|]1[\\|].*?[\\|][\\|]\s*@)", text, re.MULTILINE | re.DOTALL)
    for entry in reversed(entries):
        joined = "".join(line[1:] if line.startswith(" ") else line for line in entry.splitlines())
        sections = joined.replace("|", "\\").split("\\\\")
        at = next((k for k, section in enumerate(sections) if "NImag=" in section), None)
        if at is None or at + 1 >= len(sections):
            continue
        atoms = _atoms(sections[3].split("\\")[1:])
        if atoms is None:
            return None
        numbers, positions = atoms
        triangle = _numbers(sections[at + 1])
        gradient = _numbers(sections[at + 2]) if at + 2 < len(sections) else np.zeros(0)
        return Archive(
            numbers,
            positions,
            _square(triangle, 3 * len(numbers)),
            _gradient(gradient, len(numbers)),
            tuple(float(word) for word in _ENERGY.findall("\\".join(["", *sections[4 : at + 1]]))),
        )
    return None


def _atoms(fields: list[str]) -> tuple[NDArray, NDArray] | None:
    numbers, positions = [], []
    for field in fields:
        words = field.split(",")
        symbol = re.match(r"[A-Z][a-z]?", words[0])
        if len(words) not in (4, 5) or symbol is None or not all(_is_number(word) for word in words[-3:]):
            return None
        numbers.append(atomic_numbers[symbol[0]])
        positions.append([float(word) for word in words[-3:]])
    return np.array(numbers), np.array(positions)


def _is_number(word: str) -> bool:
    return re.fullmatch(r"\s*-?\d*\.\d*\s*", word) is not None


def _numbers(section: str) -> NDArray[np.float64]:
    words = section.strip("\\@ \n").split(",")
    return np.array(words, dtype=float) if words != [""] else np.zeros(0)


def _square(triangle: NDArray, size: int) -> NDArray[np.float64]:
    if triangle.size != size * (size + 1) // 2:
        raise ValueError(f"{triangle.size} force constants; wanted {size * (size + 1) // 2}")
    matrix = np.zeros((size, size))
    matrix[np.tril_indices(size)] = triangle
    return np.asarray(matrix + np.tril(matrix, -1).T)


def _gradient(values: NDArray, n: int) -> NDArray[np.float64] | None:
    return values.reshape(n, 3) if values.size == 3 * n else None
