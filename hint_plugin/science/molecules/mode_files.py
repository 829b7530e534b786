"""Normal modes for other programs: Molden files, and extxyz movies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write
from ase.units import Bohr
from numpy.typing import NDArray

from hint_plugin.data.file_io import replacing
from hint_plugin.science.molecules.modes import NormalModes

FRAMES = 20
AMPLITUDE = 0.5  # A, of the atom that moves most


def write_molden(path: Path, modes: NormalModes, intensities: NDArray | None = None) -> None:
    """Molden's format: geometry, frequencies, displacements (and infrared intensities, km/mol)."""
    atoms = modes.atoms
    bohr = atoms.positions / Bohr
    lines = ["[Molden Format]", "[Atoms] AU"]
    for k, (symbol, number, r) in enumerate(
        zip(atoms.get_chemical_symbols(), atoms.numbers, bohr, strict=True), start=1
    ):
        lines.append(f"{symbol:2s} {k:5d} {number:3d} {_three(r)}")
    lines += ["[FREQ]", *(f"{nu:.4f}" for nu in modes.frequencies)]
    if intensities is not None:
        lines += ["[INT]", *(f"{a:.4f}" for a in intensities)]
    lines.append("[FR-COORD]")
    lines += [f"{s:2s} {_three(r)}" for s, r in zip(atoms.get_chemical_symbols(), bohr, strict=True)]
    lines.append("[FR-NORM-COORD]")
    for k, displacement in enumerate(modes.displacements, start=1):
        lines += [f"vibration {k}", *(_three(d) for d in displacement)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def movie(modes: NormalModes, mode: int, frames: int = FRAMES, amplitude: float = AMPLITUDE) -> list[Atoms]:
    """One period of a mode; the atom that moves most goes `amplitude` A to each side."""
    step = modes.displacements[mode]
    step = amplitude * step / np.linalg.norm(step, axis=1).max()
    cell = {"cell": modes.atoms.cell, "pbc": modes.atoms.pbc} if modes.atoms.pbc.any() else {}
    found = []
    for k in range(frames):
        moved = modes.atoms.positions + np.sin(2 * np.pi * k / frames) * step
        atoms = Atoms(modes.atoms.symbols, moved, **cell)
        atoms.info |= {"mode": mode + 1, "frequency": float(modes.frequencies[mode])}
        found.append(atoms)
    return found


def write_movies(path: Path, modes: NormalModes) -> None:
    """All modes one after the other, as extxyz; `mode` and `frequency` (cm^-1) say which a frame shows."""
    frames = [frame for k in range(len(modes.frequencies)) for frame in movie(modes, k)]
    with replacing(path) as temporary:
        write(temporary, frames, format="extxyz")


def _three(vector: NDArray) -> str:
    return " ".join(f"{x:14.8f}" for x in vector)
