"""Cubic and quartic force constants in dimensionless normal coordinates, from Hessians along the modes.

With H(q) = d2V/dq dq in cm^-1 at a displacement d of mode k alone (W. Schneider, W. Thiel, Chem. Phys. Lett.
157, 367 (1989)),

    phi_ijk  = (H_ij(+d) - H_ij(-d)) / (2 d)                        error d^2/6  phi_ijkkk
    phi_ijkk = (H_ij(+d) + H_ij(-d) - 2 H_ij(0)) / d^2              error d^2/12 phi_ijkkkk

which is every cubic constant and every quartic one with two indices the same: VPT2 needs no others. Forces at
twice the displacement give some of them once more: with the gradient g(q),

    phi_ikk  = (g_i(+2d) + g_i(-2d) - 2 g_i(0)) / (2 d)^2                          error d^2/3 phi_ikkkk
    phi_kkkk = (g_k(+2d) - g_k(-2d) - 2 g_k(+d) + 2 g_k(-d)) / (2 d^3)             error d^2/4 phi_kkkkkk

and with those of the Hessians, a and b, phi = 2 a - b of the cubic ones and (3 a - b) / 2 of the quartic ones
are free of the error of order d^2. A constant that two or three modes give is their mean. How far it is from
that of the Hessians of one mode alone is taken as its error, of the step and of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from hint_plugin.core.spectra import AMU, EV_PER_WAVENUMBER
from hint_plugin.science.molecules.modes import NormalModes

LENGTH = constants.hbar / (2 * np.pi * constants.c * 100 * AMU) * 1e20
"""amu A^2 cm^-1: Q^2 / q^2 of a mode of 1 cm^-1, and 2 B I of a rotation: 33.7153."""


@dataclass(frozen=True)
class AnharmonicField:
    """The quartic force field of one molecule at its minimum, and what couples to it; symbols: `vpt2`.

    Attributes:
        frequencies: omega [M], cm^-1, all above 0.
        cubic: phi_ijk [M, M, M], cm^-1, symmetric.
        quartic: phi_ijkk [M, M, M] as [k, i, j], cm^-1, symmetric in i, j; [k, i, i] = [i, k, k].
        rotational: B_a [3], cm^-1; 0 of the axis of a linear molecule.
        zeta: Coriolis constants [3, M, M], antisymmetric in the modes.
        linear: whether the molecule is.
    """

    frequencies: NDArray
    cubic: NDArray
    quartic: NDArray
    rotational: NDArray
    zeta: NDArray
    linear: bool = False


@dataclass(frozen=True)
class MeasuredField:
    """A field, and the same from the Hessians of one mode alone: they differ by the error of the differences.

    `cubic_spread`, `quartic_spread` are the largest differences, cm^-1.
    """

    field: AnharmonicField
    other: AnharmonicField

    @property
    def cubic_spread(self) -> float:
        """cm^-1."""
        return float(np.abs(self.field.cubic - self.other.cubic).max())

    @property
    def quartic_spread(self) -> float:
        """cm^-1."""
        return float(np.abs(self.field.quartic - self.other.quartic).max())


def to_dimensionless(modes: NormalModes) -> NDArray:
    """dx/dq [M, 3N], A: the Cartesian displacement by one unit of each q.

    x_k = M^(-1/2) L_k (hbar / (2 pi c omega_k))^(1/2).
    """
    lengths = np.sqrt(LENGTH / modes.frequencies)
    root = np.sqrt(np.repeat(modes.atoms.get_masses(), 3))
    return np.asarray(lengths[:, None] * modes.mass_weighted / root)


def rotational_constants(modes: NormalModes) -> tuple[NDArray, NDArray]:
    """B_a [3] in cm^-1 and zeta^a_ij [3, M, M] about the principal axes a.

    zeta^a_ij = sum_n e_a . (L_in x L_jn) over the atoms n. Of a linear molecule, the axis has neither.
    """
    moments, axes = modes.atoms.get_moments_of_inertia(vectors=True)
    vectors = modes.mass_weighted.reshape(len(modes.frequencies), -1, 3)
    crossed = np.cross(vectors[:, None], vectors[None]).sum(axis=2)
    zeta = np.einsum("ac,ijc->aij", axes, crossed)
    constant = np.zeros(3)
    turning = np.array([False, True, True]) if modes.linear else np.ones(3, dtype=bool)
    constant[turning] = 0.5 * LENGTH / moments[turning]
    zeta[~turning] = 0.0
    return constant, zeta


@dataclass(frozen=True)
class Displaced:
    """What is computed with each mode displaced by d and by 2d, with the sign `s` of the name.

    `hessian` [M, 3N, 3N], eV/A^2, and `forces` [M, N, 3], eV/A, at s d; `far` [M, N, 3] at 2 s d.
    """

    hessian: NDArray
    forces: NDArray
    far: NDArray


def field_from_hessians(
    modes: NormalModes, step: float, plus: Displaced, minus: Displaced, forces: NDArray
) -> MeasuredField:
    """The field from Hessians and forces at displacements along each mode.

    Args:
        modes: at the minimum; none imaginary.
        step: d, of the dimensionless coordinate.
        plus, minus: at +d and at -d.
        forces: at the minimum [N, 3], eV/A: what the optimisation has left.
    """
    along, omega = to_dimensionless(modes), modes.frequencies

    def curvature(hessian: NDArray) -> NDArray:
        return np.einsum("ia,kab,jb->kij", along, hessian, along) / EV_PER_WAVENUMBER

    def slope(of_force: NDArray) -> NDArray:
        return -of_force.reshape(len(of_force), -1) @ along.T / EV_PER_WAVENUMBER

    up, down, here = curvature(plus.hessian), curvature(minus.hessian), slope(np.asarray(forces)[None])
    cubic = (up - down) / (2 * step)
    quartic = (up + down - 2 * np.diag(omega)) / step**2
    far_up, far_down = slope(plus.far), slope(minus.far)
    third = (far_up + far_down - 2 * here) / (2 * step) ** 2  # [k, i]: phi_ikk
    odd = far_up - far_down - 2 * slope(plus.forces) + 2 * slope(minus.forces)
    fourth = np.diagonal(odd) / (2 * step**3)
    rotational, zeta = rotational_constants(modes)
    return MeasuredField(
        AnharmonicField(
            omega, _best_cubic(cubic, third), _best_quartic(quartic, fourth), rotational, zeta, modes.linear
        ),
        AnharmonicField(omega, _other_cubic(cubic), _other_quartic(quartic), rotational, zeta, modes.linear),
    )


def _orders(cubic: NDArray) -> NDArray:
    """The same constant from each of its three modes [3, M, M, M]; [k, i, j] is symmetric in i, j already."""
    return np.stack([cubic, cubic.transpose(1, 0, 2), cubic.transpose(2, 1, 0)])


def _best_cubic(cubic: NDArray, third: NDArray) -> NDArray:
    """The mean over the modes that give a constant, of phi_ikk after what forces say of the step."""
    better = cubic.copy()
    for k, from_forces in enumerate(third):
        better[k, :, k] = better[k, k, :] = 2 * cubic[k, :, k] - from_forces
    return np.asarray(_orders(better).mean(axis=0))


def _best_quartic(quartic: NDArray, fourth: NDArray) -> NDArray:
    """phi_iikk is known from i and from k: the mean; phi_kkkk after what forces say of the step."""
    found, modes = quartic.copy(), np.arange(len(quartic))
    known = quartic[:, modes, modes]
    found[:, modes, modes] = 0.5 * (known + known.T)
    found[modes, modes, modes] = 1.5 * known[modes, modes] - 0.5 * fourth
    return found


def _other_cubic(cubic: NDArray) -> NDArray:
    """From the mode that says what is farthest from the mean."""
    three = _orders(cubic)
    farthest = np.abs(three - three.mean(axis=0)).argmax(axis=0)
    return np.asarray(np.take_along_axis(three, farthest[None], axis=0)[0])


def _other_quartic(quartic: NDArray) -> NDArray:
    """From the stiffer of two modes."""
    found, modes = quartic.copy(), np.arange(len(quartic))
    known = quartic[:, modes, modes]
    found[:, modes, modes] = np.tril(known) + np.tril(known, -1).T
    return found
