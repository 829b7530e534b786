"""VASP's OUTCAR: energies, forces, stress of every step, and the Hessian of IBRION = 5 to 8.

Steps by ASE. The block "SECOND DERIVATIVES (NOT SYMMETRIZED)" holds -H in eV/A^2 with six decimals; it
belongs to the first structure. vasprun.xml has the same with more digits: take it where it is there. The
energy is the free energy, whose derivative the forces are; the energy at zero smearing is kept as
`energy_sigma0`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.file_io import DAMAGED, opened
from hint_plugin.data.formats.common import reading
from hint_plugin.data.formats.vasp import frames_of
from hint_plugin.data.formats.vasp_convergence import check_outcar


def recognise(path: Path) -> bool:
    """VASP's version in the first line."""
    try:
        with opened(path, "rb") as handle:
            return handle.readline(200).lstrip().startswith(b"vasp.")
    except DAMAGED:
        return False


def read(path: Path) -> Iterator[Atoms]:
    """The steps; the first one gets the Hessian, where there is one.

    Raises:
        DataError: truncated, no OUTCAR, no finished step, or electronic steps that have not converged.
    """
    from ase.io import ParseError
    from ase.io.vasp import read_vasp_out

    hessian = _hessian(path)
    with reading(path), opened(path) as text:
        check_outcar(path, text)
    with opened(path) as handle:
        with reading(path, 0, "a finished step of OUTCAR", ParseError):
            steps = iter(read_vasp_out(handle, slice(None)))
        yield from frames_of(path, steps, "vasp-outcar", "a step of OUTCAR", hessian, (ParseError,))


def _hessian(path: Path) -> NDArray[np.float64] | None:
    """[3N, 3N] in eV/A^2, or None; the header names the coordinates: 1X 1Y 1Z 2X ..."""
    with reading(path, 0, "the second derivatives of OUTCAR"), opened(path) as handle:
        if not any(line.startswith(" SECOND DERIVATIVES") for line in handle):
            return None
        next(handle)
        names = next(handle).split()
        rows = [next(handle).split() for _ in names]
        wanted = [f"{atom + 1}{axis}" for atom in range(len(names) // 3) for axis in "XYZ"]
        if names != wanted or [row[0] for row in rows] != wanted:
            raise ValueError(f"second derivatives for {names[0]} ... {names[-1]} alone, not for all atoms")
        return -np.array([row[1:] for row in rows], dtype=float)
