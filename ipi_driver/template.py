"""The template: which atoms i-PI's structure has, and in which directions it is periodic.

i-PI sends a cell with every structure, also with a molecule, and does not say whether it means anything. So
the template says it: a file of ASE by its cell and ``pbc``, a file of i-PI (``# CELL(abcABC): ...``) by
having a cell. ``pbc(TTF)`` in the comment of such a file, as `hint ipi scp` writes it, says something else.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import numpy as np
from ase import Atoms
from ase.io import read
from ipi.utils.io import read_file
from ipi.utils.units import unit_to_user

from hint_plugin.data.structures.neighbour_lists import Neighbours
from hint_plugin.errors import DataError
from hint_plugin.potentials.artifact_potential import check_cell

BOHR = float(unit_to_user("length", "angstrom", 1.0))
_CELL = re.compile(r"CELL[(\[{](abcABC|H|GENH)[)\]}]")
_PBC = re.compile(r"pbc\(([TF]{3})\)")


def read_template(path: Path) -> Atoms:
    """A structure of a file of i-PI's xyz, or of any that ASE reads.

    Raises:
        DataError: no such file, or nobody can read it; a direction that is periodic and has no cell vector.
    """
    if not path.is_file():
        raise DataError(f"template {path}: no such file")
    try:
        comment = _comment(path)
        atoms = cast(Atoms, read(str(path))) if comment is None else _of_ipi(path, comment)
    except Exception as error:  # whatever a reader of ASE or i-PI raises
        raise DataError(f"template {path} cannot be read ({error or type(error).__name__})") from error
    if not len(atoms):
        raise DataError(f"template {path} has no atoms")
    check_cell(atoms, f"template {path}")
    return atoms


def periodicity(atoms: Atoms) -> str:
    """In words."""
    letters = [letter for letter, on in zip("abc", atoms.pbc, strict=True) if on]
    return f"periodic along {', '.join(letters)}" if letters else "not periodic"


def pbc_note(atoms: Atoms) -> str:
    """For the comment of a file of i-PI, where not all directions are periodic."""
    return "" if atoms.pbc.all() else f" pbc({''.join('FT'[int(on)] for on in atoms.pbc)})"


def check_images(atoms: Atoms, neighbours: Neighbours, cutoff: float, name: str) -> None:
    """That i-PI's cell is empty space in the directions in which the template is not periodic.

    Args:
        atoms: with i-PI's cell, and the template's ``pbc``.
        neighbours: lists up to the cutoff.
        cutoff: A.
        name: of the template.

    Raises:
        DataError: atoms are within the cutoff of images of others, so that the cell must mean something.
    """
    if atoms.pbc.all() or atoms.cell.rank < 3:
        return
    periodic = atoms.copy()
    periodic.pbc = True
    _, _, shifts, vectors = neighbours(periodic)
    open_ = ~atoms.pbc
    across = np.any(shifts[:, open_] != 0, axis=1) & (np.linalg.norm(vectors, axis=1) < cutoff)
    if across.any():
        raise DataError(
            f"the template {name} is not periodic{_along(open_)}, and in i-PI's cell atoms are within the "
            f"cutoff ({cutoff:g} A) of their images. Of a crystal, give a template with its cell (the "
            "structure of i-PI's input has it); around a molecule or a slab, give i-PI a larger cell"
        )


def _along(directions: np.ndarray) -> str:
    """ " along c" of some directions, nothing of all."""
    if directions.all():
        return ""
    return f" along {', '.join(name for name, is_one in zip('abc', directions, strict=True) if is_one)}"


def _comment(path: Path) -> str | None:
    """The second line of a file of i-PI; None of any other file."""
    with open(path, encoding="utf-8", errors="replace") as handle:
        first, second = handle.readline(), handle.readline()
    return second if first.strip().isdigit() and _CELL.search(second) else None


def _of_ipi(path: Path, comment: str) -> Atoms:
    with open(path, encoding="utf-8") as handle:
        found = read_file("xyz", handle)
    symbols = [str(name) for name in found["atoms"].names]
    positions = np.array(found["atoms"].q).reshape(-1, 3) * BOHR
    pbc = _PBC.search(comment)
    return Atoms(
        symbols,
        positions,
        cell=np.array(found["cell"].h).T * BOHR,
        pbc=True if pbc is None else [letter == "T" for letter in pbc.group(1)],
    )
