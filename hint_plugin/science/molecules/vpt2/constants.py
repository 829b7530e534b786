"""The anharmonic constants x_ij and the zero-point energy, in closed form.

    E(v) / hc = chi_0 + sum_i omega_i (v_i + 1/2) + sum_{i<=j} x_ij (v_i + 1/2) (v_j + 1/2)

    16 x_ii = phi_iiii - 5/3 phi_iii^2 / omega_i
              - 1/2 sum_{j != i} phi_iij^2 [4/omega_j + 1/(2 omega_i + omega_j) - 1/(2 omega_i - omega_j)]
     4 x_ij = phi_iijj - sum_k phi_iik phi_jjk / omega_k
              - 1/2 sum_k phi_ijk^2 [1/(i + j + k) + 1/(-i + j + k) + 1/(i - j + k) - 1/(i + j - k)]
              + 4 sum_a B_a (zeta^a_ij)^2 (omega_i/omega_j + omega_j/omega_i)

with i + j - k for omega_i + omega_j - omega_k, and so on (Mills 1972; Papousek, Aliev 1982; in partial
fractions as in Barone 2005). The fractions of a Fermi resonance are left out: the constants are
deperturbed, and a matrix takes the coupling into account (`polyads`). The energy of the ground state,

    E(0)/hc = 1/2 sum omega_i + 1/32 sum_ij phi_iijj - 1/48 sum_ijk phi_ijk^2 / (i + j + k)
              - 1/32 sum_ijk phi_iik phi_jjk / omega_k
              + 1/4 sum_a B_a [sum_{i<j} (zeta^a_ij)^2 (omega_i/omega_j + omega_j/omega_i - 2) - 1]

has no small denominators (J. Bloino, M. Biczysko, V. Barone, J. Chem. Theory Comput. 8, 1015 (2012)), and
chi_0 is what it has beyond 1/2 sum omega_i + 1/4 sum_{i<=j} x_ij. The -1 is Watson's term, not there in a
linear molecule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hint_plugin.science.molecules.vpt2.force_field import AnharmonicField
from hint_plugin.science.molecules.vpt2.resonances import FermiResonance

_NOTHING = 1e-9
"""cm^-1, of a cubic constant that is zero: it has no resonance, however near the levels are."""


@dataclass(frozen=True)
class AnharmonicConstants:
    """x_ij and the zero-point energy, in cm^-1.

    Attributes:
        frequencies: omega [M], harmonic.
        x: [M, M], symmetric.
        zero_point: harmonic, cubic, quartic, coriolis, watson: parts of the zero-point energy.
    """

    frequencies: NDArray
    x: NDArray
    zero_point: dict[str, float]

    @property
    def zero_point_energy(self) -> float:
        """cm^-1, all parts together."""
        return float(sum(self.zero_point.values()))

    @property
    def chi_0(self) -> float:
        """cm^-1: of the zero-point energy, what omega and x do not give."""
        half = 0.5 * self.frequencies.sum() + 0.25 * np.triu(self.x).sum()
        return float(self.zero_point_energy - half)

    def energy(self, quanta: Sequence[int]) -> float:
        """Of a state v above the ground state, cm^-1."""
        v = np.asarray(quanta, dtype=float)
        outer = np.outer(v + 0.5, v + 0.5) - 0.25
        return float(self.frequencies @ v + (np.triu(self.x) * outer).sum())


def anharmonic_constants(
    field: AnharmonicField, resonances: Sequence[FermiResonance] = ()
) -> AnharmonicConstants:
    """x_ij without the terms of `resonances`, and the zero-point energy.

    A denominator of zero that no resonance takes out gives infinity or NaN, as in plain VPT2.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        x = _quartic_part(field) + _cubic_part(field, _left_out(field, resonances)) + _coriolis_part(field)
        return AnharmonicConstants(field.frequencies, x, _zero_point(field))


def _left_out(field: AnharmonicField, resonances: Sequence[FermiResonance]) -> NDArray:
    """[M, M, M] boolean: whether the fraction with omega_i + omega_j - omega_k is left out."""
    size = len(field.frequencies)
    found = np.zeros((size, size, size), dtype=bool)
    for one in resonances:
        found[one.i, one.j, one.k] = found[one.j, one.i, one.k] = True
    return found


def _quartic_part(field: AnharmonicField) -> NDArray:
    modes = np.arange(len(field.frequencies))
    x = field.quartic[:, modes, modes] / 4
    x[modes, modes] /= 4
    return x


def _cubic_part(field: AnharmonicField, out: NDArray) -> NDArray:
    """Sums over k of phi_iik phi_jjk and phi_ijk^2; for i = j the half of it, twice over."""
    omega, phi = field.frequencies, field.cubic
    i, j, k = omega[:, None, None], omega[None, :, None], omega[None, None, :]
    modes = np.arange(len(omega))
    iik = phi[modes, modes, :]  # [i, k]
    out = out | (np.abs(phi) < _NOTHING)
    near = np.where(out, 0.0, 1 / np.where(out, 1.0, i + j - k))  # [i, j, k]: 1 / (i + j - k)
    mixed = 1 / (i + j + k) + near.transpose(2, 1, 0) + near.transpose(0, 2, 1) - near
    x = -0.25 * (iik / omega) @ iik.T - 0.125 * (phi**2 * mixed).sum(axis=2)
    own = iik**2 * (4 / omega + 1 / (2 * omega[:, None] + omega) - near[modes, modes, :])
    x[modes, modes] = -own.sum(axis=1) / 32
    return np.asarray(x)


def _coriolis_part(field: AnharmonicField) -> NDArray:
    ratio = field.frequencies[:, None] / field.frequencies
    return np.asarray(np.einsum("a,aij->ij", field.rotational, field.zeta**2) * (ratio + ratio.T))


def _zero_point(field: AnharmonicField) -> dict[str, float]:
    omega, phi = field.frequencies, field.cubic
    modes = np.arange(len(omega))
    sums = omega[:, None, None] + omega[None, :, None] + omega[None, None, :]
    trace = phi[modes, modes, :].sum(axis=0)
    ratio = omega[:, None] / omega
    turning = np.einsum("a,aij->ij", field.rotational, field.zeta**2) * (ratio + ratio.T - 2)
    return {
        "harmonic": float(omega.sum() / 2),
        "cubic": float(-(phi**2 / sums).sum() / 48 - (trace**2 / omega).sum() / 32),
        "quartic": float(field.quartic[:, modes, modes].sum() / 32),
        "coriolis": float(np.triu(turning, 1).sum() / 4),
        "watson": 0.0 if field.linear else float(-field.rotational.sum() / 4),
    }
