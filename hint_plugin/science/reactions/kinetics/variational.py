"""Canonical variational transition-state theory: the best dividing surface along the path.

B. C. Garrett, D. G. Truhlar, J. Chem. Phys. 70, 1593 (1979): of the generalised transition states at s,

    k_GT(T, s) = kT/h Q_GT(T, s) / Q_R(T) exp(-V(s) / kT),    k_CVT(T) = min_s k_GT(T, s)

so that Gamma = k_CVT / k_TST <= 1. Q_GT has the 3N - 7 modes across the path and the rotations of its point.
Surfaces are looked for where V is in the upper half of the barrier and no mode across the path is imaginary,
in one piece with the saddle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hint_plugin.science.reactions.kinetics.reaction_path import ReactionPath
from hint_plugin.science.reactions.kinetics.species import BOLTZMANN, log_rotation, log_vibration

UPPER = 0.5
"""Of the lower barrier: how far below the saddle a dividing surface may lie."""


@dataclass(frozen=True)
class Bottleneck:
    """Where the variational transition state lies at one temperature.

    Attributes:
        s: A amu^(1/2); 0: at the saddle.
        recrossing: Gamma = k_CVT / k_TST, at most 1.
        adiabatic: V_a^G(s), eV.
        at_the_end: the best surface is the last one that could be used: a better one may lie beyond.
    """

    s: float
    recrossing: float
    adiabatic: float
    at_the_end: bool = False


def bottleneck(path: ReactionPath, temperature: float, barrier: float) -> Bottleneck | None:
    """The surface of the smallest rate; None where fewer than four points of the path can be surfaces.

    Args:
        path: with the saddle at s = 0.
        temperature: K.
        barrier: eV, the lower of the two classical barriers.
    """
    usable = usable_points(path, barrier)
    s = path.s
    saddle = int(np.argmin(np.abs(s)))
    if len(usable) < 4:
        return None
    first, last = int(usable[0]), int(usable[-1])
    window = ReactionPath(path.points[first : last + 1], path.scale)
    free = np.array([_free_energy(window, k, temperature) for k in range(len(window.points))])
    grid, fine = window.fine(free - free[saddle - first])
    _, adiabatic = window.fine(window.adiabatic)
    best = int(np.argmax(fine))
    if fine[best] <= 0:
        return Bottleneck(0.0, 1.0, float(path.adiabatic[saddle]))
    recrossing = float(np.exp(-fine[best] / (BOLTZMANN * temperature)))
    at_end = best in (0, len(grid) - 1)
    return Bottleneck(float(grid[best]), recrossing, float(adiabatic[best]), at_end)


def usable_points(path: ReactionPath, barrier: float) -> NDArray:
    """Which points may be dividing surfaces, in one piece with the saddle."""
    saddle = int(np.argmin(np.abs(path.s)))
    high = path.energies > path.energies[saddle] - UPPER * max(barrier, 0.0)
    count = len(path.quanta[saddle])
    real = np.array([len(quanta) == count and bool((quanta > 0).all()) for quanta in path.quanta])
    good = high & real
    if not good[saddle]:
        return np.zeros(0, dtype=int)
    first = saddle - int(np.argmin(np.append(good[: saddle + 1][::-1], False))) + 1
    last = saddle + int(np.argmin(np.append(good[saddle:], False))) - 1
    return np.arange(first, last + 1)


def _free_energy(path: ReactionPath, number: int, temperature: float) -> float:
    """-kT ln(q_rot q_vib exp(-V / kT)), eV."""
    point = path.points[number]
    rotation = log_rotation(point.moments, temperature) if len(point.moments) else 0.0
    logs = rotation + log_vibration(path.quanta[number], temperature)
    return float(point.energy - BOLTZMANN * temperature * logs)
