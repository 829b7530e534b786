"""ORCA's .hess, with energy and forces from the .engrad beside it.

Layout: blocks that begin with `$name`; `$atoms` has symbol, mass and position in bohr, `$hessian` the matrix
in hartree/bohr^2 by columns, five or six at a time, `$act_energy` the energy in hartree (0 where ORCA does
not fill it). A .engrad of the same name and geometry has energy (hartree) and gradient (hartree/bohr). See
the ORCA manual, and for real files of ORCA 3 the package opan.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from hint_plugin.data.file_io import text_of
from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.errors import DataError

SAME_GEOMETRY = 1e-3  # A; .engrad has seven digits, .hess six


def read(path: Path) -> Iterator[Atoms]:
    """One frame with the Hessian as ORCA has written it: not symmetrised, nothing projected out.

    Raises:
        DataError: truncated, or of another layout.
    """
    with reading(path, 0, "the blocks $atoms and $hessian of ORCA"):
        blocks = _blocks(text_of(path))
        if "orca_hessian_file" not in blocks:
            raise DataError(f"{path}: no Hessian of ORCA (no $orca_hessian_file). Is it of another program?")
        rows = [line.split() for line in blocks["atoms"][1:]]
        if len(rows) != int(blocks["atoms"][0]):
            raise ValueError(f"{len(rows)} atoms; it says {blocks['atoms'][0].strip()}")
        positions = np.array([row[2:5] for row in rows], dtype=float) * Bohr
        atoms = Atoms([row[0] for row in rows], positions, masses=[float(row[1]) for row in rows])
        hessian = _matrix(blocks["hessian"]) * Hartree / Bohr**2
        energy, forces = _engrad(path, atoms)
        if energy is None and (written := float(blocks.get("act_energy", ["0"])[0])) != 0:
            energy = written * Hartree
        labelled(atoms, "orca-hess", energy=energy, forces=forces, hessian=hessian, engine="orca")
    yield atoms


def members(path: Path) -> list[Path]:
    """The files that `read` reads."""
    beside = path.with_suffix(".engrad")
    return [path, *([beside] if beside.is_file() else [])]


def _blocks(text: str) -> dict[str, list[str]]:
    """Lines that are not empty, by the name of their block."""
    blocks: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("$"):
            lines = blocks.setdefault(line[1:].strip(), [])
        elif line.strip():
            lines.append(line)
    return blocks


def _matrix(lines: list[str]) -> np.ndarray:
    size = int(lines[0])
    matrix = np.full((size, size), np.nan)
    at = 1
    while at < len(lines):
        columns = [int(word) for word in lines[at].split()]
        for line in lines[at + 1 : at + 1 + size]:
            words = line.split()
            matrix[int(words[0]), columns] = [float(word) for word in words[1:]]
        at += 1 + size
    if np.isnan(matrix).any():
        raise ValueError(f"the Hessian of {size} x {size} is not complete")
    return matrix


def _engrad(path: Path, atoms: Atoms) -> tuple[float | None, Any]:
    """(energy, forces) in eV and eV/A of the .engrad, or nothing where there is none of this geometry."""
    beside = path.with_suffix(".engrad")
    if not beside.is_file():
        return None, None
    with reading(beside, 0, "energy and gradient of ORCA"):
        lines = text_of(beside).splitlines()
        words = " ".join(line for line in lines if not line.startswith("#")).split()
        n = int(words[0])
        gradient = np.array(words[2 : 2 + 3 * n], dtype=float).reshape(n, 3)
        table = np.array(words[2 + 3 * n : 2 + 7 * n]).reshape(n, 4)
        geometry = table[:, 1:].astype(float) * Bohr
        if n == len(atoms) and not np.array_equal(table[:, 0].astype(int), atoms.numbers):
            raise ValueError(
                f"elements {', '.join(table[:, 0])}; {path.name} has {', '.join(map(str, atoms.numbers))}. "
                "Are they of one run? Remove the .engrad, or name it apart"
            )
        if n != len(atoms) or np.abs(geometry - atoms.positions).max() > SAME_GEOMETRY:
            return None, None
        return float(words[1]) * Hartree, -gradient * Hartree / Bohr
