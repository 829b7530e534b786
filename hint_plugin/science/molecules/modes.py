"""Normal modes of a molecule, or of atoms on a surface, from the Hessian, in the units of spectroscopists.

| symbol | variable | unit |
|---|---|---|
| nu_k, imaginary ones as negative numbers | `frequencies` [M] | cm^-1 |
| l_k = M^(-1/2) L_k / norm, Cartesian displacements of a mode, norm 1 | `displacements` [M, N, 3] | 1 |
| mu_k = 1 / (M^(-1/2) L_k)^2 | `reduced_masses` [M] | amu |
| k_k = mu_k (2 pi c nu_k)^2, with the sign of nu_k | `force_constants` [M] | mdyn/A |

L_k are the eigenvectors of the Eckart-projected mass-weighted Hessian (`hint_plugin.core.spectra`). Where
constraints hold coordinates (FixAtoms, FixCartesian), they are those of the free ones: all n of them,
without a projection, since the held atoms leave no rigid motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.core.spectra import (
    EV,
    LINEAR_TOLERANCE,
    SADDLE_THRESHOLD,
    Spectrum,
    partial_vibrations,
    vibrations,
    wavenumbers,
    zero_point_energy,
)
from hint_plugin.data.structures.constraints import FreeCoordinates, free_coordinates
from hint_plugin.errors import DataError

MDYNE_PER_ANGSTROM = EV * 1e20 / 100
"""1 eV/A^2 in mdyn/A: 16.02 N/m = 0.1602 mdyn/A."""


_THIN, _LIGHT = 0.03, 0.1
"""A, the root of the mean square distance of the mass from the axis, and amu A^2, the moment about it, of
what may be a bent rod: CO2 up to a bend of 6 degrees. A hydrogen off the axis has some 0.3 amu A^2."""
_STIFF = 50.0
"""cm^-1, of the turn about the axis: bending modes of linear molecules are above it, free turns below."""


@dataclass(frozen=True)
class NormalModes:
    """The vibrations of one structure, ascending; imaginary modes first, as negative frequencies.

    `frequencies` [M] cm^-1, `displacements` [M, N, 3], `reduced_masses` [M] amu, `force_constants` [M]
    mdyn/A; M is 3N - 6, of a linear molecule 3N - 5, of an atom 0. Where coordinates are held, M is the
    number n of the free ones, less the rigid motions that are left (`rigid_motions`: none of a slab), and
    held coordinates have no displacement.
    """

    atoms: Atoms
    frequencies: NDArray
    displacements: NDArray
    reduced_masses: NDArray
    force_constants: NDArray
    mass_weighted: NDArray
    """L [M, 3N], orthonormal rows in mass-weighted coordinates."""
    bent: bool = False
    """Treated as linear although its atoms are not quite in line (`is_bent_rod`)."""
    free: FreeCoordinates | None = None
    """Which coordinates move, where others are held; None: all do."""

    @property
    def rigid_motions(self) -> int:
        """Of a structure of which coordinates are held: the rigid motions that they leave; 0 of a free
        one."""
        return 0 if self.free is None else int(self.free.mask.sum()) - len(self.frequencies)

    @property
    def linear(self) -> bool:
        """Whether it is free and has 3N - 5 modes."""
        atoms = len(self.atoms)
        return self.free is None and atoms > 1 and len(self.frequencies) == 3 * atoms - 5

    @property
    def zero_point_energy(self) -> float:
        """eV, of the real modes."""
        return zero_point_energy(torch.as_tensor(self.frequencies))

    @property
    def imaginary(self) -> NDArray:
        """Frequencies below `SADDLE_THRESHOLD`, cm^-1 (negative)."""
        return self.frequencies[self.frequencies < SADDLE_THRESHOLD]

    @property
    def kind(self) -> str:
        """Of a stationary point: "minimum", "transition state" or "saddle of order n"."""
        order = len(self.imaginary)
        return ("minimum", "transition state")[order] if order < 2 else f"saddle of order {order}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "frequencies": self.frequencies.tolist(),
            "reduced_masses": self.reduced_masses.tolist(),
            "force_constants": self.force_constants.tolist(),
            "zero_point_energy": self.zero_point_energy,
            "imaginary_modes": len(self.imaginary),
            **({"treated_as_linear": True} if self.bent else {}),
            **({} if self.free is None else self._as_held(self.free)),
        }

    def _as_held(self, free: FreeCoordinates) -> dict[str, Any]:
        """What the numbers are of, where coordinates are held."""
        found = {"free_atoms": free.atoms.tolist(), "free_coordinates": len(free.coordinates)}
        return found | ({"rigid_motions": self.rigid_motions} if self.rigid_motions else {})


def largest_force(forces: NDArray) -> float:
    """The length of the longest of forces [N, 3]."""
    return float(np.linalg.norm(forces, axis=1).max())


def is_bent_rod(atoms: Atoms, hessian: NDArray) -> bool:
    """Whether a molecule is a linear one that is slightly bent, as an unfinished optimisation leaves it.

    Its atoms are near a line (`_THIN`, `_LIGHT`), and to turn it about this line costs as much as a vibration
    does: what looks like a rotation is the second bending mode. A molecule that is bent where it is at rest
    turns freely, and is none.
    """
    masses, n = atoms.get_masses(), len(atoms)
    if n < 3:
        return False
    moments, axes = atoms.get_moments_of_inertia(vectors=True)
    smallest = moments[0]
    if smallest <= LINEAR_TOLERANCE * moments[-1]:
        return False  # in line
    if smallest > _LIGHT or np.sqrt(smallest / masses.sum()) > _THIN:
        return False
    turn = np.cross(axes[0], atoms.positions - atoms.get_center_of_mass()).ravel()
    curvature = turn @ np.asarray(hessian, dtype=float) @ turn / smallest
    return bool(abs(float(wavenumbers(torch.tensor(curvature)))) > _STIFF)


def normal_modes(atoms: Atoms, hessian: NDArray, bent: bool | None = None) -> NormalModes:
    """The modes of `atoms` (their own masses: set isotopes there) with `hessian` in eV/A^2.

    Args:
        atoms: the structure. Coordinates that its constraints hold (FixAtoms, FixCartesian) do not move.
        hessian: [3N, 3N]; where coordinates are held also [n, n], of the free ones, or the rows [3m, 3N] of
            the atoms that move (`FreeCoordinates.part`).
        bent: whether it counts as linear although it is slightly bent; None: `is_bent_rod`.

    Raises:
        DataError: the Hessian has another shape, or holds numbers that are not finite; other constraints.
    """
    matrix, n, free = np.asarray(hessian, dtype=float), 3 * len(atoms), free_coordinates(atoms)
    if not np.isfinite(matrix).all():
        raise DataError(f"the Hessian of {atoms.symbols} holds NaN or infinity")
    if not free.all:
        return _modes_of(atoms, _held_spectrum(atoms, free.part(matrix), free), False, free)
    if matrix.shape != (n, n):
        raise DataError(f"a Hessian of shape {matrix.shape} does not fit {atoms.symbols}; wanted {(n, n)}")
    bent = is_bent_rod(atoms, matrix) if bent is None else bent
    masses = torch.as_tensor(atoms.get_masses())
    found = vibrations(torch.as_tensor(matrix), torch.as_tensor(atoms.positions), masses, linear=bent)
    return _modes_of(atoms, found, bent, None)


def _held_spectrum(atoms: Atoms, part: NDArray, free: FreeCoordinates) -> Spectrum:
    positions, masses = torch.as_tensor(atoms.positions), torch.as_tensor(atoms.get_masses())
    mask, periodic = torch.as_tensor(free.mask), bool(atoms.pbc.any())
    return partial_vibrations(torch.as_tensor(part), positions, masses, mask, periodic)


def _modes_of(atoms: Atoms, found: Spectrum, bent: bool, free: FreeCoordinates | None) -> NormalModes:
    weighted = found.modes.T.numpy()
    cartesian = weighted / np.sqrt(np.repeat(atoms.get_masses(), 3))
    norms = np.linalg.norm(cartesian, axis=1)
    reduced = 1.0 / norms**2
    return NormalModes(
        atoms=atoms,
        frequencies=found.frequencies.numpy(),
        displacements=(cartesian / norms[:, None]).reshape(-1, len(atoms), 3),
        reduced_masses=reduced,
        force_constants=found.eigenvalues.numpy() * reduced * MDYNE_PER_ANGSTROM,
        mass_weighted=weighted,
        bent=bent,
        free=free,
    )
