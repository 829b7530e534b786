"""Tables (Markdown) and figures of the study, from its rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.data import iter_frames
from protocol.parts import PLAIN

Rows = list[dict[str, Any]]
COLOURS = ("#1f5fa8", "#c44e22", "#3a8a4d", "#7a5195")
ERRORS = {
    "energy_shifted_mae": "E after the best shift, eV/atom",
    "forces_mae": "F, eV/A",
    "hessian_mae": "H, eV/A^2",
    "eigenvalues_mae": "eigenvalues, eV/A^2",
    "frequencies_mae": "frequencies, cm^-1",
}
#: The size beside an error, where it has another name.
SIZES = {"energy_shifted_mae": "energy_size"}
HEADS = {
    "untrained": "",
    "efficiency": "DFT Hessians",
    "ablation": "loss",
    "curriculum": "Hessians",
    "sampling": "frames",
    "stationary": "training",
    "models": "training",
    "nequip": "training",
}


def write_report(done: dict[str, Rows], folder: Path) -> None:
    """results.json, study.md, a figure for each part that has one."""
    parts = [f'"{part}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for part, rows in done.items()]
    (folder / "results.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")  # a row a line
    text = "\n".join(f"## {name}\n\n{table}\n" for name, table in tables(done).items())
    (folder / "study.md").write_text(text)
    print(text)
    for part, rows in done.items():
        if part in FIGURES:
            _save(FIGURES[part], rows, folder / f"{part}.png")


def tables(done: dict[str, Rows]) -> dict[str, str]:
    """In Markdown, by their names: those of the parts, `cost`, and `fractions` of the GFN2-xTB Hessians."""
    found = {part: TABLES[part](rows) if part in TABLES else _table(rows, HEADS[part])
             for part, rows in done.items()}  # fmt: skip
    if "ablation" in done:
        found["cost"] = _cost(done["ablation"])
    if {"curriculum", "models"} <= set(done):
        found["fractions"] = _table(_fractions(done), "GFN2-xTB Hessians")
    return found


def _fractions(done: dict[str, Rows]) -> Rows:
    """What models of the same kind have learnt from none, few and all of the Hessians of the same frames."""
    few = [row for row in done["curriculum"] if row["series"] == "ramped"]
    plain, every = ([row for row in done["models"] if (row["series"], row["x"]) == ("AlphaNet", kind)]
                    for kind in ("E/F", "Hutchinson"))  # fmt: skip
    return [{**row, "series": "from nothing", "x": row["hessian_labels"]} for row in (*plain, *few, *every)]


def fill_page(page: Path, done: dict[str, Rows], folder: Path) -> None:
    """Put the tables between `<!-- NAME -->` and `<!-- /NAME -->`, the figures into img/ beside the page."""
    put_blocks(page, tables(done))
    for part in FIGURES:
        if f"img/study-{part}.png" in page.read_text():
            shutil.copy(folder / f"{part}.png", page.parent / "img" / f"study-{part}.png")


def put_blocks(page: Path, blocks: dict[str, str]) -> None:
    """Put each block into the page between its marks; those without marks are left out."""
    text = page.read_text()
    for name, block in blocks.items():
        head, mark, rest = text.partition(f"<!-- {name} -->\n")
        if mark:
            text = f"{head}{mark}{block}\n<!-- /{name} -->{rest.partition(f'<!-- /{name} -->')[2]}"
    page.write_text(text)


def spread(rows: Rows, metric: str) -> tuple[float, float]:
    """Mean and sample standard deviation over the seeds (nan for one)."""
    values = np.array([row[metric] for row in rows], dtype=float)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _groups(rows: Rows) -> Iterator[tuple[str, Any, Rows]]:
    """(series, x, rows of all seeds), in the order they come."""
    keys = dict.fromkeys((row["series"], row["x"]) for row in rows)
    for series, x in keys:
        yield series, x, [row for row in rows if (row["series"], row["x"]) == (series, x)]


def _table(rows: Rows, head: str) -> str:
    """Errors, and in the last line the size of what they are errors of, where the rows have them.

    Results from before `hint evaluate` measured them have no energies after a shift, and no sizes.
    """
    metrics = [metric for metric in ERRORS if all(metric in row for row in rows)]
    heads = ["", head, *(ERRORS[metric] for metric in metrics), "Hessian labels"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for series, x, some in _groups(rows):
        cells = [_with_spread(*spread(some, metric)) for metric in metrics]
        lines.append(f"| {series} | {x} | {' | '.join(cells)} | {some[0].get('hessian_labels', 0)} |")
    sizes = [SIZES.get(metric, metric.replace("_mae", "_size")) for metric in metrics]
    if all(size in row for row in rows for size in sizes):
        cells = [_with_spread(*_one_size(rows, size)) for size in sizes]
        lines.append(f"| size of the labels | mean absolute value | {' | '.join(cells)} | |")
    return "\n".join(lines)


def _one_size(rows: Rows, size: str) -> tuple[float, float]:
    """That of the test set, a number without a spread; rows that differ are of different test sets."""
    values = [row[size] for row in rows]
    if not np.allclose(values, values[0], rtol=1e-6):
        raise ValueError(f"{size} is {min(values)} to {max(values)}: the rows of a table have one test set")
    return values[0], float("nan")


def _with_spread(mean: float, deviation: float) -> str:
    """With the digits that the deviation leaves."""
    if np.isnan(deviation):
        return f"{mean:.0f}" if mean >= 100 else f"{mean:.3g}"
    digits = max(0, -int(np.floor(np.log10(max(deviation, 1e-9)))))
    return f"{mean:.{min(digits, 3)}f} +- {deviation:.{min(digits, 3)}f}"


def label_rows(folder: Path) -> Rows:
    """What `hint label` says of each file; of resumed ones not the cost, which is that of their last run."""
    rows = []
    for path in sorted(folder.glob("*.xyz.json")):
        said = json.loads(path.read_text())
        if "labelled" in said:
            name = path.name.removesuffix(".json")
            jobs = int(said["provenance"]["command"].rpartition("--jobs ")[2])
            rows.append(
                {
                    "file": name,
                    "frames": said["labelled"],
                    "failed": said["failed"],
                    "atoms": round(float(np.mean([len(frame) for frame in iter_frames(folder / name)])), 2),
                    "core_seconds": None if said["resumed"] else jobs * said["seconds"],
                    "noise": said["noise"],
                }
            )
    return rows


def _labels(rows: Rows) -> str:
    lines = ["| file | frames | atoms, mean | failed | core s a frame | noise, eV/A^2 |", "|---" * 6 + "|"]
    for row in rows:
        cost = "" if row["core_seconds"] is None else f"{row['core_seconds'] / row['frames']:.2g}"
        cells = (
            row["file"],
            row["frames"],
            f"{row['atoms']:.1f}",
            row["failed"],
            cost,
            f"{row['noise']:.1g}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _cost(rows: Rows) -> str:
    """Of a step of each loss, in steps on energies and forces of the same series; medians over the seeds."""
    lines = ["| | loss | step, ms | / E/F | memory, MB | training, s |", "|---" * 6 + "|"]
    plain = {series: some for series, x, some in _groups(rows) if x == PLAIN}
    for series, x, some in _groups(rows):
        step, whole, memory = (_median(some, what) for what in ("step_seconds", "seconds", "megabytes"))
        ratio = step / _median(plain[series], "step_seconds")
        lines.append(f"| {series} | {x} | {1000 * step:.0f} | {ratio:.2f} | {memory:.0f} | {whole:.0f} |")
    return "\n".join(lines)


def _median(rows: Rows, what: str) -> float:
    return float(np.median([row[what] for row in rows]))


def _downstream(rows: Rows) -> str:
    """Errors are of each model's own minima: at those of GFN2-xTB only what is a minimum there has any."""
    heads = ("", "training", "minima that stay minima", "frequencies, cm^-1", "ZPE, meV", "G - E, meV",
             "barriers, meV", "intact, ps", "intact to the end")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for series, x, some in _groups(rows):
        there, own = ([row["thermo"][f"minimum, {where}"] for row in some if row["thermo"]]
                      for where in ("same_geometry", "own_geometry"))  # fmt: skip
        count = sum(one["count"] for one in there)
        cells = [
            f"{count} of {count + sum(one['failed'] for one in there)}" if there else "",
            *(_mean([one[name] for one in own], factor, form) for name, factor, form in _THERMO),
            _mean([row["barriers_mae"] for row in some], 1000, "{:.0f}"),
            _mean([row["md_ps"] for row in some], 1, "{:.2f}"),
            f"{sum(row['md_whole'] for row in some)} of {sum(row['md_molecules'] for row in some)}",
        ]
        lines.append(f"| {series} | {x} | {' | '.join(cells)} |")
    return "\n".join(lines)


