"""Conformers in equilibrium: populations and the thermochemistry of the mixture.

| symbol | variable | unit |
|---|---|---|
| G_i, H_i, C_p,i of one conformer, its symmetry number included | arguments | eV, eV, eV/K |
| g_i, mirror images that count as one conformer | `degeneracies` | 1 |
| p_i = g_i exp(-G_i / kT) / sum_j g_j exp(-G_j / kT) | `populations` | 1 |
| G = -kT ln sum_i g_i exp(-G_i / kT) | `gibbs_energy` | eV |
| H = sum_i p_i H_i | `enthalpy` | eV |
| S = sum_i p_i S_i + S_conf = (H - G) / T | `entropy` | eV/K |
| S_conf = -k sum_i p_i ln(p_i / g_i) | `conformational_entropy` | eV/K |
| C_p = sum_i p_i C_p,i + (sum_i p_i H_i^2 - H^2) / kT^2 | `heat_capacity` | eV/K |

T. L. Hill, An Introduction to Statistical Thermodynamics (1960), ch. 9, with each well of the potential as a
species that the others turn into; for conformers: J. Ho, M. L. Coote, M. Franco-Perez, R. Gomez-Balderas,
J. Phys. Chem. A 114, 11992 (2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import units

from hint_plugin.errors import OptionsError


@dataclass(frozen=True)
class Mixture:
    """Conformers in equilibrium; units in the table of this module."""

    populations: list[float]
    gibbs_energy: float
    enthalpy: float
    entropy: float
    conformational_entropy: float
    heat_capacity: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def mixture(
    gibbs: Sequence[float],
    enthalpies: Sequence[float],
    heat_capacities: Sequence[float],
    degeneracies: Sequence[int],
    temperature: float,
) -> Mixture:
    """Of conformers that turn into each other; see the table of this module.

    Raises:
        OptionsError: no conformer, numbers of other lengths, a degeneracy below 1, no temperature.
    """
    g, h, c = (np.asarray(values, dtype=float) for values in (gibbs, enthalpies, heat_capacities))
    weights = np.asarray(degeneracies, dtype=float)
    if not len(g) or not len(g) == len(h) == len(c) == len(weights):
        raise OptionsError(
            f"{len(g)} Gibbs energies, {len(h)} enthalpies, {len(c)} heat capacities and {len(weights)} "
            "degeneracies; wanted as many of each, and one at least"
        )
    if temperature <= 0 or weights.min() < 1:
        raise OptionsError(f"{temperature} K and degeneracies {list(degeneracies)}; wanted numbers above 0")
    kt = units.kB * temperature
    factors = weights * np.exp(-(g - g.min()) / kt)
    p = factors / factors.sum()
    total, mean = float(g.min() - kt * np.log(factors.sum())), float(p @ h)
    seen = p > 0
    return Mixture(
        populations=p.tolist(),
        gibbs_energy=total,
        enthalpy=mean,
        entropy=(mean - total) / temperature,
        conformational_entropy=max(0.0, float(-units.kB * (p[seen] @ np.log(p[seen] / weights[seen])))),
        heat_capacity=float(p @ c + p @ (h - mean) ** 2 / (kt * temperature)),
    )
