"""What i-PI's self-consistent phonons (``<motion mode='scp'>``) start from: a minimum and its curvature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.optimize import BFGS

from hint_plugin.data.file_io import replacing
from hint_plugin.errors import DataError
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.hint_calculator import HintCalculator
from ipi_driver.template import pbc_note

ISOLATED = 99.0
"""A; i-PI wants a cell, also around a molecule."""


def upright(atoms: Atoms) -> Atoms:
    """The structure turned as i-PI wants its cell: a along x, b in the plane of x and y."""
    turned = atoms.copy()
    if atoms.cell.rank == 3:
        cell, rotation = atoms.cell.standard_form()
        turned.set_cell(cell)
        turned.positions = atoms.positions @ rotation.T
    return turned


def start_text(atoms: Atoms) -> str:
    """An upright structure as i-PI's xyz, the cell in its comment, and what of it is periodic."""
    cell = atoms.cell.cellpar() if atoms.cell.rank == 3 else [ISOLATED] * 3 + [90.0] * 3
    lines = [
        str(len(atoms)),
        f"# CELL(abcABC): {_row(cell)} positions{{angstrom}} cell{{angstrom}}{pbc_note(atoms)}",
    ]
    lines += [f"{s} {_row(x)}" for s, x in zip(atoms.symbols, atoms.positions, strict=True)]
    return "\n".join(lines) + "\n"


def relaxed(potential: Potential, atoms: Atoms, fmax: float, steps: int = 1000) -> Atoms:
    """The minimum next to a structure, in its cell.

    Raises:
        DataError: the largest force is above `fmax` (eV/A) after `steps` steps.
    """
    found = atoms.copy()
    found.calc = HintCalculator(potential)
    if not BFGS(found, logfile=None).run(fmax=fmax, steps=steps):
        largest = float(np.linalg.norm(found.get_forces(), axis=1).max())
        raise DataError(f"no minimum after {steps} steps: the largest force is {largest:.2g} eV/A")
    found.calc = None
    return found


def dynamical_matrix(potential: Potential, atoms: Atoms) -> np.ndarray:
    """D = M^-1/2 H M^-1/2 [3N, 3N], atomic units, with i-PI's masses and the exact Hessian."""
    from ipi.utils.units import Elements

    from ipi_driver.driver import BOHR, HARTREE

    masses = np.repeat([float(Elements.mass(s)) for s in atoms.symbols], 3)
    hessian = potential.hessian(atoms) * BOHR**2 / HARTREE
    return hessian / np.sqrt(np.outer(masses, masses))


def write_start(potential: Potential, template: Atoms, folder: Path, fmax: float) -> tuple[Path, Path, float]:
    """Writes ``start.xyz`` and ``dynmat.txt``; returns their paths and the lowest eigenvalue."""
    atoms = relaxed(potential, upright(template), fmax) if fmax > 0 else upright(template)
    matrix = dynamical_matrix(potential, atoms)
    start, dynmat = folder / "start.xyz", folder / "dynmat.txt"
    with replacing(start) as temporary:
        temporary.write_text(start_text(atoms))
    with replacing(dynmat) as temporary:
        np.savetxt(temporary, matrix)
    return start, dynmat, float(np.linalg.eigvalsh(matrix)[0])


def _row(values: np.ndarray | list[float]) -> str:
    return " ".join(f"{x:.15g}" for x in values)
