"""Three atoms on springs, as slow as TOY_PAUSE (s) says: `-e calculator=slow_springs:Springs`."""

from __future__ import annotations

import itertools
import os
import time

import numpy as np
from ase.calculators.calculator import Calculator


class Springs(Calculator):
    """E = sum over pairs of k / 2 (r - 1)^2, k = 10 + Z_i + Z_j, in eV and A; sodium breaks it."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        time.sleep(float(os.environ.get("TOY_PAUSE", "0")))
        if 11 in self.atoms.numbers:
            raise RuntimeError("no sodium here")
        forces, energy = np.zeros((len(self.atoms), 3)), 0.0
        for i, j in itertools.combinations(range(len(self.atoms)), 2):
            bond = self.atoms.positions[j] - self.atoms.positions[i]
            r, k = np.linalg.norm(bond), 10.0 + self.atoms.numbers[[i, j]].sum()
            energy += 0.5 * k * (r - 1.0) ** 2
            forces[i] += k * (r - 1.0) * bond / r
            forces[j] -= k * (r - 1.0) * bond / r
        self.results = {"energy": energy, "forces": forces}
