"""docs/reactive-set.md from a set: tables of its manifest, what `hint dataset stats` says, and its map."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
from _commands import run
from ase import Atoms
from protocol.report import COLOURS, put_blocks

from hint_plugin.data import FrameStore
from hint_plugin.data.stores.shards import files_of
from hint_plugin.sampling.reduce import fit_reduction
from hint_plugin.sampling.soap import SoapFeatures
from hint_plugin.science.figures import new_figure, save_png

DOCS = Path(__file__).parents[2] / "docs"
MAPPED = 3000  # frames
_SHADES = (*COLOURS, "#8c8c8c", "#d6a419", "#111111", "#e377c2", "#17becf", "#9edae5")


def write_page(folder: Path) -> None:
    """The tables between the marks of the page, and the picture, from the finished shards."""
    about = json.loads((folder / "manifest.json").read_text())
    blocks = {name: make(about) for name, make in TABLES.items()}
    run(f"hint dataset stats {folder / 'train'}", folder, "stats.log")
    said = [line.rstrip() for line in (folder / "stats.log").read_text().splitlines()]
    kept = [line for line in said if line and not line.startswith("reading")]
    blocks["stats"] = indent("\n".join(kept), "    ")
    put_blocks(DOCS / "reactive-set.md", blocks)
    draw_map(folder / "train", DOCS / "img" / "reactive-set.png")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def state(about: Mapping[str, Any]) -> str:
    """One sentence."""
    done, of = about["shards"]
    chosen, frames = about["candidates"], about["frames"]
    return (
        f"{done} of {of} shards: {frames:,} labelled frames, chosen from {chosen:,} candidates besides the "
        f"stationary points, {about['core_hours_in_all']:.2f} core hours."
    )


def kinds(about: Mapping[str, Any]) -> str:
    """Frames by kind and part."""
    parts = about["parts"]
    names = sorted({kind for part in parts.values() for kind in part["kinds"]})
    rows = [[kind, *(part["kinds"].get(kind, 0) for part in parts.values())] for kind in names]
    rows.append(["frames", *(part["frames"] for part in parts.values())])
    rows.append(["of these with a full Hessian", *(part["full_hessians"] for part in parts.values())])
    return table(["", *parts], rows)


def counts(about: Mapping[str, Any]) -> str:
    """What was counted on the way."""
    return table(["counted", "number"], list(about["counts"].items()))


def hours(about: Mapping[str, Any]) -> str:
    """Core hours by stage."""
    rows = [[name, f"{value:.3f}"] for name, value in about["core_hours"].items()]
    return table(["stage", "core hours"], [*rows, ["in all", f"{about['core_hours_in_all']:.3f}"]])


TABLES = {"state": state, "kinds": kinds, "counts": counts, "hours": hours}


def draw_map(store: Path, path: Path) -> None:
    """The two principal components of the frames' SOAP vectors, coloured by kind."""
    frames = _some(store)
    features = SoapFeatures((1, 6, 7, 8)).setup()(frames)
    plane = fit_reduction(features, "none", 2, 0).apply(features)
    found = np.array([a.info["kind"] for a in frames])
    figure = new_figure(7.0, 5.0)
    axes = figure.add_subplot()
    for shade, kind in zip(_SHADES, sorted(set(found)), strict=False):
        axes.plot(*plane[found == kind].T, ".", ms=2.5, color=shade, label=kind)
    axes.set_xlabel("first principal component of SOAP")
    axes.set_ylabel("second")
    axes.legend(frameon=False, fontsize=8, markerscale=4, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_png(figure, path)


def _some(store: Path) -> list[Atoms]:
    """Evenly from all shards, at most `MAPPED`."""
    files = files_of(store)
    found = []
    for file in files:
        with FrameStore.open(file) as frames:
            each = min(len(frames), max(1, MAPPED // len(files)))
            found += [frames[int(k)] for k in np.linspace(0, len(frames) - 1, each)]
    return found
