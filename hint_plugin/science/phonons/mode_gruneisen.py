"""Grueneisen parameters of single modes, by phonopy, from the phonons at three volumes.

    gamma(q, j) = -d ln omega / d ln V = -V / (2 omega^2) <e| dD/dV |e>

The mean over the modes, each weighed by its heat capacity, is V (dS/dV) / C_V at that volume: the
thermodynamic parameter, by another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from numpy.typing import NDArray

from hint_plugin.data.structures.unit_cell import quiet
from hint_plugin.science.lattice_units import CM_PER_EV
from hint_plugin.science.phonons.crystals import CM_PER_THZ
from hint_plugin.science.phonons.differences import IMAGINARY

if TYPE_CHECKING:
    from phonopy import Phonopy

EQUIDISTANT = 0.02
"""How far the middle one of three volumes may be from their mean, as a part of their distance."""


@dataclass(frozen=True)
class ModeGruneisen:
    """At `volume` (A^3 of a formula unit), on a mesh of q `points` [Q, 3] with `weights` [Q]: `frequencies`
    (cm^-1) and `parameters` [Q, M]. Those of a shift of the whole crystal are NaN."""

    volume: float
    points: NDArray
    weights: NDArray
    frequencies: NDArray
    parameters: NDArray

    def mean(self, temperature: float) -> float:
        """Over all modes, each weighed by its heat capacity; equally where `temperature` (K) is infinite."""
        known = np.isfinite(self.parameters)
        y = np.where(known, self.frequencies, 1.0) / CM_PER_EV / (units.kB * temperature)
        heat = np.where(y > 1e-8, (y / (2 * np.sinh(np.clip(y / 2, 1e-9, 300)))) ** 2, 1.0)
        share = np.where(known, heat * self.weights[:, None], 0.0)
        return float((share * np.where(known, self.parameters, 0.0)).sum() / share.sum())

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {
            "volume": self.volume,
            "mean": self.mean(float("inf")),
            "lowest": float(np.nanmin(self.parameters)),
            "highest": float(np.nanmax(self.parameters)),
        }

    def rows(self) -> list[dict[str, Any]]:
        """For a table, a mode each."""
        return [
            {
                **dict(zip(("qx", "qy", "qz"), map(float, q), strict=True)),
                "weight": int(weight),
                "branch": branch + 1,
                "frequency": float(frequency),
                "gruneisen": float(parameter) if np.isfinite(parameter) else None,
            }
            for q, weight, frequencies, parameters in zip(
                self.points, self.weights, self.frequencies, self.parameters, strict=True
            )
            for branch, (frequency, parameter) in enumerate(zip(frequencies, parameters, strict=True))
        ]


def three_around(volumes: NDArray, wanted: float) -> tuple[int, int, int] | None:
    """Three volumes in a row at one distance, the middle one nearest to `wanted`; None: no such volumes."""
    distances = np.diff(volumes)
    inner = [
        k
        for k in range(1, len(volumes) - 1)
        if abs(distances[k] - distances[k - 1]) <= EQUIDISTANT * (distances[k] + distances[k - 1])
        and distances[k] < 1.5 * distances.min()
    ]
    if not inner:
        return None
    middle = min(inner, key=lambda k: abs(volumes[k] - wanted))
    return middle - 1, middle, middle + 1


def mode_gruneisen(
    smaller: Phonopy, middle: Phonopy, larger: Phonopy, mesh: Sequence[int], volume: float
) -> ModeGruneisen:
    """On a mesh that has Gamma.

    Args:
        smaller, middle, larger: with force constants, at V - dV, V and V + dV.
        mesh: points along the axes.
        volume: V, A^3 of a formula unit.
    """
    from phonopy import PhonopyGruneisen

    with quiet(), np.errstate(all="ignore"):
        run: Any = PhonopyGruneisen(middle, larger, smaller)
        run.set_mesh([int(n) for n in mesh], is_gamma_center=True)
        points, weights, frequencies, _, parameters = run.get_mesh()
    found = CM_PER_THZ * np.asarray(frequencies, dtype=float)
    known = np.where(found > -IMAGINARY, np.asarray(parameters, dtype=float), np.nan)
    return ModeGruneisen(volume, np.asarray(points), np.asarray(weights), found, known)
