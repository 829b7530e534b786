"""Histograms of a set of frames as PNG files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.data.drawing import picture
from hint_plugin.data.file_io import replacing
from hint_plugin.data.sets.statistics import Magnitudes, Statistics
from hint_plugin.errors import DataError
from hint_plugin.optional import load


def prepare(folder: str | Path) -> Path:
    """The folder of the plots, made before the frames are read.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        DataError: the folder cannot be made.
    """
    load("matplotlib.figure", "plot", "plots need matplotlib")
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error})") from error
    return target


def plot_statistics(found: Statistics, folder: str | Path) -> list[Path]:
    """One PNG for each quantity that the set has, and that can be drawn.

    Raises as `prepare`.
    """
    target = prepare(folder)
    sizes = sorted(found.atoms)
    symbols = sorted(found.elements)
    nearest = [d for d in found.nearest if np.isfinite(d)]
    made = []
    for name, xlabel, ylabel, draw in (
        ("atoms", "atoms", "frames", lambda ax: ax.bar(sizes, [found.atoms[n] for n in sizes])),
        ("elements", "", "atoms", lambda ax: ax.bar(symbols, [found.elements[s] for s in symbols])),
        (
            "energies",
            "energy per atom without E0 / eV",
            "frames",
            lambda ax: ax.hist(found.energy_per_atom, bins=60),
        ),
        ("forces", "force on an atom / eV/A", "atoms", lambda ax: _bars(ax, found.forces)),
        ("hessian", "|H| elements / eV/A^2", "elements", lambda ax: _bars(ax, found.hessian)),
        ("hvp", "|Hv| elements / eV/A", "elements", lambda ax: _bars(ax, found.products)),
        ("noise", "noise of a label / eV/A^2", "frames", lambda ax: ax.hist(found.noise, bins=60)),
        ("nearest", "nearest distance / A", "frames", lambda ax: ax.hist(nearest, bins=60)),
    ):
        path = target / f"{name}.png"
        if _anything(name, found) and _plot(path, draw, xlabel, ylabel):
            made.append(path)
    return made


@picture
def _plot(path: Path, draw: Callable[[Any], Any], xlabel: str, ylabel: str) -> bool:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    if not axes.patches:
        return False
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return True


def _anything(name: str, found: Statistics) -> bool:
    has = {
        "energies": len(found.energy_per_atom),
        "forces": found.forces.count,
        "hessian": found.hessian.count,
        "hvp": found.products.count,
        "noise": len(found.noise),
    }
    return bool(has.get(name, found.frames))


def _bars(axes: object, values: Magnitudes) -> None:
    used = np.flatnonzero(values.histogram)
    if used.size:
        low, high = used[0], used[-1] + 1
        axes.stairs(values.histogram[low:high], values.edges[low : high + 1], fill=True)  # type: ignore[attr-defined]
        axes.set_xscale("log")  # type: ignore[attr-defined]
