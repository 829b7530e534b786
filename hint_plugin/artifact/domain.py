"""What a model was trained on: elements, shortest distances, forces; whether a structure is outside of it.

A potential gives a number for every structure. Far from its training the number means nothing, and one sees
it in what training never had: an element, a pair of atoms nearer than any, a force larger than any.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from hint_plugin.data.structures.neighbour_lists import Neighbours

NEARER, STRONGER = 0.95, 1.05
"""Outside is a distance below 0.95 of the shortest, or a force above 1.05 of the largest in training."""


class TrainingDomainWarning(UserWarning):
    """A structure is outside of what its model was trained on."""


@dataclass(frozen=True)
class TrainingDomain:
    """Of a training set.

    Attributes:
        elements: by atomic number.
        shortest_distances: A, of each pair of elements, periodic images included, within the model's cutoff;
            keys "C-H", the two symbols in alphabetical order. A pair that is not here was never within the
            cutoff. None if they are not known.
        largest_force: eV/A, of all atoms in training; None if it is not known.
        frames: number of structures.
    """

    elements: tuple[str, ...]
    shortest_distances: dict[str, float] | None
    largest_force: float | None
    frames: int

    @classmethod
    def of(cls, frames: Iterable[tuple[Atoms, np.ndarray | None]], cutoff: float) -> TrainingDomain:
        """Of structures and their forces [N, 3] in eV/A (None where there are none)."""
        lists, count = Neighbours(cutoff), 0
        numbers: set[int] = set()
        nearest: dict[tuple[int, int], float] = {}
        forces: list[float] = []
        for atoms, force in frames:
            count += 1
            numbers.update(atoms.numbers.tolist())
            i, j, _, vectors = lists(atoms)
            for key, distance in _nearest(atoms.numbers[i], atoms.numbers[j], vectors, cutoff):
                nearest[key] = min(nearest.get(key, math.inf), distance)
            if force is not None and len(force):
                forces.append(float(np.linalg.norm(force, axis=1).max()))
        return cls(
            elements=tuple(chemical_symbols[z] for z in sorted(numbers)),
            shortest_distances={_name(key): round(nearest[key], 4) for key in sorted(nearest)},
            largest_force=round(max(forces), 4) if forces else None,
            frames=count,
        )

    def as_dict(self) -> dict[str, Any]:
        """For the metadata."""
        return {
            "elements": list(self.elements),
            "shortest_distances": self.shortest_distances,
            "largest_force": self.largest_force,
            "frames": self.frames,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> TrainingDomain:
        """From the metadata.

        Raises:
            ValueError: not what `as_dict` writes.
        """
        elements, distances, force = found["elements"], found["shortest_distances"], found["largest_force"]
        numbers = [*(distances or {}).values(), *([] if force is None else [force])]
        pairs = [key.split("-") for key in distances or {}]
        right = (
            all(atomic_numbers.get(s, 0) > 0 for s in [*elements, *(s for pair in pairs for s in pair)])
            and all(len(pair) == 2 and pair == sorted(pair) for pair in pairs)
            and all(isinstance(x, int | float) and 0 < x < math.inf for x in numbers)
        )
        if not right:
            raise ValueError(f"training_domain {dict(found)}")
        distances = None if distances is None else dict(distances)
        return cls(tuple(elements), distances, force, int(found["frames"]))

    def outside(
        self, symbols: list[str], i: np.ndarray, j: np.ndarray, distances: np.ndarray, forces: np.ndarray
    ) -> str:
        """What of a structure is outside, as a clause; nothing if it is inside.

        Args:
            symbols: of the atoms.
            i: first atoms of the pairs within the cutoff [E]; `j`: second ones; `distances`: A [E].
            forces: [N, 3], eV/A.
        """
        if foreign := sorted(set(symbols) - set(self.elements)):
            return f"no structure in training had {', '.join(foreign)}"
        if reason := self._too_near(symbols, i, j, distances):
            return reason
        norms = np.linalg.norm(forces, axis=1)
        inside = self.largest_force is None or not len(norms) or norms.max() <= STRONGER * self.largest_force
        if not inside:  # nor where it is not a number
            return (
                f"the force on atom {int(norms.argmax())} is {norms.max():.3g} eV/A; the largest in training "
                f"was {self.largest_force:.3g} eV/A"
            )
        return ""

    def _too_near(self, symbols: list[str], i: np.ndarray, j: np.ndarray, distances: np.ndarray) -> str:
        """Of the pairs that are nearer than any of their kind, the nearest, as a clause."""
        if self.shortest_distances is None:
            return ""
        kinds = sorted(set(symbols))
        shortest = np.array(
            [[self.shortest_distances.get("-".join(sorted((a, b))), math.inf) for b in kinds] for a in kinds]
        )
        kind = np.array([kinds.index(symbol) for symbol in symbols], dtype=int)
        near = np.flatnonzero(distances < NEARER * shortest[kind[i], kind[j]])
        if not len(near):
            return ""
        worst = near[np.argmin(distances[near])]
        a, b = sorted((int(i[worst]), int(j[worst])))
        pair = "-".join(sorted((symbols[a], symbols[b])))
        known = self.shortest_distances.get(pair)
        return f"atoms {a} and {b} ({pair}) are {distances[worst]:.3g} A apart; " + (
            "training had no such pair within the cutoff"
            if known is None
            else f"the shortest distance of this pair in training was {known:.3g} A"
        )

    def __str__(self) -> str:
        known = self.shortest_distances
        nearest = (
            ", ".join(f"{pair} {x:.3g}" for pair, x in known.items()) if known is not None else "not known"
        )
        force = "not known" if self.largest_force is None else f"{self.largest_force:.3g} eV/A"
        return (
            f"{self.frames} structures of {' '.join(self.elements)}; shortest distances (A) "
            f"{nearest or 'none'}; largest force {force}"
        )


def _nearest(
    a: np.ndarray, b: np.ndarray, vectors: np.ndarray, cutoff: float
) -> Iterable[tuple[tuple[int, int], float]]:
    """The shortest distance of each pair of atomic numbers that is within the cutoff."""
    distances = np.linalg.norm(vectors, axis=1)
    inside = distances <= cutoff
    low, high, distances = np.minimum(a, b)[inside], np.maximum(a, b)[inside], distances[inside]
    codes = low * 1000 + high
    for code in np.unique(codes):
        yield (int(code) // 1000, int(code) % 1000), float(distances[codes == code].min())


def _name(pair: tuple[int, int]) -> str:
    return "-".join(sorted(chemical_symbols[z] for z in pair))
