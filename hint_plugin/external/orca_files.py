"""The files of ORCA's `ExtOpt`, by its manual: NAME_EXT.extinp.tmp and NAME_EXT.xyz in, NAME_EXT.engrad out.

NAME_EXT.xyz     # structure, A
0                # charge
1                # multiplicity
1                # cores
1                # 1: with the gradient
charges.pc       # point charges, where there are some
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hint_plugin.errors import DataError
from hint_plugin.external.points import ENERGY, GRADIENT, Answer, Point


@dataclass(frozen=True)
class Asked:
    """What ORCA asks, and the file where it looks for the answer."""

    point: Point
    engrad: Path


def read_input(path: Path) -> Asked:
    """What ORCA asks.

    Raises:
        DataError: a file cannot be read or is cut short, or point charges are to act on the molecule.
    """
    words = [line.split("#")[0].strip() for line in _lines(path)]
    words = [word for word in words if word]
    try:
        name, (charge, multiplicity, _, gradient) = words[0], map(int, words[1:5])
    except (IndexError, ValueError) as error:
        raise DataError(
            f"{path} is no input of ORCA's ExtOpt ({error}); wanted lines with the name of an .xyz, charge, "
            "multiplicity, cores, and 0 or 1 for the gradient"
        ) from error
    if len(words) > 5:
        raise DataError(
            f"{path} names point charges ({words[5]}), and HINT's potentials do not see any. Run the "
            "molecule without them"
        )
    structure = path.parent / name
    elements, positions = _read_xyz(structure)
    order = GRADIENT if gradient else ENERGY
    point = Point("ORCA", elements, positions, "angstrom", charge, multiplicity, order)
    return Asked(point, structure.with_suffix(".engrad"))


def engrad_text(answer: Answer) -> str:
    """The .engrad: energy in Eh, gradient in Eh/bohr, exactly three lines of comment between them."""
    blocks = [
        ("Number of atoms: must match the XYZ", [str(len(answer.gradient) // 3)]),
        ("The current total energy in Eh", [f"{answer.energy:.12f}"]),
        (
            "The current gradient in Eh/bohr: Atom1X, Atom1Y, Atom1Z, Atom2X, etc.",
            [f"{value:.12f}" for value in answer.gradient],
        ),
    ]
    return "".join(f"#\n# {title}\n#\n" + "".join(f"{v}\n" for v in values) for title, values in blocks)


def _read_xyz(path: Path) -> tuple[list[str], list[float]]:
    lines = _lines(path)
    try:
        count = int(lines[0])
        atoms = [line.split() for line in lines[2 : 2 + count]]
        elements = [atom[0] for atom in atoms]
        positions = [float(word) for atom in atoms for word in atom[1:4]]
    except (IndexError, ValueError) as error:
        why = "it ends too early" if isinstance(error, IndexError) else str(error)
        raise DataError(f"{path} is no .xyz ({why}); wanted atoms, a comment, then symbol x y z") from error
    if count < 1 or len(positions) != 3 * count:
        raise DataError(f"{path} has {len(atoms)} atoms, and its first line says {count}. Is it cut short?")
    return elements, positions


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
