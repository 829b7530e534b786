"""The intrinsic reaction coordinate: steepest descent from a saddle in mass-weighted coordinates.

Local quadratic approximation (M. Page, J. W. McIver, J. Chem. Phys. 88, 922 (1988)): at a point with gradient
g and Hessian H = U diag(lambda) U^T, both mass-weighted, the descent on the quadratic surface is

    x(t) = x_0 - U diag[(1 - exp(-lambda t)) / lambda] U^T g,    ds/dt = |diag[exp(-lambda t)] U^T g|

followed to the arc length s. The Hessian is exact at the saddle and every `recalculate` steps; in between it
is updated (J. M. Bofill, J. Comput. Chem. 15, 1 (1994)).

| symbol | variable | unit |
|---|---|---|
| s | `step` | A amu^(1/2) |
| x, g, H | mass-weighted `x`, `g`, `h` | A amu^(1/2), eV/(A amu^(1/2)), eV/(A^2 amu) |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.constraints import free_coordinates
from hint_plugin.potentials.partial_hessian import embedded_hessian
from hint_plugin.science.molecules.modes import largest_force, normal_modes

STEP = 0.1
FORCE_AT_END = 0.05
"""eV/A: near enough to a minimum for an optimiser to take over."""
_RISE = 1e-5  # eV


@dataclass
class Path:
    """One side of a reaction path, saddle first: geometries, energies (eV), arc lengths (A amu^1/2)."""

    images: list[Atoms] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    why: str = ""
    """Why it ended: "minimum" (small forces), "bottom" (no way down), or "steps"."""


def follow(
    saddle: Atoms,
    hessian: NDArray,
    direction: int,
    *,
    step: float = STEP,
    steps: int = 100,
    recalculate: int = 10,
    report: Callable[[int, float], None] | None = None,
) -> Path:
    """Down one side of a saddle.

    Args:
        saddle: with a calculator that has `get_hessian`.
        hessian: [3N, 3N] at the saddle, eV/A^2; where atoms are held, the block [n, n] of the free
            coordinates.
        direction: 1 or -1 along its imaginary mode.
        step: s, A amu^(1/2).
        steps: at most.
        recalculate: an exact Hessian every so many steps.
        report: called with the step and the energy.

    Raises what the calculator raises.
    """
    root = np.sqrt(np.repeat(saddle.get_masses(), 3))
    surface = _Surface(saddle, root)
    path = Path([saddle.copy()], [surface.at(saddle.positions.ravel() * root)[0]], [0.0], "steps")
    free = free_coordinates(saddle)
    h = (hessian if free.all else free.whole(free.part(hessian))) / np.outer(root, root)
    x = saddle.positions.ravel() * root
    move = direction * step * normal_modes(saddle, hessian).mass_weighted[0]
    length, g, age = step, np.zeros(0), 0
    for k in range(1, steps + 1):
        if len(g):
            move = descend(g, h, length)
        energy, g_new = surface.at(x + move)
        if energy > path.energies[-1] + _RISE and len(g):  # past the bottom, or misled by an old Hessian
            if age == 0 and length < 0.2 * step:
                path.why = "bottom"
                break
            h, age, length = surface.hessian(x), 0, 0.5 * length
            continue
        h = _updated(h, move, g_new - g) if len(g) else h
        x, g, age, length = x + move, g_new, age + 1, min(step, 2 * length)
        path.images.append(surface.atoms.copy())
        path.energies.append(energy)
        path.lengths.append(path.lengths[-1] + float(np.linalg.norm(move)))
        if report is not None:
            report(k, energy)
        if k > 2 and largest_force((g * root).reshape(-1, 3)) < FORCE_AT_END:
            path.why = "minimum"
            break
        if age >= recalculate:
            h, age = surface.hessian(x), 0
    return path


class _Surface:
    """Energy, gradient and Hessian in mass-weighted coordinates."""

    def __init__(self, atoms: Atoms, root: NDArray) -> None:
        self.atoms, self._root = atoms.copy(), root  # a copy keeps `info`: charge and spin
        self.atoms.calc = atoms.calc

    def at(self, x: NDArray) -> tuple[float, NDArray]:
        self.atoms.positions = (x / self._root).reshape(-1, 3)
        forces = self.atoms.get_forces()
        return float(self.atoms.get_potential_energy()), -forces.ravel() / self._root

    def hessian(self, x: NDArray) -> NDArray:
        self.atoms.positions = (x / self._root).reshape(-1, 3)
        matrix: NDArray = embedded_hessian(self.atoms)
        return matrix / np.outer(self._root, self._root)


def descend(g: NDArray, h: NDArray, length: float) -> NDArray:
    """The step of the local quadratic approximation."""
    values, vectors = np.linalg.eigh(h)
    along = vectors.T @ g
    values = np.where(abs(values) < 1e-9, 1e-9, values)
    # t grows until the arc is long enough, or the bottom of the quadratic surface is reached
    t, done = 0.0, 0.0
    dt = 0.02 * length / np.linalg.norm(g)
    for _ in range(2000):
        speed = float(np.linalg.norm(along * np.exp(-values * (t + 0.5 * dt))))
        if done + speed * dt >= length:
            t += (length - done) / speed
            break
        done, t = done + speed * dt, t + dt
        if speed * dt < 1e-4 * length:
            break
        dt = min(2 * dt, 0.02 * length / speed)
    return vectors @ (-(1 - np.exp(-values * t)) / values * along)


def _updated(h: NDArray, dx: NDArray, dg: NDArray) -> NDArray:
    """Bofill's mixture of the symmetric rank one and Powell's update."""
    error = dg - h @ dx
    xe, xx, ee = float(dx @ error), float(dx @ dx), float(error @ error)
    if xx < 1e-20 or ee < 1e-20:
        return h
    phi = xe**2 / (xx * ee)
    powell = (np.outer(error, dx) + np.outer(dx, error)) / xx - xe / xx**2 * np.outer(dx, dx)
    rank_one = np.outer(error, error) / xe if abs(xe) > 1e-12 * np.sqrt(xx * ee) else powell
    return h + phi * rank_one + (1 - phi) * powell
