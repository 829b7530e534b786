"""Bands as a figure: several of the same path in one, measured points, densities of states beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.drawing import picture
from hint_plugin.errors import DataError
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.phonons.bands import BandPath, Bands
from hint_plugin.science.phonons.differences import IMAGINARY

COLOURS = ("#1f5fa8", "#c44e22", "#3f8f4f", "#7b4ea3", "#8a6d1f")


def plot_bands(
    path: Path,
    series: Sequence[tuple[str, Bands]],
    *,
    points: Sequence[tuple[str, NDArray, NDArray]] = (),
    density: Sequence[tuple[str, NDArray, NDArray]] = (),
    title: str = "",
) -> bool:
    """One figure of several bands, in the order given; the first one is that of the axis.

    Bands with the same corners but another length (a reference of another lattice constant) are stretched to
    those of the first, segment by segment.

    Args:
        path: of the PNG.
        series: (label, bands); drawn first to last, the first on top.
        points: (label, distances, frequencies) of single measurements.
        density: (label, frequencies, states) beside the bands.
        title: above them.

    Returns:
        False, and nothing is written, without matplotlib.

    Raises:
        DataError: bands of another path.
    """
    for _, other in series[1:]:
        if other.path.labels != series[0][1].path.labels:
            raise DataError(f"bands along {other.path.words()} and {series[0][1].path.words()} in one figure")
    return _draw(path, series, points, density, title)


@picture
def _draw(
    path: Path,
    series: Sequence[tuple[str, Bands]],
    points: Sequence[tuple[str, NDArray, NDArray]],
    density: Sequence[tuple[str, NDArray, NDArray]],
    title: str,
) -> bool:
    figure = new_figure(7.0 if density else 6.0, 3.8)
    if figure is None:
        return False
    axes, beside = figure.add_subplot(), None
    if density:
        figure.clear()
        grid = figure.add_gridspec(1, 2, width_ratios=(3.2, 1), wspace=0.03)
        axes = figure.add_subplot(grid[0])
        beside = figure.add_subplot(grid[1], sharey=axes)
    first = series[0][1].path
    for k, (label, bands) in enumerate(series):
        look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "lw": 1.2, "zorder": 3 - 0.1 * k}
        if k:
            look |= {"ls": (0, (4, 2))}
        for number, (along, values) in enumerate(zip(first.distances, bands.frequencies, strict=True)):
            x = np.linspace(along[0], along[-1], len(values))
            lines = axes.plot(x, values, **look)
            if number == 0 and label:
                lines[0].set_label(label)
    for k, (label, along, values) in enumerate(points):
        axes.plot(along, values, "o", ms=3.5, mfc="none", color=COLOURS[-1 - k], label=label, zorder=5)
    _frame(axes, first, series)
    if title:
        axes.set_title(title, fontsize=10)
    if any(label for label, _ in series) and len(series) + len(points) > 1:
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
        )
    if beside is not None:
        for k, (_, nu, states) in enumerate(density):
            beside.plot(states, nu, color=COLOURS[k % len(COLOURS)], lw=1.0, ls="-" if k == 0 else "--")
        beside.set_xlim(left=0)
        beside.set_xlabel("states per cm$^{-1}$", fontsize=8)
        beside.tick_params(labelleft=False, labelsize=7)
        beside.axhline(0.0, color="0.6", lw=0.6)
    save_png(figure, path)
    return True


def _frame(axes: Any, path: BandPath, series: Sequence[tuple[str, Bands]]) -> None:
    places, names = path.ticks()
    axes.set_xticks(places, names)
    for place in places:
        axes.axvline(place, color="0.8", lw=0.6, zorder=0)
    axes.axhline(0.0, color="0.6", lw=0.6, zorder=0)
    axes.set_xlim(places[0], places[-1])
    lowest, highest = min(b.lowest for _, b in series), max(b.highest for _, b in series)
    margin = 0.05 * (highest - min(lowest, 0.0))
    axes.set_ylim(lowest - margin if lowest < IMAGINARY else 0.0, highest + margin)
    axes.set_ylabel("wavenumber / cm$^{-1}$")
