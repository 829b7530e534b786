"""Matrix elements of the effective Hamiltonian between states of harmonic oscillators.

A state is a tuple of M quanta. With V3 and V4 the cubic and the quartic part of the potential, and R the
cubic terms that change the quanta as a resonance does,

    <a| H1 |b> = <a| R |b>
    <a| H2 |b> = <a| V4 + sum_a B_a pi_a^2 |b> + sum_m <a|V3|m> <m|V3|b> c_ab(m)
    c_ab(m)    = 1/2 [1/(E_a - E_m) + 1/(E_b - E_m)]

where a fraction is left out if m comes from that state by a resonance; if from one of the two alone, the
fraction of the other counts whole (Van Vleck; Rosnik, Polik 2014). On the diagonal this is E(v) with the x_ij
of `constants`; it is the Fermi coupling and the Darling-Dennison couplings elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection
from math import factorial
from operator import add
from typing import Any

import numpy as np

from hint_plugin.science.molecules.vpt2.force_field import AnharmonicField

State = tuple[int, ...]
_ROOT = np.sqrt(2.0)


def power_elements(power: int, quanta: int) -> list[tuple[int, float]]:
    """(change d, <n + d| q^p |n>) for the n quanta of one mode; q = (a + a^+) / sqrt 2."""
    found = {0: 1.0}
    for _ in range(power):
        following: dict[int, float] = {}
        for change, value in found.items():
            n = quanta + change
            following[change + 1] = following.get(change + 1, 0.0) + value * np.sqrt(n + 1) / _ROOT
            if n > 0:
                following[change - 1] = following.get(change - 1, 0.0) + value * np.sqrt(n) / _ROOT
        found = following
    return list(found.items())


class EffectiveHamiltonian:
    """H1 and H2 of one molecule.

    Args:
        field: its constants.
        resonances: changes of quanta that a resonance makes (`FermiResonance.change`); so are their inverses.
    """

    def __init__(self, field: AnharmonicField, resonances: Collection[State] = ()) -> None:
        self.field = field
        self.size = len(field.frequencies)
        self._resonant = {*resonances, *(tuple(-d for d in one) for one in resonances)}
        self._cubic = [(powers, value) for powers, value in _cubic_terms(field)]
        self._quartic = dict(_quartic_terms(field))
        self._reached: dict[State, tuple[dict[State, float], dict[State, float]]] = {}
        self._turned: dict[State, list[dict[State, float]]] = {}
        self._energies: dict[State, float] = {}

    def harmonic(self, state: State) -> float:
        """sum omega_i v_i, cm^-1."""
        if state not in self._energies:
            self._energies[state] = float(self.field.frequencies @ np.asarray(state, dtype=float))
        return self._energies[state]

    def first_order(self, a: State, b: State) -> float:
        """<a| H1 |b>, cm^-1."""
        return self._by_cubic(b)[1].get(a, 0.0)

    def second_order(self, a: State, b: State) -> float | None:
        """<a| H2 |b>, cm^-1; None where it takes a quartic constant of four different modes."""
        potential = self._by_quartic(a, b)
        if potential is None:
            return None
        turned = zip(self.field.rotational, self._by_turning(a), self._by_turning(b), strict=True)
        coriolis = sum(constant * _overlap(one, other) for constant, one, other in turned if constant)
        (free_a, bound_a), (free_b, bound_b) = self._by_cubic(a), self._by_cubic(b)
        energy_a, energy_b, total = self.harmonic(a), self.harmonic(b), 0.0
        for m, value in free_a.items():
            energy = self.harmonic(m)
            if m in free_b:
                total += 0.5 * value * free_b[m] * (1 / (energy_a - energy) + 1 / (energy_b - energy))
            elif m in bound_b:
                total += value * bound_b[m] / (energy_a - energy)
        for m, value in bound_a.items():
            if m in free_b:
                total += value * free_b[m] / (energy_b - self.harmonic(m))
        return float(potential + coriolis + total)

    def _by_cubic(self, state: State) -> tuple[dict[State, float], dict[State, float]]:
        """V3 |state>: what no resonance leads to, and what one does."""
        if state not in self._reached:
            free: dict[State, float] = {}
            bound: dict[State, float] = {}
            for powers, value in self._cubic:
                for change, element in self._applied(powers, state):
                    difference = [0] * self.size
                    for mode, by in change:
                        difference[mode] = by
                    target = bound if tuple(difference) in self._resonant else free
                    m = tuple(map(add, state, difference))
                    target[m] = target.get(m, 0.0) + value * element
            self._reached[state] = (free, bound)
        return self._reached[state]

    def _applied(self, powers: tuple[tuple[int, int], ...], state: State) -> list[tuple[Any, float]]:
        """(changes of the modes, element) of a product of powers of q."""
        found: list[tuple[Any, float]] = [((), 1.0)]
        for mode, power in powers:
            found = [
                ((*change, (mode, by)), value * element)
                for change, value in found
                for by, element in power_elements(power, state[mode])
            ]
        return found

    def _by_quartic(self, a: State, b: State) -> float | None:
        changed = {mode: x - y for mode, (x, y) in enumerate(zip(a, b, strict=True)) if x != y}
        if len(changed) == 4 and all(abs(by) == 1 for by in changed.values()):
            return None
        if sum(map(abs, changed.values())) > 4:
            return 0.0
        total = 0.0
        for powers, value in self._quartic.items():
            modes = dict(powers)
            if not changed.keys() <= modes.keys():
                continue
            element = value
            for mode, power in powers:
                element *= dict(power_elements(power, b[mode])).get(changed.get(mode, 0), 0.0)
                if not element:
                    break
            total += element
        return total

    def _by_turning(self, state: State) -> list[dict[State, float]]:
        """pi_a |state> / i for the three axes: q_i p_j - q_j p_i with zeta."""
        if state not in self._turned:
            omega, found = self.field.frequencies, []
            for axis in range(3):
                reached: dict[State, float] = {}
                for i, j in np.argwhere(np.abs(self.field.zeta[axis]) > 1e-12).tolist():
                    scale = self.field.zeta[axis, i, j] * np.sqrt(omega[j] / omega[i])
                    for by_i, element in power_elements(1, state[i]):
                        for by_j, other in power_elements(1, state[j]):
                            m = list(state)
                            m[i] += by_i
                            m[j] += by_j
                            value = scale * element * by_j * other  # p / i = (a^+ - a) / sqrt 2
                            reached[tuple(m)] = reached.get(tuple(m), 0.0) + value
                found.append(reached)
            self._turned[state] = found
        return self._turned[state]


def _overlap(one: dict[State, float], other: dict[State, float]) -> float:
    return sum(value * other[m] for m, value in one.items() if m in other)


def _cubic_terms(field: AnharmonicField) -> list[tuple[tuple[tuple[int, int], ...], float]]:
    """The powers of the modes, and what stands before them: phi / product of p!."""
    found = []
    size = len(field.frequencies)
    for i in range(size):
        for j in range(i, size):
            for k in range(j, size):
                if field.cubic[i, j, k]:
                    found.append(_term((i, j, k), float(field.cubic[i, j, k])))
    return found


def _quartic_terms(field: AnharmonicField) -> list[tuple[tuple[tuple[int, int], ...], float]]:
    """The same of all quartic constants with two indices the same."""
    found: dict[tuple[tuple[int, int], ...], float] = {}
    for k, i, j in np.argwhere(field.quartic).tolist():
        powers, value = _term((i, j, k, k), float(field.quartic[k, i, j]))
        found[powers] = value  # phi_iikk comes twice, with the same value
    return list(found.items())


def _term(modes: tuple[int, ...], constant: float) -> tuple[tuple[tuple[int, int], ...], float]:
    powers = tuple((mode, modes.count(mode)) for mode in sorted(set(modes)))
    return powers, constant / float(np.prod([factorial(power) for _, power in powers]))
