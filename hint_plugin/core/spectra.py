"""Modes and frequencies of a Hessian: mass weighting, Eckart projection, zero-point energy, saddle index.

| symbol | variable | unit |
|---|---|---|
| H, the Cartesian Hessian d2E/dx dx | `hessian` [3N, 3N], row-major (atom, axis) | eV/A^2 |
| r, m | `positions` [N, 3], `masses` [N] | A, amu |
| F = M^(-1/2) H M^(-1/2) | `mass_weighted(hessian, masses)` | eV/(A^2 amu) |
| D, orthonormal translations and rotations | `rigid_basis(...)` [3N, r] | 1 |
| B, orthonormal complement of D | `vibrational_basis(...)` [3N, 3N - r] | 1 |
| H_cc, the part of the n free coordinates c, where others are held | `hessian` [n, n] | eV/A^2 |
| lambda, L | `Spectrum.eigenvalues` [M], `Spectrum.modes` [3N, M] | eV/(A^2 amu), 1 |
| nu = sqrt(lambda) / (2 pi c) | `Spectrum.frequencies` [M] | cm^-1 |

Sources: E. B. Wilson, J. C. Decius, P. C. Cross, Molecular Vibrations (1955), ch. 2 and 11 (mass weighting,
Eckart conditions); W. H. Miller, N. C. Handy, J. E. Adams, J. Chem. Phys. 72, 99 (1980), Eq. 2.5-2.8 (the
projector of translations and rotations for geometries off the minimum).

Everything is computed in float64, whatever comes in: a float32 Hessian has lost nothing more here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy import constants
from torch import Tensor

EV = constants.value("electron volt")
AMU = constants.value("atomic mass constant")
WAVENUMBER = math.sqrt(EV / (1e-20 * AMU)) / (2 * math.pi * constants.c * 100)
"""cm^-1 for lambda = 1 eV/(A^2 amu); CODATA through scipy.constants."""
EV_PER_WAVENUMBER = constants.h * constants.c * 100 / EV
"""Energy of one wavenumber, h c, in eV cm."""
SADDLE_THRESHOLD = -10.0
"""cm^-1. A mode counts as a downhill direction below this: differences of xTB gradients leave about 1 cm^-1
of noise on the softest modes, and optimisers stop with torsions at a few cm^-1 imaginary."""
LINEAR_TOLERANCE = 1e-6
"""A molecule is linear if its smallest moment of inertia is below this fraction of the largest: atoms off the
axis by less than a thousandth of the length."""

HELD_TOLERANCE = 1e-4
"""Rigid motions by which the held coordinates move less than this part of the most are free: held atoms that
are in line to a ten-thousandth of their distance leave the turn about this line."""


@dataclass(frozen=True)
class Spectrum:
    """Vibrational modes of one structure, ascending.

    `eigenvalues` [M] in eV/(A^2 amu); `modes` [3N, M], orthonormal columns in mass-weighted coordinates.
    """

    eigenvalues: Tensor
    modes: Tensor

    @property
    def frequencies(self) -> Tensor:
        """[M] cm^-1, imaginary ones as negative numbers."""
        return wavenumbers(self.eigenvalues)

    @property
    def zero_point_energy(self) -> float:
        """eV, of the real modes."""
        return zero_point_energy(self.frequencies)

    def saddle_index(self, threshold: float = SADDLE_THRESHOLD) -> int:
        """Number of modes below `threshold` (cm^-1)."""
        return saddle_index(self.frequencies, threshold)

    def lowest_modes(self, degeneracy: float = 1.0) -> Tensor:
        """[3N, d]: the lowest mode and those within `degeneracy` (cm^-1) of it; [3N, 0] if there is none."""
        nu = self.frequencies
        return self.modes[:, nu <= nu[0] + degeneracy] if len(nu) else self.modes


def mass_weighted(hessian: Tensor, masses: Tensor) -> Tensor:
    """F = M^(-1/2) H M^(-1/2), [3N, 3N] in eV/(A^2 amu), from H in eV/A^2 and `masses` [N] in amu.

    Raises ValueError for shapes that do not belong together and for masses that are not positive.
    """
    root = _root_masses(masses)
    h = _square(hessian, len(root))
    return h / (root[:, None] * root[None, :])


def rigid_basis(positions: Tensor, masses: Tensor, periodic: bool = False, linear: bool = False) -> Tensor:
    """Orthonormal translations and rotations in mass-weighted coordinates, [3N, r].

    Translations: D_a = sqrt(m_i / M) e_a. Rotations, about the principal axes u_k of inertia, which makes
    them orthogonal: D_k = sqrt(m_i) u_k x (r_i - r_cm) / sqrt(I_k); an axis whose I_k vanishes turns nothing
    and is left out. Hence r = 6 for a molecule, 5 for a linear one, 3 for an atom. A periodic system has
    translations only, r = 3: its lattice is not free to turn. `linear` leaves the axis of the smallest I_k
    out in any case: of a linear molecule that is slightly bent. `positions` [N, 3] in A, `masses` [N] in amu.
    Raises ValueError for shapes that do not belong together and for masses that are not positive.
    """
    r = positions.detach().to(torch.float64)
    m = masses.detach().to(r)
    if r.shape != (len(m), 3):
        raise ValueError(f"positions of shape {tuple(r.shape)} do not fit {len(m)} masses")
    root = _root_masses(m)
    translations = root[:, None] * torch.eye(3, dtype=r.dtype, device=r.device).repeat(len(m), 1)
    translations = translations / m.sum().sqrt()
    if periodic:
        return translations
    x = r - (m[:, None] * r).sum(0) / m.sum()
    spread = (m[:, None, None] * x[:, :, None] * x[:, None, :]).sum(0)
    inertia = torch.trace(spread) * torch.eye(3, dtype=r.dtype, device=r.device) - spread
    moments, axes = torch.linalg.eigh(inertia)
    turns = moments > LINEAR_TOLERANCE * moments[-1].clamp_min(1e-12)
    if linear:
        turns[0] = False
    turned = torch.linalg.cross(axes.T[turns][:, None, :], x[None], dim=-1)  # [rotations, N, 3]
    rotations = root[:, None] * turned.reshape(-1, 3 * len(m)).T
    return torch.cat([translations, rotations / torch.linalg.vector_norm(rotations, dim=0)], dim=1)


def vibrational_basis(
    positions: Tensor, masses: Tensor, periodic: bool = False, linear: bool = False
) -> Tensor:
    """Orthonormal basis B of everything but rigid motion, [3N, 3N - r]; arguments as `rigid_basis`."""
    rigid = rigid_basis(positions, masses, periodic, linear)
    q, _ = torch.linalg.qr(rigid, mode="complete")
    return q[:, rigid.shape[1] :]


def cartesian_eigenvalues(hessian: Tensor) -> Tensor:
    """Eigenvalues of the symmetric part of the Cartesian Hessian, [3N] ascending, eV/A^2; no projection."""
    return torch.linalg.eigvalsh(_symmetric(hessian.detach().to(torch.float64)))


def vibrations(
    hessian: Tensor, positions: Tensor, masses: Tensor, periodic: bool = False, linear: bool = False
) -> Spectrum:
    """Modes of the Eckart-projected mass-weighted Hessian: exactly 3N - 6 (linear 3N - 5, periodic 3N - 3).

    Instead of diagonalising (1 - D D^T) F (1 - D D^T) and guessing which of its eigenvalues are the zeros, F
    is written in the complement of D: B^T F B l = lambda l, and L = B l. The symmetric part of H counts. Off
    the stationary points the rotational block of F is not zero; it is dropped, as in Miller et al.
    Shapes, units and errors as in `mass_weighted` and `rigid_basis`.
    """
    basis = vibrational_basis(positions, masses, periodic, linear)
    weighted = mass_weighted(hessian, masses).to(basis.device)
    eigenvalues, vectors = torch.linalg.eigh(basis.T @ _symmetric(weighted) @ basis)
    return Spectrum(eigenvalues, basis @ vectors)


def free_rigid_motions(positions: Tensor, masses: Tensor, free: Tensor, periodic: bool = False) -> Tensor:
    """Translations and rotations of the whole that move no coordinate that is held, [3N, r].

    They are D C with C the null space of the held rows of D (`rigid_basis`): D_held C = 0. Where nothing is
    held these are all of D, of a molecule held at one atom its three rotations, at two the turn about the
    axis, and none of a slab with fixed layers. Orthonormal, in mass-weighted coordinates.

    Args:
        positions: [N, 3], A.
        masses: [N], amu.
        free: [N, 3] boolean: the coordinates that move.
        periodic: see `rigid_basis`.

    Raises:
        ValueError: shapes that do not belong together, masses that are not positive.
    """
    rigid = rigid_basis(positions, masses, periodic)
    held = rigid[~_free_mask(free, positions)]
    if not len(held):
        return rigid
    squares, directions = torch.linalg.eigh(held.T @ held)
    return rigid @ directions[:, squares <= HELD_TOLERANCE**2 * squares.max().clamp_min(1e-24)]


def partial_vibrations(
    hessian: Tensor, positions: Tensor, masses: Tensor, free: Tensor, periodic: bool = False
) -> Spectrum:
    """Modes of a structure of which some coordinates are held: those of the free ones.

    F_cc = M_c^(-1/2) H_cc M_c^(-1/2) of the n free coordinates c is diagonalised as it is: held atoms fix
    the place and the orientation of the rest, and nothing is projected out. What the held coordinates leave
    of rigid motions (`free_rigid_motions`: none of a slab) is no vibration, and goes as in `vibrations`. So
    there are M = n - r modes; `modes` are [3N, M], zero at held coordinates.

    Args:
        hessian: [n, n], eV/A^2, of the free coordinates in ascending order; its symmetric part counts.
        positions, masses, free, periodic: see `free_rigid_motions`.

    Raises:
        ValueError: shapes that do not belong together, masses that are not positive.
    """
    moving = _free_mask(free, positions)
    root = _root_masses(masses)[moving]
    h = _square(hessian, len(root))
    weighted = _symmetric(h / (root[:, None] * root[None, :]))
    rigid = free_rigid_motions(positions, masses, free, periodic)[moving].to(weighted)
    q, _ = torch.linalg.qr(rigid, mode="complete")
    basis = q[:, rigid.shape[1] :]
    eigenvalues, vectors = torch.linalg.eigh(basis.T @ weighted @ basis)
    modes = torch.zeros((len(moving), len(eigenvalues)), dtype=weighted.dtype, device=weighted.device)
    modes[moving] = basis @ vectors
    return Spectrum(eigenvalues, modes)


def wavenumbers(eigenvalues: Tensor) -> Tensor:
    """nu = sign(lambda) sqrt(|lambda|) / (2 pi c): cm^-1 from eV/(A^2 amu), imaginary as negative."""
    return eigenvalues.sign() * eigenvalues.abs().sqrt() * WAVENUMBER


def zero_point_energy(frequencies: Tensor) -> float:
    """E_0 = 1/2 sum h c nu over the real modes (nu > 0), eV from cm^-1; imaginary modes add nothing."""
    return 0.5 * EV_PER_WAVENUMBER * float(frequencies.clamp_min(0.0).sum())


def saddle_index(frequencies: Tensor, threshold: float = SADDLE_THRESHOLD) -> int:
    """Number of modes below `threshold` (cm^-1, negative = imaginary): 0 a minimum, 1 a transition state."""
    return int((frequencies < threshold).sum())


def mode_overlap(first: Tensor, second: Tensor) -> float:
    """cos of the smallest angle between two spaces with orthonormal columns [3N, d1], [3N, d2]: in [0, 1].

    For single modes this is |<u, v>|. Degenerate modes have no direction of their own, only a space, so the
    best aligned pair counts: the largest singular value of U^T V (Bjorck, Golub, Math. Comp. 27, 579, 1973).
    """
    return min(1.0, float(torch.linalg.matrix_norm(first.T @ second, ord=2)))


def _root_masses(masses: Tensor) -> Tensor:
    """sqrt(m) of each coordinate, [3N]."""
    m = masses.detach().to(torch.float64)
    if m.ndim != 1 or not bool((m > 0).all()):
        raise ValueError("masses must be one positive number (amu) an atom")
    return m.sqrt().repeat_interleave(3)


def _free_mask(free: Tensor, positions: Tensor) -> Tensor:
    """[3N] boolean."""
    mask = free.detach().to(torch.bool)
    if mask.shape != positions.shape:
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} does not fit positions {tuple(positions.shape)}"
        )
    return mask.reshape(-1)


def _square(hessian: Tensor, size: int) -> Tensor:
    h = hessian.detach().to(torch.float64)
    if h.shape != (size, size):
        raise ValueError(
            f"a Hessian of shape {tuple(h.shape)} does not fit {size // 3} atoms; wanted {(size,) * 2}"
        )
    return h


def _symmetric(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix + matrix.T)
