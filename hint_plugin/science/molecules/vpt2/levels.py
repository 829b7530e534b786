"""Fundamentals, overtones and combination bands: VPT2, deperturbed, and with resonances in blocks (GVPT2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.core.spectra import EV_PER_WAVENUMBER
from hint_plugin.science.molecules.vpt2.constants import AnharmonicConstants, anharmonic_constants
from hint_plugin.science.molecules.vpt2.effective import EffectiveHamiltonian, State
from hint_plugin.science.molecules.vpt2.force_field import AnharmonicField
from hint_plugin.science.molecules.vpt2.polyads import Polyad, polyads, second_order_pairs
from hint_plugin.science.molecules.vpt2.resonances import (
    FermiResonance,
    fermi_resonances,
    given_resonances,
)

ALL_SECOND = 15
"""Modes up to which second-order couplings are looked for between all states of two quanta: with more, only
between overtones, since their number grows with the fourth power of the modes."""


@dataclass(frozen=True)
class Anharmonic:
    """Levels of one molecule above its ground state, in cm^-1.

    Attributes:
        field: its constants.
        plain, constants: x_ij with all terms, and without those of resonances.
        fermi: the resonances.
        second: pairs of states that couple in second order, with the couplings.
        blocks: the states that are mixed.
        unresolved: states whose block is too large; they are deperturbed.
    """

    field: AnharmonicField
    plain: AnharmonicConstants
    constants: AnharmonicConstants
    fermi: tuple[FermiResonance, ...]
    second: dict[tuple[State, State], float]
    blocks: tuple[Polyad, ...]
    unresolved: tuple[State, ...] = ()

    @property
    def fundamentals(self) -> NDArray:
        """[M], in the order of the harmonic modes."""
        return np.array([self.energy(state) for state in states_of(len(self.field.frequencies), 1)])

    @property
    def zero_point_energy(self) -> float:
        """cm^-1."""
        return self.constants.zero_point_energy

    def energy(self, state: State) -> float:
        """Of the level that is mostly this state, cm^-1; deperturbed where nothing resonates."""
        for block in self.blocks:
            if state in block.states:
                return float(block.energies[block.states.index(state)])
        return self.constants.energy(state)

    def weight(self, state: State) -> float:
        """Of the state in its level: 1 where nothing resonates."""
        for block in self.blocks:
            if state in block.states:
                n = block.states.index(state)
                return float(block.vectors[n, n] ** 2)
        return 1.0

    def lines(self, intensities: NDArray) -> tuple[NDArray, NDArray]:
        """Positions in cm^-1 and intensities of the lines that start from the ground state.

        The harmonic intensities of the fundamentals are shared out over the levels that these are in, by the
        signs of one fundamental in each: what a level borrows. Nothing else has an intensity.
        """
        size = len(self.field.frequencies)
        positions: list[float] = []
        heights: list[float] = []
        shared: set[State] = set()
        ones = {state: k for k, state in enumerate(states_of(size, 1))}
        for block in self.blocks:
            inside = [(n, ones[state]) for n, state in enumerate(block.states) if state in ones]
            if not inside:
                continue
            shared |= {block.states[n] for n, _ in inside}
            for level, energy in enumerate(block.energies):
                positions.append(float(energy))
                heights.append(float(sum(block.vectors[n, level] ** 2 * intensities[k] for n, k in inside)))
        for state, k in ones.items():
            if state not in shared:
                positions.append(self.constants.energy(state))
                heights.append(float(intensities[k]))
        return np.array(positions), np.array(heights)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: cm^-1, the zero-point energy also in eV; modes are numbered from 1."""
        size = len(self.field.frequencies)
        return {
            "harmonic": self.field.frequencies.tolist(),
            "frequencies": self.fundamentals.tolist(),
            "vpt2": _finite([self.plain.energy(state) for state in states_of(size, 1)]),
            "deperturbed": [self.constants.energy(state) for state in states_of(size, 1)],
            "weights": [self.weight(state) for state in states_of(size, 1)],
            "overtones_and_combinations": [self._row(state) for state in states_of(size, 2)],
            "x": self.constants.x.tolist(),
            "zero_point_energy": self.zero_point_energy * EV_PER_WAVENUMBER,
            "zero_point_energy_parts_cm": self.constants.zero_point,
            "chi_0": self.constants.chi_0,
            "rotational_constants": self.field.rotational.tolist(),
            "resonances": [one.as_dict() for one in self.fermi]
            + [
                {"type": "second order", "states": [list(a), list(b)], "coupling": coupling}
                for (a, b), coupling in self.second.items()
            ],
            "polyads": [block.as_dict() for block in self.blocks],
            "unresolved": [list(state) for state in self.unresolved],
        }

    def _row(self, state: State) -> dict[str, Any]:
        modes = [k + 1 for k, quanta in enumerate(state) for _ in range(quanta)]
        return {
            "modes": modes,
            "harmonic": float(self.field.frequencies @ np.array(state)),
            "deperturbed": self.constants.energy(state),
            "frequency": self.energy(state),
            "weight": self.weight(state),
        }


def states_of(size: int, quanta: int) -> list[State]:
    """All states of M modes with one or two quanta: fundamentals; overtones and then combinations."""
    unit = np.eye(size, dtype=int)
    if quanta == 1:
        found = list(unit)
    else:
        found = [*(2 * unit), *(unit[i] + unit[j] for i in range(size) for j in range(i + 1, size))]
    return [tuple(state.tolist()) for state in found]


def perturbed_levels(
    field: AnharmonicField,
    *,
    resonances: Sequence[tuple[int, int, int]] | None = None,
    second_order: bool = True,
) -> Anharmonic:
    """VPT2 of one molecule: `field` -> levels up to two quanta, and the zero-point energy.

    Args:
        field: the constants.
        resonances: Fermi resonances (i, j, k), omega_i + omega_j near omega_k; None: by `fermi_resonances`.
        second_order: whether states that couple in second order are mixed, too (Darling-Dennison).
    """
    fermi = fermi_resonances(field) if resonances is None else given_resonances(field, resonances)
    size = len(field.frequencies)
    constants = anharmonic_constants(field, fermi)
    changes = [one.change(size) for one in fermi]
    hamiltonian = EffectiveHamiltonian(field, changes)
    ones, twos = states_of(size, 1), states_of(size, 2)
    second: dict[tuple[State, State], float] = {}
    if second_order:
        among = twos if size <= ALL_SECOND else twos[:size]
        second = second_order_pairs(hamiltonian, constants, ones)
        second |= second_order_pairs(hamiltonian, constants, among)
    blocks, unresolved = polyads(hamiltonian, constants, changes, second, [*ones, *twos])
    return Anharmonic(
        field,
        anharmonic_constants(field),
        constants,
        tuple(fermi),
        second,
        tuple(blocks),
        tuple(unresolved),
    )


def _finite(values: Sequence[float]) -> list[float | None]:
    """JSON knows no infinity."""
    return [float(value) if np.isfinite(value) else None for value in values]
