"""Hessians that other programs start from: ORCA's .hess (`InHessName`), geomeTRIC's (`--hessian file:`)."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

COLUMNS = 5


def orca_hess(atoms: Atoms, energy: float, hessian: NDArray) -> str:
    """ORCA's .hess with the blocks that a start needs: energy, Hessian, atoms.

    Args:
        atoms: the structure, A.
        energy: eV.
        hessian: [3N, 3N], eV/A^2.
    """
    matrix, size = hessian / (Hartree / Bohr**2), len(hessian)
    lines = ["", "$orca_hessian_file", "", "$act_atom", f"  {len(atoms) - 1}", "", "$act_coord", "  2", ""]
    lines += ["$act_energy", f"{energy / Hartree:20.12f}", "", "$hessian", str(size)]
    for first in range(0, size, COLUMNS):
        columns = range(first, min(first + COLUMNS, size))
        lines.append(" " * 5 + "".join(f"{column:19d}" for column in columns))
        lines += [f"{i:5d}" + "".join(f"{matrix[i, j]:19.10E}" for j in columns) for i in range(size)]
    lines += ["", "$atoms", str(len(atoms))]
    for symbol, mass, position in zip(atoms.symbols, atoms.get_masses(), atoms.positions / Bohr, strict=True):
        lines.append(f" {symbol:<2}{mass:13.5f}" + "".join(f"{x:19.12f}" for x in position))
    return "\n".join([*lines, "", "$end", ""])


def numpy_text(hessian: NDArray) -> str:
    """Eh/bohr^2 as `numpy.loadtxt` reads it: 3N lines of 3N numbers.

    Args:
        hessian: [3N, 3N], eV/A^2.
    """
    matrix = hessian / (Hartree / Bohr**2)
    return "".join(" ".join(f"{x: .14e}" for x in row) + "\n" for row in np.asarray(matrix))
