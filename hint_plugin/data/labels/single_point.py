"""Energy, forces, stress and dipole moment of one structure: what a method gives at a geometry."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import NDArray


@dataclass(frozen=True)
class SinglePoint:
    """Energy (eV), forces [N, 3] (eV/A), stress [6] (eV/A^3, ASE's order and sign) for 3D-periodic cells, and
    the dipole moment [3] (e A) of a molecule where the engine has one."""

    energy: float
    forces: NDArray
    stress: NDArray | None = None
    dipole: NDArray | None = None
