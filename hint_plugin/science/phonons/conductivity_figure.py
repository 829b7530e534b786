"""Thermal conductivity as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hint_plugin.data.drawing import picture
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.phonons.band_figure import COLOURS
from hint_plugin.science.phonons.heat_conduction import CM_PER_THZ, Conduction


@picture
def plot_conductivity(path: Path, meshes: Sequence[Conduction], temperature: float, title: str = "") -> bool:
    """kappa by temperature on each mesh, up to a frequency, up to a mean free path, and lifetimes.

    Args:
        path: of the PNG.
        meshes: from the coarsest to the finest.
        temperature: K, of all but the first.
        title: of the figure.

    Returns:
        False, and nothing is written, without matplotlib.
    """
    figure = new_figure(8.0, 6.0)
    if figure is None:
        return False
    (first, frequency), (mean_free_path, lifetimes) = figure.subplots(2, 2)
    finest = meshes[-1]
    for k, one in enumerate(meshes):
        label = "mesh " + " ".join(map(str, one.mesh))
        first.plot(
            one.temperatures, one.total[:, :3].mean(axis=1), "o-", ms=3, lw=1.3, label=label,
            color=COLOURS[k % len(COLOURS)],
        )  # fmt: skip
    if len(finest.temperatures) > 1 and finest.temperatures.min() > 0:
        first.set_xscale("log")
        first.set_yscale("log")
    first.legend(fontsize=7, frameon=False)
    _labelled(first, "temperature, K", "kappa, W/m/K")
    x, kappa = finest.by_frequency(temperature)
    frequency.plot(x, kappa, color=COLOURS[0], lw=1.3)
    _labelled(frequency, "frequency, 1/cm", f"kappa up to there at {temperature:g} K")
    x, kappa = finest.by_mean_free_path(temperature)
    mean_free_path.plot(x, kappa, color=COLOURS[0], lw=1.3)
    mean_free_path.set_xscale("log")
    _labelled(mean_free_path, "mean free path, micrometres", f"kappa up to there at {temperature:g} K")
    gamma = finest.gamma[finest.at(temperature)]
    scattered = gamma > 0
    lifetimes.plot(
        CM_PER_THZ * finest.frequencies[scattered], 1 / (12.566370614 * gamma[scattered]), ".", ms=2,
        color=COLOURS[0],
    )  # fmt: skip
    lifetimes.set_yscale("log")
    _labelled(lifetimes, "frequency, 1/cm", f"lifetime at {temperature:g} K, ps")
    if title:
        figure.suptitle(title, fontsize=10)
    save_png(figure, path)
    return True


def _labelled(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(which="both", labelsize=7)
