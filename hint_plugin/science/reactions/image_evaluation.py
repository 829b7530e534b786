"""Energies and forces of many geometries of one molecule: the new ones in one batch, none twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.potentials.hint_calculator import HintCalculator

_Answer = tuple[float, NDArray]


def evaluate_together(calculator: Any, frames: Sequence[Atoms]) -> list[_Answer]:
    """Energy (eV) and forces [N, 3] (eV/A, of constraints none) of each structure, in their order.

    A `HintCalculator` gets them all at once, and a model computes them in one batch. Another calculator of
    ASE gets one after the other.

    Args:
        calculator: of ASE.
        frames: structures; they are not changed.

    Raises whatever the calculator raises.
    """
    if isinstance(calculator, HintCalculator):
        return [(found.energy, found.forces) for found in calculator.evaluate(frames)]
    return [_alone(calculator, atoms) for atoms in frames]


def _alone(calculator: Any, atoms: Atoms) -> _Answer:
    moved = atoms.copy()  # a copy keeps `info`: charge and spin
    moved.set_constraint()  # some add to the energy
    moved.calc = calculator
    forces = np.array(moved.get_forces(), dtype=float)
    return float(moved.get_potential_energy()), forces


class ImageEvaluation:
    """Positions of images -> energies and forces; what the last two calls have answered is not asked again.

    An image that has not moved, and a point between images that becomes one, thus cost nothing.

    Attributes:
        evaluated: how many geometries the calculator has answered for.

    Args:
        like: one of the images; the others differ in their positions alone.
        calculator: of ASE, see `evaluate_together`.
    """

    def __init__(self, like: Atoms, calculator: Any) -> None:
        self._like, self._calculator = like.copy(), calculator
        self._before: dict[bytes, _Answer] = {}
        self._last: dict[bytes, _Answer] = {}
        self.evaluated = 0

    def __call__(self, positions: NDArray) -> tuple[NDArray, NDArray]:
        """Energies [K], eV, and forces [K, N, 3], eV/A.

        Args:
            positions: [K, N, 3] or [K, 3N], A.

        Raises whatever the calculator raises.
        """
        places = np.asarray(positions, dtype=float).reshape(-1, len(self._like), 3)
        keys = [place.tobytes() for place in places]
        known = self._before | self._last
        new = {key: place for key, place in zip(keys, places, strict=True) if key not in known}
        if new:
            frames = [self._at(place) for place in new.values()]
            known |= zip(new, evaluate_together(self._calculator, frames), strict=True)
            self.evaluated += len(new)
        self._before, self._last = self._last, {key: known[key] for key in keys}
        answers = [known[key] for key in keys]
        return np.array([energy for energy, _ in answers]), np.array([forces for _, forces in answers])

    def _at(self, place: NDArray) -> Atoms:
        found = self._like.copy()
        found.set_constraint()
        found.positions = place
        return found
