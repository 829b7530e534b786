"""A map of the frames with the choice marked, and the distribution of what it was made by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.files import replacing, write_json
from hint_plugin.errors import OptionsError
from hint_plugin.optional import load
from hint_plugin.sampling.methods import Sample
from hint_plugin.sampling.reduce import fit_reduction

MAP_POINTS = 20_000
"""Frames drawn on the map, at most; all of the chosen up to half of that are among them."""
BINS = 60
CHOSEN = "#d1495b"
FORMATS = (".png", ".pdf", ".svg")


def check_picture(path: Path, others: list[Path]) -> None:
    """Raise OptionsError before the work: another format, no folder, or a file in danger."""
    if path.suffix.lower() not in FORMATS:
        raise OptionsError(f"--figure {path}: wanted a name that ends in {', '.join(FORMATS)}")
    if not path.resolve().parent.is_dir():
        raise OptionsError(f"the folder {path.parent} does not exist. Make it first")
    numbers = path.with_suffix(".json").resolve()
    if any(numbers == other.resolve() for other in others):
        raise OptionsError(f"--figure {path}: its numbers would replace {numbers.name}; choose another name")


def draw(sample: Sample, path: Path) -> dict[str, Any]:
    """Write the figure, and its numbers as JSON beside it (same name, .json).

    Left: the first two principal components of the features, coloured by the score, chosen frames ringed;
    only where the method has features. Right: distributions of the score over all and over chosen frames.

    Args:
        sample: what was chosen.
        path: of the picture, .png, .pdf or .svg.

    Returns:
        the numbers.

    Raises:
        OptionsError: the method has neither features nor a score.
        MissingDependencyError: matplotlib is not installed.
    """
    panels = [
        name for name, values in (("map", sample.features), ("histogram", sample.score)) if values is not None
    ]
    if not panels:
        raise OptionsError("--figure: a random choice has nothing to draw without features")
    load("matplotlib", "plot", "--figure needs matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(panels), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    numbers: dict[str, Any] = {"method": sample.plan.method, "chosen": len(sample.chosen)}
    for axis, name in zip(axes, panels, strict=True):
        numbers[name] = _map(figure, axis, sample) if name == "map" else _histogram(axis, sample)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix.lower().lstrip("."))
    write_json(path.with_suffix(".json"), numbers, indent=1)
    return numbers


def _map(figure: Any, axis: Any, sample: Sample) -> dict[str, Any]:
    features = sample.features
    assert features is not None
    plane = fit_reduction(features, "none", min(2, *features.shape), 0)
    rng = np.random.default_rng(0)
    shown = _some(np.arange(len(features)), MAP_POINTS, rng)
    marked = _some(sample.chosen, MAP_POINTS // 2, rng)
    place, ringed = _plane(plane.apply(features[shown])), _plane(plane.apply(features[marked]))
    colour: dict[str, Any] = {"color": "0.6"}
    if sample.score is not None:
        colour = {"c": sample.score[shown], "cmap": "viridis"}
    size = float(np.clip(4000 / len(shown), 2, 14))
    points = axis.scatter(*place.T, s=size, lw=0, rasterized=True, **colour)
    axis.scatter(*ringed.T, s=2.5 * size, facecolors="none", edgecolors=CHOSEN, lw=0.7, rasterized=True)
    if sample.score is not None:
        figure.colorbar(points, ax=axis, label=sample.score_name)
    axis.set(
        title=f"{len(sample.chosen)} of {len(features)} frames by {sample.plan.method}",
        xlabel="first principal component",
        ylabel="second",
    )
    return {
        "explained_variance": plane.explained,
        "frame": shown.tolist(),
        "position": place.round(5).tolist(),
        "chosen_frame": marked.tolist(),
        "chosen_position": ringed.round(5).tolist(),
    }


def _histogram(axis: Any, sample: Sample) -> dict[str, Any]:
    score = sample.score
    assert score is not None
    edges = np.histogram_bin_edges(score, BINS)
    found: dict[str, Any] = {"score": sample.score_name, "edges": edges.tolist()}
    for name, values, colour in (("all", score, "0.6"), ("chosen", score[sample.chosen], CHOSEN)):
        counts = np.histogram(values, edges)[0]
        axis.stairs(
            counts / (len(values) * np.diff(edges)), edges, color=colour, label=name, fill=name == "all"
        )
        found |= {f"{name}_counts": counts.tolist(), f"{name}_mean": float(values.mean())}
    axis.set(xlabel=sample.score_name, ylabel="density of frames", title="all and chosen")
    axis.legend(frameon=False)
    return found


def _some(numbers: NDArray[np.int64], limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return numbers if len(numbers) <= limit else np.sort(rng.choice(numbers, limit, replace=False))


def _plane(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.hstack([points, np.zeros((len(points), 2 - points.shape[1]), dtype=np.float32)])
