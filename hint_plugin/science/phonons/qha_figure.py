"""The quasi-harmonic approximation as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import units
from numpy.typing import NDArray

from hint_plugin.data.drawing import picture
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.phonons.band_figure import COLOURS
from hint_plugin.science.phonons.quasiharmonic import Equilibrium, FreeEnergies

Phase = tuple[str, FreeEnergies, Equilibrium]
CURVES = 6
"""How many temperatures have a curve F(V)."""


@picture
def plot_quasiharmonic(path: Path, phases: Sequence[Phase], pressure: float = 0.0) -> bool:
    """Thermal expansion, bulk modulus, heat capacities; F(V) of one phase, or G of several less the first's.

    Args:
        path: of the PNG.
        phases: (name, free energies, what follows) of each.
        pressure: GPa, of the curves.

    Returns:
        False, and nothing is written, without matplotlib.
    """
    figure = new_figure(8.0, 6.0)
    if figure is None:
        return False
    (first, expansion), (modulus, heat) = figure.subplots(2, 2)
    if len(phases) == 1:
        _free_energies(first, phases[0], pressure)
    else:
        _gibbs_energies(first, phases)
    per_mol = units.mol / units.J
    for k, (name, _, found) in enumerate(phases):
        look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "lw": 1.3}
        x = _broken(found.temperatures, found.temperatures)
        expansion.plot(x, 1e6 * _broken(found.temperatures, found.thermal_expansion), label=name, **look)
        modulus.plot(x, _broken(found.temperatures, found.bulk_modulus), **look)
        heat.plot(x, per_mol * _broken(found.temperatures, found.heat_capacity_p), **look)
        heat.plot(x, per_mol * _broken(found.temperatures, found.heat_capacity_v), ls="--", **look)
    expansion.set_ylabel("volume expansion / $10^{-6}$ K$^{-1}$")
    modulus.set_ylabel("bulk modulus / GPa")
    heat.set_ylabel("C$_p$ (line), C$_V$ (dashed) / J mol$^{-1}$ K$^{-1}$")
    for axes in (expansion, modulus, heat):
        axes.set_xlabel("temperature / K")
        axes.set_xlim(left=0)
    if len(phases) > 1:
        expansion.legend(frameon=False, fontsize=8)
    save_png(figure, path)
    return True


def _broken(temperatures: NDArray, values: NDArray) -> NDArray:
    """With NaN where temperatures are left out, for the line to break there."""
    steps = np.diff(temperatures)
    gaps = np.flatnonzero(steps > 1.5 * steps.min()) + 1 if len(steps) else np.array([], dtype=int)
    return np.asarray(np.insert(np.asarray(values, dtype=float), gaps, np.nan))


def _free_energies(axes: Any, phase: Phase, pressure: float) -> None:
    _, grid, found = phase
    total = grid.total + pressure * units.GPa * grid.volumes
    chosen = np.unique(np.linspace(0, len(found.temperatures) - 1, CURVES).astype(int))
    for number, k in enumerate(chosen):
        row = int(np.flatnonzero(grid.temperatures == found.temperatures[k])[0])
        shade = number / max(1, len(chosen) - 1)
        colour = (0.12 + 0.7 * shade, 0.37 - 0.1 * shade, 0.66 - 0.5 * shade)
        axes.plot(grid.volumes, total[row], "o-", ms=3, lw=1, color=colour)
        axes.text(grid.volumes[-1], total[row, -1], f" {found.temperatures[k]:g} K", fontsize=7, color=colour)
    axes.plot(found.volume, found.gibbs_energy, "-", color="k", lw=1.2)
    axes.set_xlabel("volume / A$^3$")
    axes.set_ylabel("F + pV / eV" if pressure else "F / eV")
    axes.set_xlim(right=grid.volumes[-1] + 0.2 * (grid.volumes[-1] - grid.volumes[0]))


def _gibbs_energies(axes: Any, phases: Sequence[Phase]) -> None:
    reference = phases[0][2]
    for k, (name, _, found) in enumerate(phases):
        common, here, there = np.intersect1d(found.temperatures, reference.temperatures, return_indices=True)
        if len(common):
            apart = 1e3 * (found.gibbs_energy[here] - reference.gibbs_energy[there])
            axes.plot(
                _broken(common, common),
                _broken(common, apart),
                color=COLOURS[k % len(COLOURS)],
                lw=1.3,
                label=name,
            )
    axes.set_xlabel("temperature / K")
    axes.set_ylabel(f"G less that of {phases[0][0]} / meV")
    axes.set_xlim(left=0)
