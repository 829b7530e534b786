"""The populations of conformers as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hint_plugin.data.drawing import picture
from hint_plugin.science.figures import new_figure, save_png

MOST = 15
"""Bars; what is less populated is summed up in one more."""


@picture
def plot_populations(path: Path, ensemble: Mapping[str, Any]) -> bool:
    """A bar for each conformer of `Ensemble.about`, with its degeneracy and G above the lowest, in meV.

    Returns False, and writes nothing, without matplotlib.
    """
    rows = sorted(ensemble["conformers"], key=lambda row: -row["population"])
    shown, rest = rows[:MOST], rows[MOST:]
    names = [row["name"] for row in shown]
    heights = [100 * row["population"] for row in shown]
    notes = [f"{row['degeneracy']} x, {1000 * row['relative_gibbs_energy']:.0f} meV" for row in shown]
    if rest:
        names.append(f"{len(rest)} more")
        heights.append(100 * sum(row["population"] for row in rest))
        notes.append("")
    figure = new_figure(6.4, 1.2 + 0.32 * len(names))
    if figure is None:
        return False
    axes = figure.add_subplot()
    bars = axes.barh(range(len(names)), heights, color="#1f5fa8", height=0.7)
    axes.bar_label(bars, labels=notes, padding=4, fontsize=8, color="#444444")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(heights))
    axes.set_xlabel(f"population at {ensemble['temperature']:g} K, %")
    axes.set_title(
        f"{ensemble['name']} ({ensemble['formula']}): degeneracy and G above the lowest", fontsize=9
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save_png(figure, path)
    return True
