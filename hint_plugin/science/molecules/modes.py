"""Normal modes of a molecule from its Hessian, in the units of spectroscopists.

| symbol | variable | unit |
|---|---|---|
| nu_k, imaginary ones as negative numbers | `frequencies` [M] | cm^-1 |
| l_k = M^(-1/2) L_k / norm, Cartesian displacements of a mode, norm 1 | `displacements` [M, N, 3] | 1 |
| mu_k = 1 / (M^(-1/2) L_k)^2 | `reduced_masses` [M] | amu |
| k_k = mu_k (2 pi c nu_k)^2, with the sign of nu_k | `force_constants` [M] | mdyn/A |

L_k are the eigenvectors of the Eckart-projected mass-weighted Hessian (`hint_plugin.core.spectra`).
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
    vibrations,
    wavenumbers,
    zero_point_energy,
)
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
    """The vibrations of one molecule, ascending; imaginary modes first, as negative frequencies.

    `frequencies` [M] cm^-1, `displacements` [M, N, 3], `reduced_masses` [M] amu, `force_constants` [M]
    mdyn/A; M is 3N - 6, of a linear molecule 3N - 5, of an atom 0.
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

    @property
    def linear(self) -> bool:
        """Whether it has 3N - 5 modes."""
        return len(self.atoms) > 1 and len(self.frequencies) == 3 * len(self.atoms) - 5

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
        }


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
    """The modes of `atoms` (their own masses: set isotopes there) with `hessian` [3N, 3N] in eV/A^2.

    Args:
        atoms: the molecule.
        hessian: see above.
        bent: whether it counts as linear although it is slightly bent; None: `is_bent_rod`.

    Raises:
        DataError: the Hessian has another shape, or holds numbers that are not finite.
    """
    matrix, n = np.asarray(hessian, dtype=float), 3 * len(atoms)
    if matrix.shape != (n, n):
        raise DataError(f"a Hessian of shape {matrix.shape} does not fit {atoms.symbols}; wanted {(n, n)}")
    if not np.isfinite(matrix).all():
        raise DataError(f"the Hessian of {atoms.symbols} holds NaN or infinity")
    masses = atoms.get_masses()
    bent = is_bent_rod(atoms, matrix) if bent is None else bent
    found: Spectrum = vibrations(
        torch.as_tensor(matrix), torch.as_tensor(atoms.positions), torch.as_tensor(masses), linear=bent
    )
    weighted = found.modes.T.numpy()
    cartesian = weighted / np.sqrt(np.repeat(masses, 3))
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
    )
