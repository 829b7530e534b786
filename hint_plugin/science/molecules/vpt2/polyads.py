"""Levels that resonate, as eigenvalues of small matrices: polyads.

A block has all states that resonances lead to from one another. On its diagonal are deperturbed levels, and
beside it Fermi couplings of first order and all couplings of second order (Darling-Dennison, B. T. Darling,
D. M. Dennison, Phys. Rev. 57, 128 (1940), among them). Which states couple in second order is found by what
it would change: (K^2 + (D/2)^2)^(1/2) - D/2 for two levels with a gap D and a coupling K.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hint_plugin.science.molecules.vpt2.constants import AnharmonicConstants
from hint_plugin.science.molecules.vpt2.effective import EffectiveHamiltonian, State

MOST_STATES, MOST_QUANTA = 60, 5
"""Of one block. A larger one comes of many resonances at once, and its states stay deperturbed."""
SECOND_ORDER_GAP, SECOND_ORDER_SHIFT = 300.0, 1.0
"""cm^-1: the largest gap, and the smallest change of a level, of states that couple in second order."""


@dataclass(frozen=True)
class Polyad:
    """Mixed states: `states` K tuples, `deperturbed` [K], `energies` [K] in the order of the states that they
    are mostly made of, cm^-1; `vectors` [K, K], a column for each energy. `missing`: couplings that take a
    quartic constant of four different modes are left out."""

    states: tuple[State, ...]
    deperturbed: NDArray
    energies: NDArray
    vectors: NDArray
    missing: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "states": [list(state) for state in self.states],
            "deperturbed": self.deperturbed.tolist(),
            "frequencies": self.energies.tolist(),
            "weights": (self.vectors.T**2).tolist(),
            "couplings_missing": self.missing,
        }


def second_order_pairs(
    hamiltonian: EffectiveHamiltonian,
    constants: AnharmonicConstants,
    states: Sequence[State],
    gap: float = SECOND_ORDER_GAP,
    shift: float = SECOND_ORDER_SHIFT,
) -> dict[tuple[State, State], float]:
    """Pairs of states that couple in second order, with their couplings, cm^-1.

    Args:
        hamiltonian, constants: of the molecule.
        states: between which couplings are looked for, all of the same number of quanta.
        gap, shift: cm^-1, see `polyads`.
    """
    found: dict[tuple[State, State], float] = {}
    energies = [constants.energy(state) for state in states]
    for n, a in enumerate(states):
        for m in range(n):
            distance = abs(energies[n] - energies[m])
            if not distance <= gap:
                continue
            coupling = hamiltonian.second_order(states[m], a)
            if coupling is not None and np.hypot(coupling, distance / 2) - distance / 2 >= shift:
                found[states[m], a] = coupling
    return found


def polyads(
    hamiltonian: EffectiveHamiltonian,
    constants: AnharmonicConstants,
    changes: Iterable[State],
    pairs: Iterable[tuple[State, State]],
    targets: Iterable[State],
) -> tuple[list[Polyad], list[State]]:
    """The blocks that the targets are in, of two states or more; and targets whose block is too large.

    Args:
        hamiltonian, constants: of the molecule, without the terms of the resonances.
        changes: of quanta, by Fermi resonances: between any two states.
        pairs: states that couple in second order.
        targets: states that are wanted.
    """
    both = [np.array(one) for change in changes for one in (change, [-d for d in change])]
    partners: dict[State, list[State]] = {}
    for one, other in pairs:
        partners.setdefault(one, []).append(other)
        partners.setdefault(other, []).append(one)
    seen: set[State] = set()
    found, too_large = [], []
    for target in targets:
        if target in seen:
            continue
        block = _block(target, both, partners)
        if block is None:
            too_large.append(target)
        elif len(block) > 1:
            seen |= set(block)
            found.append(_solved(hamiltonian, constants, block))
    return found, too_large


def _block(
    target: State, changes: Sequence[NDArray], partners: Mapping[State, Sequence[State]]
) -> list[State] | None:
    """All that is reached from the target; None if that is too much."""
    block, todo = {target}, [target]
    while todo:
        state = todo.pop()
        reached = [np.add(state, change) for change in changes]
        following = [tuple(one.tolist()) for one in reached if (one >= 0).all()]
        for one in (*following, *partners.get(state, ())):
            if one in block:
                continue
            if len(block) == MOST_STATES or sum(one) > MOST_QUANTA:
                return None
            block.add(one)
            todo.append(one)
    return sorted(block, reverse=True)


def _solved(hamiltonian: EffectiveHamiltonian, constants: AnharmonicConstants, block: list[State]) -> Polyad:
    size, missing = len(block), False
    deperturbed = np.array([constants.energy(state) for state in block])
    matrix = np.diag(deperturbed)
    for n in range(size):
        for m in range(n):
            second = hamiltonian.second_order(block[n], block[m])
            missing |= second is None
            matrix[n, m] = matrix[m, n] = hamiltonian.first_order(block[n], block[m]) + (second or 0.0)
    energies, vectors = np.linalg.eigh(matrix)
    _, order = linear_sum_assignment(-(vectors**2))
    return Polyad(tuple(block), deperturbed, energies[order], vectors[:, order], missing)
