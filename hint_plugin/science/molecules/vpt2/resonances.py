"""Fermi resonances: two levels so near to each other that perturbation theory cannot couple them.

Type 1, 2 omega_i = omega_j, and type 2, omega_i + omega_j = omega_k, couple by

    W = phi_iij / 4    and    W = phi_ijk / (2 sqrt 2)

With D the gap of the harmonic levels, second order gives W^2/D, and the next term of what two levels really
do, W^4/D^3, is the error (J. M. L. Martin, T. J. Lee, P. R. Taylor, J.-P. Francois, J. Chem. Phys. 103, 2589
(1995)): above 1 cm^-1 it is a resonance, if D is below 200 cm^-1 (Barone 2005). A larger D with that error
means a coupling of hundreds of cm^-1, which no block of two levels describes.

Degenerate modes may be turned into one another, which changes their constants: where one of them is in a
resonance, so are the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.science.molecules.vpt2.force_field import AnharmonicField

GAP, ERROR = 200.0, 1.0
"""cm^-1: the largest gap, and the smallest error of second order, of a resonance."""
SAME = 0.5
"""cm^-1, of degenerate modes: what noise of differences leaves."""
_NEAR = 0.05
"""cm^-1: what is so near in energy is a resonance however small its coupling is; a difference of numbers with
noise is no denominator."""
_UNCOUPLED = 0.01
"""cm^-1: couplings that symmetry forbids are as small."""


@dataclass(frozen=True)
class FermiResonance:
    """Modes i, j (the same in type 1) with omega_i + omega_j near omega_k; numbered from 0.

    `gap` omega_k - omega_i - omega_j, `coupling` W and `error` W^4/D^3, all in cm^-1.
    """

    i: int
    j: int
    k: int
    gap: float = 0.0
    coupling: float = 0.0
    error: float = 0.0

    @property
    def kind(self) -> int:
        """1 or 2."""
        return 1 if self.i == self.j else 2

    def change(self, modes: int) -> tuple[int, ...]:
        """How the quanta of M modes change from the one level to the other."""
        found = np.zeros(modes, dtype=int)
        for mode, by in ((self.i, -1), (self.j, -1), (self.k, 1)):
            found[mode] += by
        return tuple(found.tolist())

    def as_dict(self) -> dict[str, Any]:
        """For JSON; modes are numbered from 1, as in the table."""
        return {
            "type": f"Fermi {self.kind}",
            "modes": [self.i + 1, self.j + 1, self.k + 1],
            "gap": self.gap,
            "coupling": self.coupling,
            "error_of_second_order": self.error,
        }


def fermi_resonances(field: AnharmonicField, gap: float = GAP, error: float = ERROR) -> list[FermiResonance]:
    """All of both types, by Martin's test.

    Args:
        field: the molecule.
        gap: cm^-1; levels farther apart are in no resonance.
        error: cm^-1, of second order, at which one begins.
    """
    size, groups = len(field.frequencies), degenerate_sets(field.frequencies)
    candidates = [
        _between(field, j, i, k)
        for k in range(size)
        for i in range(size)
        for j in range(i + 1)
        if k not in (i, j)
    ]
    candidates = [one for one in candidates if abs(one.gap) <= gap and _matters(one)]
    sets = {one: (*sorted((groups[one.i], groups[one.j])), groups[one.k]) for one in candidates}
    resonant = {sets[one] for one in candidates if one.error >= error or abs(one.gap) < _NEAR}
    return [one for one in candidates if sets[one] in resonant]


def _matters(one: FermiResonance) -> bool:
    """Whether there is a coupling, or a denominator that is none."""
    return abs(one.coupling) > _UNCOUPLED or abs(one.gap) < _NEAR


def degenerate_sets(frequencies: NDArray) -> NDArray:
    """[M] the number of the set of degenerate modes that a mode is in; most sets have one."""
    order = np.argsort(frequencies, kind="stable")
    found = np.empty(len(frequencies), dtype=int)
    found[order] = np.concatenate([[0], np.cumsum(np.diff(frequencies[order]) > SAME)])
    return found


def given_resonances(field: AnharmonicField, given: Sequence[tuple[int, int, int]]) -> list[FermiResonance]:
    """Those that a caller names, as (i, j, k), whatever the test says of them."""
    return [_between(field, min(i, j), max(i, j), k) for i, j, k in given]


def _between(field: AnharmonicField, i: int, j: int, k: int) -> FermiResonance:
    omega = field.frequencies
    gap = float(omega[k] - omega[i] - omega[j])
    coupling = float(field.cubic[i, j, k] / (4.0 if i == j else 2 * np.sqrt(2.0)))
    error = coupling**4 / max(abs(gap), 1e-3) ** 3
    return FermiResonance(i, j, k, gap, coupling, error)
