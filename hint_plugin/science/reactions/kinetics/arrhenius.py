"""Arrhenius' law fitted to rate constants.

    ln k = ln A - E_a / (k_B T),    and with three parameters  ln k = ln A + n ln(T / 300 K) - E / (k_B T)

by linear least squares, each temperature counting the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hint_plugin.science.reactions.kinetics.species import BOLTZMANN

REFERENCE = 300.0
"""K, of the three-parameter form."""


def arrhenius_fit(temperatures: Sequence[float], log_rates: Sequence[float]) -> dict[str, Any] | None:
    """Both forms, for JSON; None with fewer than two temperatures.

    Args:
        temperatures: K.
        log_rates: ln k.

    Returns:
        `log10_A` (A in the unit of k), `activation_energy_eV`, `largest_deviation_ln_k`; with four
        temperatures or more `modified` with the same and `n`.
    """
    t, y = np.asarray(temperatures, dtype=float), np.asarray(log_rates, dtype=float)
    if len(set(t.tolist())) < 2:
        return None
    found = _fit(np.stack([np.ones(len(t)), -1 / (BOLTZMANN * t)], axis=1), y)
    if len(set(t.tolist())) >= 4:
        matrix = np.stack([np.ones(len(t)), -1 / (BOLTZMANN * t), np.log(t / REFERENCE)], axis=1)
        found["modified"] = _fit(matrix, y)
    return found


def _fit(matrix: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    scale = np.abs(matrix).max(axis=0)
    solved = np.linalg.lstsq(matrix / scale, y, rcond=None)[0] / scale
    found = {"log10_A": float(solved[0] / np.log(10)), "activation_energy_eV": float(solved[1])}
    if len(solved) > 2:
        found["n"] = float(solved[2])
    found["largest_deviation_ln_k"] = float(np.abs(matrix @ solved - y).max())
    return found
