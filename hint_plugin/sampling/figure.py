"""A map of the frames with the choice marked, and the distribution of what it was made by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.drawing import picture
from hint_plugin.data.file_io import replacing, write_json
from hint_plugin.errors import OptionsError
from hint_plugin.optional import check
from hint_plugin.sampling.methods import Sample
from hint_plugin.sampling.reduce import fit_reduction

MAP_POINTS = 20_000
"""Frames drawn on the map, at most; all of the chosen up to half of that are among them."""
BINS = 60
CHOSEN = "#d1495b"
FORMATS = (".png", ".pdf", ".svg")


def check_picture(path: Path, others: list[Path]) -> None:
    """Before the work. Raises OptionsError: another format, no folder, or a file in danger.

    Raises MissingDependencyError, too: matplotlib is not installed.
    """
    check("--figure", "'.[plot]' in HINT's folder", "matplotlib")
    if path.suffix.lower() not in FORMATS:
        raise OptionsError(f"--figure {path}: wanted a name that ends in {', '.join(FORMATS)}")
    if not path.resolve().parent.is_dir():
        raise OptionsError(f"the folder {path.parent} does not exist. Make it first")
    numbers = path.with_suffix(".json").resolve()
    if any(numbers == other.resolve() for other in others):
        raise OptionsError(f"--figure {path}: its numbers would replace {numbers.name}; choose another name")


def draw(sample: Sample, path: Path) -> bool:
    """Write the numbers of a figure as JSON (the name of `path`, .json), and then the figure.

    Left: the first two principal components of the features, coloured by the score, chosen frames ringed;
    only where the method has features. Right: distributions of the score over all and over chosen frames.

    Args:
        sample: what was chosen.
        path: of the picture, .png, .pdf or .svg.

    Returns:
        whether there is a picture; where it could not be made, that is a warning.

    Raises:
        OptionsError: the method has neither features nor a score.
    """
    if sample.features is None and sample.score is None:
        raise OptionsError("--figure: a random choice has nothing to draw without features")
    return _write(path, sample)


@picture
def _write(path: Path, sample: Sample) -> bool:
    numbers: dict[str, Any] = {"method": sample.plan.method, "chosen": len(sample.chosen)}
    if sample.features is not None:
        numbers["map"] = _map(sample)
    if sample.score is not None:
        numbers["histogram"] = _histogram(sample)
    write_json(path.with_suffix(".json"), numbers, indent=1)
    _plot(path, sample, numbers)
    return True


def _plot(path: Path, sample: Sample, numbers: dict[str, Any]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [name for name in ("map", "histogram") if name in numbers]
    figure = Figure(figsize=(5.2 * len(panels), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        if name == "map":
            _draw_map(figure, axis, sample, numbers[name])
        else:
            _draw_histogram(axis, numbers[name])
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix.lower().lstrip("."))


def _map(sample: Sample) -> dict[str, Any]:
    features = sample.features
    assert features is not None
    plane = fit_reduction(features, "none", min(2, *features.shape), 0)
    rng = np.random.default_rng(0)
    shown = _some(np.arange(len(features)), MAP_POINTS, rng)
    marked = _some(sample.chosen, MAP_POINTS // 2, rng)
    place, ringed = _plane(plane.apply(features[shown])), _plane(plane.apply(features[marked]))
    return {
        "explained_variance": plane.explained,
        "frame": shown.tolist(),
        "position": place.round(5).tolist(),
        "chosen_frame": marked.tolist(),
        "chosen_position": ringed.round(5).tolist(),
    }


def _draw_map(figure: Any, axis: Any, sample: Sample, numbers: dict[str, Any]) -> None:
    assert sample.features is not None
    shown, colour = np.array(numbers["frame"]), {"color": "0.6"}
    if sample.score is not None:
        colour = {"c": sample.score[shown], "cmap": "viridis"}
    size = float(np.clip(4000 / len(shown), 2, 14))
    place, ringed = (np.reshape(numbers[name], (-1, 2)) for name in ("position", "chosen_position"))
    points = axis.scatter(*place.T, s=size, lw=0, rasterized=True, **colour)
    axis.scatter(*ringed.T, s=2.5 * size, facecolors="none", edgecolors=CHOSEN, lw=0.7, rasterized=True)
    if sample.score is not None:
        figure.colorbar(points, ax=axis, label=sample.score_name)
    axis.set(
        title=f"{len(sample.chosen)} of {len(sample.features)} frames by {sample.plan.method}",
        xlabel="first principal component",
        ylabel="second",
    )


def _histogram(sample: Sample) -> dict[str, Any]:
    score = sample.score
    assert score is not None
    edges = np.histogram_bin_edges(score, BINS)
    found: dict[str, Any] = {"score": sample.score_name, "edges": edges.tolist()}
    for name, values in (("all", score), ("chosen", score[sample.chosen])):
        counts = np.histogram(values, edges)[0]
        found |= {f"{name}_counts": counts.tolist(), f"{name}_mean": float(values.mean())}
    return found


def _draw_histogram(axis: Any, numbers: dict[str, Any]) -> None:
    edges = np.array(numbers["edges"])
    for name, colour in (("all", "0.6"), ("chosen", CHOSEN)):
        counts = np.array(numbers[f"{name}_counts"])
        density = counts / (max(1, counts.sum()) * np.diff(edges))
        axis.stairs(density, edges, color=colour, label=name, fill=name == "all")
    axis.set(xlabel=numbers["score"], ylabel="density of frames", title="all and chosen")
    axis.legend(frameon=False)


def _some(numbers: NDArray[np.int64], limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return numbers if len(numbers) <= limit else np.sort(rng.choice(numbers, limit, replace=False))


def _plane(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """[rows, 2], in float64: float32 that is rounded has many digits in JSON."""
    return np.hstack([points, np.zeros((len(points), 2 - points.shape[1]))])