#: Key of `hint compare-thermo`, factor, form.
_THERMO = (
    ("frequencies", 1, "{:.0f}"),
    ("zero_point_energy", 1000, "{:.0f}"),
    ("gibbs_correction", 1000, "{:.0f}"),
)


def _mean(values: list[float | None], factor: float, form: str) -> str:
    some = [factor * value for value in values if value is not None]
    return form.format(np.mean(some)) if some else ""


def _save(draw: Callable[[Rows, Any], Any], rows: Rows, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = draw(rows, plt)
    panels.savefig(path, dpi=130)
    plt.close(panels)


def _lines(rows: Rows, plt: Any, label: str) -> Any:
    """Errors of Hessians and eigenvalues against x, with the spread of the seeds."""
    panels, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
    for axis, metric in zip(axes, ("hessian_mae", "eigenvalues_mae"), strict=True):
        for colour, series in zip(COLOURS, dict.fromkeys(row["series"] for row in rows), strict=False):
            own = [(x, spread(some, metric)) for name, x, some in _groups(rows) if name == series]
            axis.errorbar(
                [x for x, _ in own], [s[0] for _, s in own], yerr=[s[1] for _, s in own], color=colour,
                marker="o", ms=4, capsize=3, label=series,
            )  # fmt: skip
        places = sorted({row["x"] for row in rows})
        axis.set_xscale("symlog", linthresh=5)
        axis.set_xticks(places, [str(x) for x in places])
        axis.xaxis.set_minor_locator(plt.NullLocator())
        _log_scale(axis, plt)
        axis.set_xlabel(label)
        axis.set_ylabel(f"MAE: {ERRORS[metric].replace('^2', '$^2$')}")
    axes[0].legend(frameon=False, fontsize=8)
    return panels


def _log_scale(axis: Any, plt: Any) -> None:
    """Errors as plain numbers: they span less than a decade."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(plt.LogLocator(subs=(1, 1.5, 2, 3, 4, 6, 8)))
    axis.yaxis.set_minor_locator(plt.NullLocator())
    axis.yaxis.set_major_formatter(plt.FormatStrFormatter("%g"))


def _bars(rows: Rows, plt: Any) -> Any:
    """Errors of Hessians, a bar for each x, series beside each other."""
    names = list(dict.fromkeys(str(row["x"]) for row in rows))
    series = list(dict.fromkeys(row["series"] for row in rows))
    panels, axes = plt.subplots(figsize=(7, 0.9 + 0.42 * len(names)), layout="constrained")
    width = 0.8 / len(series)
    for name, x, some in _groups(rows):
        k = series.index(name)
        mean, deviation = spread(some, "hessian_mae")
        axes.barh(
            names.index(str(x)) + (k - (len(series) - 1) / 2) * width, mean, 0.9 * width,
            xerr=0 if np.isnan(deviation) else deviation, color=COLOURS[k],
            label=name if str(x) == names[0] else None, error_kw={"lw": 1},
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("MAE of Hessians, eV/A$^2$")
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    return panels


def _curves(rows: Rows, plt: Any) -> Any:
    """The Hessian's error on the validation set over the training, a panel for each number of labels."""
    numbers = list(dict.fromkeys(row["x"] for row in rows))
    panels, axes = plt.subplots(
        1, len(numbers), figsize=(4.2 * len(numbers), 3.4), layout="constrained", squeeze=False
    )
    for axis, number in zip(axes[0], numbers, strict=True):
        for colour, series in zip(COLOURS, dict.fromkeys(row["series"] for row in rows), strict=False):
            for row in rows:
                if (row["series"], row["x"]) == (series, number):
                    _, epochs, errors = zip(*row["curve"], strict=True)
                    label = series if row["seed"] == 1 else None
                    axis.plot(epochs, errors, color=colour, lw=1, label=label)
        _log_scale(axis, plt)
        axis.set_xlabel("epoch")
        axis.set_title(f"{number} Hessians", fontsize=9)
    axes[0][0].set_ylabel("RMSE of H v, validation, eV/A$^2$")
    axes[0][0].legend(frameon=False, fontsize=8)
    return panels


TABLES = {"labels": _labels, "downstream": _downstream}
FIGURES: dict[str, Callable[[Rows, Any], Any]] = {
    "efficiency": lambda rows, plt: _lines(rows, plt, "DFT Hessians"),
    "ablation": _bars,
    "curriculum": _curves,
    "sampling": lambda rows, plt: _lines(rows, plt, "frames with labels"),
    "stationary": _bars,
    "models": _bars,
}
