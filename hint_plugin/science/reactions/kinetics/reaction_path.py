"""What variational theory and curved tunnelling need of a reaction path: modes across it, and its curvature.

At a point of the path with mass-weighted gradient g and Hessian F the path runs along v = -g / |g|. The
generalised normal modes are those of F with v, translations and rotations projected out (W. H. Miller,
N. C. Handy, J. E. Adams, J. Chem. Phys. 72, 99 (1980)). How the path bends into mode L_m is (M. Page,
J. W. McIver, J. Chem. Phys. 88, 922 (1988), Eq. 47)

    B_m = L_m . F v / |g|,    kappa = (sum_m B_m^2)^(1/2)

At the saddle g vanishes: v is the imaginary mode there, and B_m = -L_m . dv/ds of `following`. Where g is too
small for a direction the curvature is interpolated.

| symbol | variable | unit |
|---|---|---|
| s, negative on the reactant's side | `s` [K] | A amu^(1/2) |
| V(s) | `energies` [K] | eV |
| hbar omega_m(s), imaginary ones negative | `quanta` K x [M - 1] | eV |
| kappa(s) | `curvature` [K] | 1 / (A amu^(1/2)) |
| t(s), turning point in the direction of the curvature | `turning` [K] | A amu^(1/2) |
| V_a^G(s) = V(s) + sum_m hbar omega_m / 2 | `adiabatic` [K] | eV |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

from hint_plugin.core.spectra import vibrational_basis
from hint_plugin.science.reactions.kinetics.species import HBAR

_FLAT = 0.03
"""Of the largest gradient: below, the direction of the path is noise, and the curvature is interpolated."""
_STRAIGHT = 0.05
"""Radians: a path that turns by less is straight."""


@dataclass(frozen=True)
class PathPoint:
    """One point of a path; see the table of this module.

    Attributes:
        s, energy: see there.
        quanta: [M - 1].
        couplings: B_m [M - 1]; NaN where they are not known.
        moments: of inertia, amu A^2: three, or one of a linear geometry.
        gradient: |g|, eV / (A amu^(1/2)); 0 at the saddle.
        tangent: v, in coordinates that are the same for all points; empty where it is not kept.
    """

    s: float
    energy: float
    quanta: NDArray
    couplings: NDArray
    moments: NDArray
    gradient: float = 0.0
    tangent: NDArray = field(default_factory=lambda: np.zeros(0))


def path_point(s: float, energy: float, gradient: NDArray, hessian: NDArray, **more: NDArray) -> PathPoint:
    """Modes across the path and its curvature at one point.

    Args:
        s, energy: see the table of this module.
        gradient: g [M] without translations and rotations, mass-weighted, eV / (A amu^(1/2)).
        hessian: F [M, M], likewise, eV / (A^2 amu).
        more: `tangent` [M], v of a stationary point, in place of the gradient, and `bend` [M], its dv/ds;
            `moments` of inertia.
    """
    tangent = more.get("tangent")
    size = float(np.linalg.norm(gradient))
    along = np.asarray(-gradient / size if tangent is None else tangent / np.linalg.norm(tangent))
    across = np.linalg.qr(along[:, None], mode="complete")[0][:, 1:]
    values, vectors = np.linalg.eigh(across.T @ hessian @ across)
    modes = across @ vectors
    if tangent is None:
        couplings = modes.T @ (hessian @ along) / size
    else:
        couplings = -modes.T @ more.get("bend", np.full(len(along), np.nan))
    quanta = np.sign(values) * HBAR * np.sqrt(np.abs(values))
    moments = np.asarray(more.get("moments", np.zeros(0)))
    return PathPoint(s, energy, quanta, couplings, moments, size if tangent is None else 0.0, along)


def molecular_point(
    s: float, energy: float, atoms: Atoms, forces: NDArray, hessian: NDArray, **stationary: NDArray
) -> PathPoint:
    """`path_point` of a molecule.

    Args:
        s, energy: see there.
        atoms: the geometry; its own masses count.
        forces: [N, 3], eV/A.
        hessian: [3N, 3N], eV/A^2.
        stationary: `tangent` and `bend` [3N] of a stationary point, mass-weighted.
    """
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    basis = vibrational_basis(torch.as_tensor(atoms.positions), torch.as_tensor(atoms.get_masses())).numpy()
    gradient = basis.T @ (-np.asarray(forces).ravel() / root)
    symmetric = 0.5 * (np.asarray(hessian) + np.asarray(hessian).T)
    weighted = basis.T @ (symmetric / np.outer(root, root)) @ basis
    moments = np.asarray(atoms.get_moments_of_inertia())
    more = {"moments": moments[-1:] if basis.shape[1] == len(root) - 5 else moments}
    more |= {name: basis.T @ vector for name, vector in stationary.items()}
    found = path_point(s, energy, gradient, weighted, **more)
    return replace(found, tangent=basis @ found.tangent)


@dataclass(frozen=True)
class ReactionPath:
    """Points of a path, in the order of s, the saddle at s = 0 among them; see the table of this module."""

    points: Sequence[PathPoint]
    scale: float = 1.0
    """Factor on the frequencies across the path."""
    notes: list[str] = field(default_factory=list)

    @property
    def s(self) -> NDArray:
        """[K]."""
        return np.array([point.s for point in self.points])

    @property
    def energies(self) -> NDArray:
        """V [K], eV."""
        return np.array([point.energy for point in self.points])

    @property
    def quanta(self) -> list[NDArray]:
        """hbar omega of each point, eV; imaginary ones negative."""
        return [self.scale * point.quanta for point in self.points]

    @property
    def adiabatic(self) -> NDArray:
        """V_a^G [K], eV; imaginary modes add nothing."""
        return self.energies + np.array([0.5 * quanta[quanta > 0].sum() for quanta in self.quanta])

    @property
    def bends(self) -> NDArray:
        """[K], whether the curvature is known at a point and not interpolated."""
        size = np.array([point.gradient for point in self.points])
        known = np.array([bool(np.isfinite(point.couplings).all()) for point in self.points])
        return np.asarray(known & ((size > _FLAT * size.max()) | (size == 0)))

    @property
    def curvature(self) -> NDArray:
        """kappa [K]."""
        return self._interpolated([np.linalg.norm(point.couplings) for point in self.points])

    @property
    def unresolved(self) -> float:
        """How far the curvature is from the turns of the path between its points, as a part of these: 0 where
        it is resolved. Counted are points of known curvature in the upper half of the barrier."""
        known, high = self.bends, self.energies > 0.5 * (self.energies.max() + self._end)
        kappa, turns, expected = self.curvature, [], []
        for k in np.flatnonzero((known & high)[:-1] & (known & high)[1:]).tolist():
            between = abs(float(self.points[k].tangent @ self.points[k + 1].tangent))
            turns.append(np.arccos(min(1.0, between)))
            expected.append(0.5 * (kappa[k] + kappa[k + 1]) * (self.s[k + 1] - self.s[k]))
        if not turns or sum(turns) < _STRAIGHT:
            return 0.0
        return float(np.abs(np.subtract(expected, turns)).sum() / sum(turns))

    @property
    def _end(self) -> float:
        return float(max(self.energies[0], self.energies[-1]))

    @property
    def turning(self) -> NDArray:
        """t [K]: t = kappa^(1/2) / (sum_m B_m^2 t_m^-4)^(1/4), t_m = hbar / (hbar omega_m)^(1/2); 0 where the
        path is straight."""
        found = []
        for point, quanta in zip(self.points, self.quanta, strict=True):
            squares = point.couplings**2
            stiff = np.where(quanta > 0, (quanta / HBAR**2) ** 2, 0.0)  # t_m^-4
            total = float((squares * stiff).sum())
            found.append(np.sqrt(np.linalg.norm(point.couplings)) / total**0.25 if total else 0.0)
        return self._interpolated(found)

    def _interpolated(self, values: Sequence[float] | list) -> NDArray:
        known = self.bends
        return np.interp(self.s, self.s[known], np.array(values, dtype=float)[known])

    def fine(self, values: NDArray, count: int = 2001) -> tuple[NDArray, NDArray]:
        """(s, values) on a fine grid, by Akima's interpolation, which does not swing beside a kink."""
        grid = np.linspace(self.s[0], self.s[-1], count)
        return grid, np.asarray(Akima1DInterpolator(self.s, values)(grid))
