"""a2F with lambda(w), the gap against temperature, Tc against mu*: one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.data.drawing import picture
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.superconductivity.critical_temperature import CriticalTemperatures
from hint_plugin.science.superconductivity.spectral import Spectrum

BLUE, RED, GREY, GREEN = "#1f5fa8", "#c44e22", "#777777", "#3a8a4d"
_COLOURS = (BLUE, RED, GREEN, GREY)


@picture
def plot_tc(
    path: Path,
    spectra: Mapping[str, Spectrum],
    curve: Sequence[CriticalTemperatures],
    gaps: Mapping[str, Mapping[str, Any]] | None = None,
) -> bool:
    """All panels for which there is something to show.

    Args:
        spectra: by name, the first with its lambda(w).
        curve: Tc at a range of mu*, of the first spectrum.
        gaps: by the names of `spectra`: `table`, the rows of `gap_table`, and `tc` (K).

    Returns False, and writes nothing, without matplotlib.
    """
    count = 3 if gaps else 2
    figure = new_figure(3.5 * count, 3.1)
    if figure is None:
        return False
    axes = figure.subplots(1, count)
    _plot_a2f(axes[0], spectra)
    _plot_mu_star(axes[1], curve)
    if gaps:
        _plot_gaps(axes[2], gaps, list(spectra))
    save_png(figure, path)
    return True


def _plot_a2f(axes: Any, spectra: Mapping[str, Spectrum]) -> None:
    for k, (name, spectrum) in enumerate(spectra.items()):
        w, a2f = spectrum.on_grid()
        axes.plot(1e3 * w, a2f, color=_COLOURS[k % len(_COLOURS)], lw=1.2, label=name)
        if k == 0:
            axes.fill_between(1e3 * w, a2f, color=BLUE, alpha=0.15, lw=0)
            right = axes.twinx()
            right.plot(1e3 * w, spectrum.cumulative(w), color=GREY, lw=1.0, ls="--")
            right.set_ylim(0, 1.05 * spectrum.lam)
            axes.set_zorder(right.get_zorder() + 1)  # the legend above the dashed line
            axes.patch.set_visible(False)
            right.set_ylabel("$\\lambda(\\omega)$ (dashed)", color=GREY)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("$\\hbar\\omega$ / meV")
    axes.set_ylabel("$\\alpha^2F$")
    if len(spectra) > 1:
        axes.legend(frameon=False, fontsize=8)


def _plot_mu_star(axes: Any, curve: Sequence[CriticalTemperatures]) -> None:
    mu = [point.mu_star for point in curve]
    axes.plot(mu, [point.eliashberg for point in curve], color=RED, lw=1.4, label="Eliashberg")
    axes.plot(mu, [point.formula.allen_dynes for point in curve], color=BLUE, lw=1.2, label="Allen-Dynes")
    axes.plot(mu, [point.formula.mcmillan for point in curve], color=GREY, lw=1.2, ls=":", label="McMillan")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("$\\mu^*$")
    axes.set_ylabel("$T_c$ / K")
    axes.legend(frameon=False, fontsize=8)


def _plot_gaps(axes: Any, gaps: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> None:
    """Lines: at the first Matsubara frequency; circles: the edge on the real axis."""
    several = len(gaps) > 1
    for name, gap in gaps.items():
        colour = _COLOURS[names.index(name) % len(_COLOURS)] if several else RED
        columns = {
            key: np.array([np.nan if row[key] is None else row[key] for row in gap["table"]], dtype=float)
            for key in ("temperature", "gap", "edge")
        }
        line, circles = (name, None) if several else ("$\\Delta(i\\omega_0)$", "gap edge")
        at, edge = columns["temperature"], colour if several else BLUE
        axes.plot(at, 1e3 * columns["gap"], "-", color=colour, lw=1.3, label=line)
        axes.plot(at, 1e3 * columns["edge"], "o", color=edge, ms=3, label=circles)
        axes.axvline(gap["tc"], color=colour if several else GREY, lw=0.8, ls=":")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("$T$ / K")
    axes.set_ylabel("$\\Delta$ / meV")
    axes.legend(frameon=False, fontsize=8)
