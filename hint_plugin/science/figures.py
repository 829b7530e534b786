"""Figures that are drawn where matplotlib is installed, and left out where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hint_plugin.data.file_io import replacing
from hint_plugin.optional import is_missing


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure (inches) that needs no display, or None without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if not is_missing(error, "matplotlib"):
            raise
        return None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Any, path: Path) -> None:
    """Whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
