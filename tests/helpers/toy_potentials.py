"""Diatomic potentials E(r) for bands, as ASE calculators: `-e calculator=toy_potentials:spike`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
from ase.calculators.calculator import Calculator


class Diatomic(Calculator):
    """E(r) of two atoms, by a function of their distance in A."""

    implemented_properties = ("energy", "forces")

    def __init__(self, energy: Callable[[float], float]) -> None:
        super().__init__()
        self._energy, self.calls = energy, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        time.sleep(float(os.environ.get("TOY_PAUSE", "0")))
        bond = self.atoms.positions[1] - self.atoms.positions[0]
        r, h = np.linalg.norm(bond), 1e-5
        pull = (self._energy(r + h) - self._energy(r - h)) / (2 * h) * bond / r
        self.results = {"energy": self._energy(r), "forces": np.array([pull, -pull])}


def spike() -> Diatomic:
    """A slope of 0.1 eV, then a late barrier of 3 eV that is 0.2 A wide: images 0.25 A apart step over it."""
    return Diatomic(
        lambda r: (
            0.05 * (r - 1) ** 2
            + 3.0 * np.exp(-(((r - 2.6) / 0.1) ** 2))
            - 0.5 * np.exp(-(((r - 3.05) / 0.15) ** 2))
        )
    )


def two_barriers() -> Diatomic:
    """Minima of 0 eV at 1, 2 and 3 A; barriers of about 0.76 and 1.25 eV between them."""
    return Diatomic(
        lambda r: (
            np.sin(np.pi * (r - 1)) ** 2 * (1 + 0.5 * (r - 2))
            + 2 * min(r - 1, 0) ** 2
            + 2 * max(r - 3, 0) ** 2
        )
    )


def two_wells() -> Diatomic:
    """Minima of 0 eV at 1 and 2 A, a barrier of 1 eV between them."""
    return Diatomic(lambda r: np.sin(np.pi * (r - 1)) ** 2 + 4 * min(r - 1, 0) ** 2 + 4 * max(r - 2, 0) ** 2)
