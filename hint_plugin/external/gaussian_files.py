"""The files of Gaussian's `External`, by its manual (https://gaussian.com/external).

Input: atoms, order of derivatives, charge, multiplicity (4I10), then for each atom its atomic number,
position in bohr and molecular-mechanics charge (I10, 4F20.12).

Output, in atomic units:

| what | numbers | format |
|---|---|---|
| energy, dipole moment | E, Dip(3) | 4D20.12 |
| gradient (order 1, 2) | FX(3, N) | 3D20.12 |
| polarizability (order 2) | Polar(6) | 3D20.12 |
| dipole derivatives (order 2) | DDip(9N) | 3D20.12 |
| force constants (order 2) | the lower triangle, FFX(3N (3N + 1) / 2) | 3D20.12 |
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hint_plugin.errors import DataError
from hint_plugin.external.points import HESSIAN, Answer, Point

LAYERS = {"R": "the real system", "M": "the model system, or the middle layer", "S": "the small model system"}


def read_input(path: Path) -> Point:
    """What Gaussian asks.

    Raises:
        DataError: it cannot be read, is cut short, or asks for what is no molecule (a periodic system).
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        count, order, charge, multiplicity = (int(word) for word in _fields(lines[0], (10,) * 4))
        atoms = [_fields(line, (10, 20, 20, 20, 20)) for line in lines[1 : 1 + count]]
        elements = [int(atom[0]) for atom in atoms]
        positions = [_number(word) for atom in atoms for word in atom[1:4]]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (IndexError, ValueError) as error:
        raise DataError(
            f"{path} is no input of Gaussian's External ({error}); wanted atoms, order of derivatives, "
            "charge and multiplicity, then a line for each atom: number, x, y, z in bohr, charge"
        ) from error
    if count < 1 or len(atoms) != count:
        raise DataError(f"{path} has {len(atoms)} atoms, and its first line says {count}. Is it cut short?")
    if order not in (0, 1, 2):
        raise DataError(f"{path} asks for derivatives of order {order}; wanted 0, 1 or 2")
    if min(elements) < 1:
        raise DataError(
            f"{path} has atomic number {min(elements)}: a ghost atom, or a lattice vector of a periodic "
            "system. Wanted the atoms of a molecule"
        )
    return Point(
        "Gaussian",
        elements,
        positions,
        "bohr",
        charge,
        multiplicity,
        order,
        dipole_derivatives=order == HESSIAN,
    )


def output_text(answer: Answer, order: int) -> str:
    """The file that Gaussian reads back."""
    lines = [_line([answer.energy, *(answer.dipole or [0.0] * 3)])]
    if order >= 1:
        lines += _rows(answer.gradient)
    if order >= HESSIAN:
        lines += _rows([0.0] * 6)  # no potential here has polarizabilities
        lines += _rows(answer.dipole_derivatives or [0.0] * (3 * len(answer.gradient)))
        lines += _rows(answer.hessian or [])
    return "\n".join(lines) + "\n"


def d20_12(value: float) -> str:
    """As Fortran's D20.12 has it: -0.764269001234D+02."""
    mantissa, _, exponent = f"{abs(value):.11E}".partition("E")
    digits, power = mantissa.replace(".", ""), int(exponent) + (value != 0)
    letter = "D" if abs(power) < 100 else ""  # three digits take its place
    return f"{'-' if value < 0 else ''}0.{digits}{letter}{power:+03d}".rjust(20)


def _rows(values: list[float]) -> Iterable[str]:
    return (_line(values[at : at + 3]) for at in range(0, len(values), 3))


def _line(values: list[float]) -> str:
    return "".join(map(d20_12, values))


def _fields(line: str, widths: tuple[int, ...]) -> list[str]:
    """The words of a line; by columns where numbers touch each other."""
    words = line.split()
    if len(words) >= len(widths):
        return words[: len(widths)]
    ends = [sum(widths[: k + 1]) for k in range(len(widths))]
    return [line[end - width : end] for end, width in zip(ends, widths, strict=True)]


def _number(word: str) -> float:
    return float(word.replace("D", "E").replace("d", "e"))
