"""Whether the images of a band show its barrier: what the energy does between them.

Between images the path is a monotone cubic through their positions, x(s), and the energy is the cubic through
their energies and their tangent forces (G. Henkelman, H. Jonsson, J. Chem. Phys. 113, 9978 (2000), appendix):

    dE/ds = -F(x) . dx/ds

The energy is asked for along x(s), too, in steps that no atom takes farther than `SPACING`. Where the cubic
and the answers part beside the top, or an answer lies above the top, the barrier is not resolved: the points
that show it become images.

| symbol | variable | unit |
|---|---|---|
| s, length along straight lines between images | `s` [n] | A |
| x(s) | `positions` [n, 3N] | A |
| E, dE/ds | `energies`, `slopes` [n] | eV, eV/A |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPACING = 0.1
"""A: between answers, of the atom that moves most. A barrier that is narrower is not seen."""
_TOLERANCE, _SHARE = 0.05, 0.03  # eV; of the barrier
_MOST = 8  # images that are inserted at once

Evaluate = Callable[[NDArray], tuple[NDArray, NDArray]]
"""Positions [K, 3N] -> energies [K], eV, and forces [K, N, 3] or [K, 3N], eV/A."""


@dataclass(frozen=True)
class Line:
    """Points on a path, with what the energy does there; arrays in the order of the path."""

    s: NDArray
    positions: NDArray
    energies: NDArray
    slopes: NDArray

    @property
    def energy(self) -> Any:
        """E(s): the cubic through energies and slopes."""
        from scipy.interpolate import CubicHermiteSpline

        return CubicHermiteSpline(self.s, self.energies, self.slopes)

    @property
    def peak(self) -> float:
        """The highest energy of E(s), eV."""
        dense = np.linspace(self.s[:-1], self.s[1:], 41).ravel()
        return float(max(self.energies.max(), self.energy(dense).max()))

    def with_(self, other: Line, which: NDArray) -> Line:
        """These points and some of another line's, in order."""
        s = np.concatenate([self.s, other.s[which]])
        order = np.argsort(s)
        pairs = (
            (self.positions, other.positions),
            (self.energies, other.energies),
            (self.slopes, other.slopes),
        )
        return Line(s[order], *(np.concatenate([a, b[which]])[order] for a, b in pairs))


@dataclass(frozen=True)
class Resolution:
    """What lies between the images.

    `error`: eV, the most that the cubic is wrong beside the top, or by which the path is higher than the top;
    `tolerance`: what it may be; `peak`: eV, of the cubic; `between`: the images on both sides of the worst
    place; `refined` [m, 3N]: the images, and those that should be there.
    """

    error: float
    tolerance: float
    peak: float
    between: tuple[int, int]
    refined: NDArray

    @property
    def resolved(self) -> bool:
        """Whether the barrier is."""
        return self.error <= self.tolerance


def examine(positions: NDArray, energies: NDArray, forces: NDArray, evaluate: Evaluate) -> Resolution:
    """Look between the images of a path.

    Args:
        positions: [n, 3N] of the images, A.
        energies: [n], eV.
        forces: [n, 3N], eV/A.
        evaluate: asked once, for about one energy for each 0.1 A of the path.

    Raises whatever `evaluate` raises.
    """
    from scipy.interpolate import PchipInterpolator

    s = np.concatenate([[0], np.cumsum(np.maximum(1e-6, np.linalg.norm(np.diff(positions, axis=0), axis=1)))])
    path = PchipInterpolator(s, positions)
    tangent = path.derivative()
    images = Line(s, positions, energies, -(forces * tangent(s)).sum(axis=1))
    between = np.concatenate(
        [_inside(s[k], s[k + 1], positions[k], positions[k + 1]) for k in range(len(s) - 1)]
    )
    places = path(between)
    answers, there = evaluate(places)
    slopes = -(there.reshape(places.shape) * tangent(between)).sum(axis=1)
    probes = Line(between, places, answers, slopes)
    height = max(energies.max(), probes.energies.max()) - min(energies[0], energies[-1])
    tolerance = max(_TOLERANCE, _SHARE * float(height))
    errors = _errors(images, probes)
    worst = int(errors.argmax())
    left = int(np.searchsorted(s, between[worst])) - 1
    refined = _refined(images, probes, tolerance)
    return Resolution(float(errors[worst]), tolerance, images.peak, (left, left + 1), refined.positions)


def _inside(start: float, end: float, a: NDArray, b: NDArray) -> NDArray:
    """Places between two images, one at least."""
    move = np.linalg.norm((b - a).reshape(-1, 3), axis=1).max()
    count = max(1, int(np.ceil(move / SPACING)) - 1)
    return np.linspace(start, end, count + 2)[1:-1]


def _errors(images: Line, probes: Line) -> NDArray:
    """eV, for each probe: how wrong the cubic is beside the top; elsewhere, how much it is above the top."""
    top = int(images.energies.argmax())
    low, high = images.s[max(0, top - 1)], images.s[min(len(images.s) - 1, top + 1)]
    beside = (probes.s > low) & (probes.s < high)
    return np.where(
        beside,
        np.abs(probes.energies - images.energy(probes.s)),
        np.maximum(0.0, probes.energies - images.energies[top]),
    )


def _refined(images: Line, probes: Line, tolerance: float) -> Line:
    """The images and as many of the probes as it takes, the worst first."""
    for _ in range(_MOST):
        errors = _errors(images, probes)
        errors[np.isin(probes.s, images.s)] = 0.0
        worst = int(errors.argmax())
        if errors[worst] <= tolerance:
            break
        images = images.with_(probes, np.array([worst]))
    return images
