"""A vibrational spectrum as a figure: lines, broadened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.drawing import picture
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.molecules.dynamics import DensityOfStates
from hint_plugin.science.molecules.modes import NormalModes

WIDTH = 10.0
"""cm^-1, full width at half maximum: what lines of small molecules in the gas look like at low resolution."""


@dataclass(frozen=True)
class Lines:
    """What a figure needs of `NormalModes`: the molecule, for its formula, and `frequencies` [M] in cm^-1."""

    atoms: Atoms
    frequencies: NDArray


def broadened(frequencies: NDArray, heights: NDArray, grid: NDArray, width: float = WIDTH) -> NDArray:
    """Sum of Lorentzians with the areas `heights`, on `grid`: per cm^-1 of `grid`.

    I(nu) = sum_k A_k / pi * (w/2) / ((nu - nu_k)^2 + (w/2)^2)
    """
    half = 0.5 * width
    lines = half / np.pi / ((grid[:, None] - frequencies[None]) ** 2 + half**2)
    return lines @ heights


@picture
def plot_spectrum(
    path: Path, modes: NormalModes | Lines, intensities: NDArray | None = None, width: float = WIDTH
) -> bool:
    """Infrared spectrum, or the density of vibrational states where there are no intensities.

    Imaginary modes are left out. Returns False, and writes nothing, without matplotlib or without modes.
    """
    real = modes.frequencies > 0
    if not real.any():
        return False
    nu = modes.frequencies[real]
    heights = np.ones(len(nu)) if intensities is None else intensities[real]
    grid = np.arange(0.0, 1.08 * nu.max() + 20 * width, 0.2 * width)
    figure = new_figure(7.0, 3.2)
    if figure is None:
        return False
    axes = figure.add_subplot()
    axes.plot(grid, broadened(nu, heights, grid, width), color="#1f5fa8", lw=1.2)
    peak = 2 / (np.pi * width)  # height of a line of unit area
    axes.vlines(nu, 0, heights * peak, color="#c44e22", lw=0.9, alpha=0.8)
    axes.set_xlim(grid[-1], 0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("wavenumber / cm$^{-1}$")
    axes.set_ylabel("modes per cm$^{-1}$" if intensities is None else "intensity / km mol$^{-1}$ cm")
    axes.set_title(modes.atoms.get_chemical_formula(), fontsize=10)
    save_png(figure, path)
    return True


@picture
def plot_density(
    path: Path, modes: NormalModes | Lines, found: DensityOfStates, width: float = WIDTH
) -> bool:
    """The density of states of dynamics above the harmonic lines.

    Returns False, and writes nothing, without matplotlib.
    """
    spacing = found.wavenumbers[1] - found.wavenumbers[0]
    kernel = np.hanning(max(3, int(4 * width / spacing) | 1))
    smooth = np.convolve(found.density, kernel / kernel.sum(), mode="same")
    top = 1.15 * max(float(modes.frequencies.max()), 500.0)
    shown = found.wavenumbers < top
    figure = new_figure(7.0, 3.2)
    if figure is None:
        return False
    axes = figure.add_subplot()
    axes.plot(
        found.wavenumbers[shown], smooth[shown], color="#1f5fa8", lw=1.1, label=f"{found.temperature:.0f} K"
    )
    axes.vlines(
        modes.frequencies, 0, 0.3 * smooth[shown].max(), color="#c44e22", lw=1, label="harmonic", alpha=0.9
    )
    axes.set_xlim(top, 0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("wavenumber / cm$^{-1}$")
    axes.set_ylabel("modes per cm$^{-1}$")
    axes.set_title(modes.atoms.get_chemical_formula(), fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    save_png(figure, path)
    return True


@picture
def plot_anharmonic(
    path: Path,
    modes: NormalModes | Lines,
    intensities: NDArray | None,
    positions: NDArray,
    heights: NDArray,
    width: float = WIDTH,
) -> bool:
    """The anharmonic lines above the axis, the harmonic ones below it.

    Returns False, and writes nothing, without matplotlib.

    Args:
        path: of the picture.
        modes: with the harmonic frequencies, all real.
        intensities: of these, km/mol; None: all lines have the same height.
        positions, heights: of the anharmonic lines, cm^-1 and as `intensities`.
        width: cm^-1.
    """
    figure = new_figure(7.0, 3.6)
    if figure is None:
        return False
    below = np.ones(len(modes.frequencies)) if intensities is None else intensities
    grid = np.arange(0.0, 1.08 * max(modes.frequencies.max(), positions.max()) + 20 * width, 0.2 * width)
    axes, peak = figure.add_subplot(), 2 / (np.pi * width)
    for places, areas, sign, colour, name in (
        (positions, heights, 1.0, "#1f5fa8", "anharmonic (GVPT2)"),
        (modes.frequencies, below, -1.0, "#c44e22", "harmonic"),
    ):
        axes.plot(grid, sign * broadened(places, areas, grid, width), color=colour, lw=1.1, label=name)
        axes.vlines(places, 0, sign * areas * peak, color=colour, lw=0.9, alpha=0.8)
    axes.axhline(0.0, color="0.3", lw=0.6)
    axes.set_xlim(grid[-1], 0)
    axes.set_xlabel("wavenumber / cm$^{-1}$")
    axes.set_ylabel("lines per cm$^{-1}$" if intensities is None else "intensity / km mol$^{-1}$ cm")
    axes.set_title(modes.atoms.get_chemical_formula(), fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    save_png(figure, path)
    return True
