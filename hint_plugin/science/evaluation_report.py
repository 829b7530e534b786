"""What an evaluation leaves behind: parity data and plots, a table, and where its inputs came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hint_plugin.core.metrics import AVERAGED
from hint_plugin.core.metrics import UNITS as METRIC_UNITS
from hint_plugin.data.drawing import picture
from hint_plugin.data.file_io import replacing
from hint_plugin.science.energy_shift import UNITS as ENERGY_UNITS
from hint_plugin.science.energy_shift import EnergyShift, no_shift
from hint_plugin.science.figures import new_figure, save_png

if TYPE_CHECKING:
    from rich.table import Table

UNITS = METRIC_UNITS | ENERGY_UNITS
"""Unit of every metric of an evaluation."""
PANELS = {
    "energy": ("energy", "eV/atom"),
    "energy_shifted": ("energy beyond composition, shifted", "eV/atom"),
    "forces": ("force components", "eV/A"),
    "stress": ("stress components", "eV/A^3"),
    "hessian": ("Hessian elements", "eV/A^2"),
    "eigenvalues": ("Hessian eigenvalues", "eV/A^2"),
    "frequencies": ("frequencies", "cm^-1"),
}
"""Quantities of the figure, with their names and units."""
PART_COLUMNS = {
    "n_frames": ("n", 1, 0),
    "energy_mae": ("E meV\n/atom", 1000, 1),
    "energy_shifted_mae": ("less\nshift", 1000, 1),
    "forces_mae": ("F\neV/A", 1, 3),
    "stress_mae": ("S meV\n/A^3", 1000, 2),
    "hessian_mae": ("H\neV/A^2", 1, 3),
    "eigenvalues_mae": ("eig\neV/A^2", 1, 3),
    "frequencies_mae": ("freq\ncm^-1", 1, 1),
    "lowest_mode_cosine": ("mode\ncos", 1, 2),
    "saddle_index_agreement": ("saddle\nindex", 1, 2),
}
"""Columns of the tables of files and groups: heading, factor, decimals. They fit into 80 characters."""
RELATIVE_COLUMNS = {
    "n_frames": ("n", 1, 0),
    "energy_shifted_relative": ("E less\nshift", 1, 2),
    "forces_relative": ("F", 1, 2),
    "stress_relative": ("S", 1, 2),
    "hessian_relative": ("H", 1, 2),
    "eigenvalues_relative": ("eig", 1, 2),
    "frequencies_relative": ("freq", 1, 2),
    "zpe_relative": ("ZPE", 1, 3),
}
"""Columns of their second table: errors relative to the size of the reference."""
ROWS = (AVERAGED[0], "energy_shifted", *AVERAGED[1:], "zpe")
"""Quantities with a row of their own in the table of all frames."""
PRINTED = {"stress": (1000, "meV/A^3")}
"""Factor and unit of what the table of metrics shows in another unit than `UNITS`: that of MACE's log."""
FLAT = 0.9
"""A relative error as large as this: a model that says zero everywhere has 1."""
_STATIONARY = 0.02  # eV/A: of forces as small as this a large relative error is no news
SCATTER_LIMIT = 3000
"""More points than this are drawn as a density."""


class ParitySample:
    """A uniform random sample, at most `limit` pairs (reference, predicted), of a stream of any length.

    Every pair gets a random key and the pairs with the smallest keys stay (Vitter's reservoir, in blocks).
    """

    def __init__(self, limit: int = 200_000, seed: int = 0) -> None:
        self.limit, self.seen = limit, 0
        self._random = np.random.default_rng(seed)
        self._blocks: list[NDArray[np.float64]] = []  # of rows key, reference, predicted
        self._stored = 0

    def add(self, reference: ArrayLike, predicted: ArrayLike) -> None:
        """Offers arrays of the same size."""
        pairs = np.stack([np.ravel(reference), np.ravel(predicted)]).astype(float)
        self.seen += pairs.shape[1]
        self._blocks.append(np.vstack([self._random.random(pairs.shape[1]), pairs]))
        self._stored += pairs.shape[1]
        if self._stored > 2 * self.limit:
            self._reduce()

    @property
    def reference(self) -> NDArray[np.float64]:
        """The sampled reference values."""
        return self._reduce()[1]

    @property
    def predicted(self) -> NDArray[np.float64]:
        """The predictions that belong to `reference`."""
        return self._reduce()[2]

    def _reduce(self) -> NDArray[np.float64]:
        rows = np.hstack(self._blocks) if self._blocks else np.empty((3, 0))
        if rows.shape[1] > self.limit:
            rows = rows[:, np.argpartition(rows[0], self.limit)[: self.limit]]
        self._blocks, self._stored = [rows], rows.shape[1]
        return rows


def write_parity_data(path: Path, samples: Mapping[str, ParitySample]) -> None:
    """`<quantity>_reference` and `<quantity>_predicted` of every sample as .npz."""
    arrays: dict[str, Any] = {}
    for name, sample in samples.items():
        arrays |= {f"{name}_reference": sample.reference, f"{name}_predicted": sample.predicted}
    with replacing(path) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, **arrays)


@picture
def plot_parity(path: Path, samples: Mapping[str, ParitySample], metrics: Mapping[str, float]) -> bool:
    """One figure, a panel for each quantity with data; MAE and RMSE in the titles are those of `metrics`.

    Returns False, and writes nothing, if matplotlib is not installed or there is nothing to draw.
    """
    names = [name for name in PANELS if name in samples and samples[name].seen]
    if not names:
        return False
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(4.4 * columns, 4.4 * rows)
    if figure is None:
        return False
    for i, name in enumerate(names):
        title, unit = PANELS[name]
        axes = figure.add_subplot(rows, columns, i + 1)
        _draw_panel(figure, axes, samples[name], _pretty(unit))
        mae, rmse = metrics[f"{name}_mae"], metrics[f"{name}_rmse"]
        size = metrics.get(_size_of(name)) if name != "energy" else None  # of energies beyond composition
        beside = "" if size is None else f", mean |ref.| {size:.3g}"
        axes.set_title(f"{title}\nMAE {mae:.3g}, RMSE {rmse:.3g}{beside} {_pretty(unit)}", fontsize=10)
    save_png(figure, path)
    return True


def _draw_panel(figure: Any, axes: Any, sample: ParitySample, unit: str) -> None:
    x, y = sample.reference, sample.predicted
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color="0.6", lw=0.8, zorder=0)
    if len(x) > SCATTER_LIMIT:
        extent = (*limits, *limits)
        cells = axes.hexbin(
            x, y, gridsize=90, bins="log", mincnt=1, extent=extent, cmap="viridis", linewidths=0
        )
        bar = figure.colorbar(cells, cax=axes.inset_axes([0.80, 0.08, 0.03, 0.35]))
        bar.ax.set_title("points", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    else:
        axes.plot(x, y, "o", ms=3, alpha=0.5, mew=0, color="#1f6f8b")
    axes.set(
        xlim=limits, ylim=limits, aspect="equal", xlabel=f"reference ({unit})", ylabel=f"predicted ({unit})"
    )
    axes.tick_params(labelsize=8)


def _pretty(unit: str) -> str:
    return unit.replace("^-1", "⁻¹").replace("^2", "²").replace("^3", "³").replace("/A", "/Å")


def summary_tables(result: Mapping[str, Any]) -> list[Table]:
    """Rich tables of what `evaluate` returned: errors of all frames beside the size of the reference, other
    metrics, and the main errors by file and group."""
    metrics = result["metrics"]
    tables = [table for table in (_table_of_errors(metrics), _table_of_others(metrics)) if table.row_count]
    for head, parts in (("file", result["sources"]), ("group", result["groups"])):
        if len(parts) > 1:
            tables.append(_table_of_parts(f"Mean absolute errors by {head}", head, parts, PART_COLUMNS))
            title = f"The same / mean |reference|, by {head}"
            tables.append(_table_of_parts(title, head, parts, RELATIVE_COLUMNS))
    return tables


def notes(
    metrics: Mapping[str, float], shift: EnergyShift | None, own: Mapping[str, EnergyShift | None]
) -> list[str]:
    """Sentences about what the numbers mean: the shift of energies, and errors as large as the reference.

    Args:
        metrics: of all frames.
        shift: of all frames, None if there is none.
        own: that of each file.
    """
    found = shift.notes() if shift else []
    others = {name: one for name, one in own.items() if len(own) > 1 and one and one.is_other_level()}
    found += [f"{name}: {' '.join(one.notes())}" for name, one in others.items()]
    if not shift and metrics.get("n_energy"):
        found.append(no_shift(int(metrics["n_energy"])))
    flat = []
    for name, what in (("energy_shifted", "energies"), ("forces", "forces"), ("hessian", "Hessians")):
        relative = metrics.get(f"{name}_relative", 0.0)
        mixed = name == "energy_shifted" and others  # no one shift serves files of several levels
        stationary = name == "forces" and metrics.get("forces_size", 0.0) < _STATIONARY
        if relative >= FLAT and not mixed and not stationary:
            flat.append(f"{what} {relative:.2f}")
    if flat:
        found.append(
            f"Errors as large as what they are errors of: {', '.join(flat)}. A flat surface has 1.00: no "
            "forces, no Hessians, and energies that follow from the composition alone."
        )
    return found


def _table_of_errors(metrics: Mapping[str, float]) -> Table:
    """A row is a quantity of metrics.json: `NAME_mae`, `NAME_rmse`, `NAME_size`, `NAME_relative`."""
    from rich.table import Table

    table = Table(title="Errors over all frames, and the size of the reference", padding=(0, 0))
    table.add_column("quantity", no_wrap=True)
    for head in ("MAE", "RMSE", "mean\n|ref.|", "MAE /\n|ref.|"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column(" unit", no_wrap=True)
    for name in ROWS:
        if f"{name}_mae" not in metrics:
            continue
        factor, unit = PRINTED.get(name, (1, UNITS[f"{name}_mae"]))
        keys = (f"{name}_mae", f"{name}_rmse", _size_of(name))
        cells = [_number(metrics.get(key), factor) for key in keys]
        table.add_row(name, *cells, _ratio(metrics.get(f"{name}_relative")), f" {unit}")
    if "hessian_rmse_estimate" in metrics:
        cells = [_number(metrics.get(f"hessian_{key}_estimate")) for key in ("rmse", "size")]
        relative = _ratio(metrics.get("hvp_relative_error"))
        table.add_row("hessian, from pairs", "-", *cells, relative, f" {UNITS['hessian_rmse_estimate']}")
    return table


def _table_of_others(metrics: Mapping[str, float]) -> Table:
    """What has no row in the table of errors."""
    from rich.table import Table

    table = Table("metric", title="Other metrics")
    table.add_column("value", justify="right")
    table.add_column("unit")
    shown = {f"{name}_{kind}" for name in ROWS for kind in ("mae", "rmse", "size", "relative")}
    shown |= {"hessian_rmse_estimate", "hessian_size_estimate", "hvp_relative_error"}
    for name in [*(n for n in UNITS if n in metrics), *(n for n in metrics if n.startswith("n_"))]:
        if name not in shown:
            table.add_row(name, _number(metrics[name]), UNITS.get(name, ""))
    return table


def _table_of_parts(
    title: str,
    head: str,
    parts: Mapping[str, Mapping[str, float]],
    columns: Mapping[str, tuple[str, float, int]],
) -> Table:
    from rich.table import Table

    table = Table(title=title, padding=(0, 0), pad_edge=True)
    table.add_column(head, overflow="fold")
    names = [name for name in columns if any(name in values for values in parts.values())]
    for name in names:
        table.add_column(columns[name][0], justify="right", no_wrap=True)
    for part, values in parts.items():
        cells = []
        for name in names:
            _, factor, decimals = columns[name]
            cells.append(_short(factor * values[name], decimals) if name in values else "-")
        table.add_row(part, *cells)
    return table


def _size_of(name: str) -> str:
    """The metric that an error of this quantity is read beside; energies have one, shifted or not."""
    return f"{name.removesuffix('_shifted')}_size"


def _number(value: float | None, factor: float = 1) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value * factor:.4g}"


def _short(value: float, decimals: int) -> str:
    """At most seven characters, so that the columns keep to the width of a screen."""
    text = f"{value:.{decimals}f}"
    return text if len(text) <= 7 else f"{value:.2g}"


def _ratio(value: float | None) -> str:
    """Two digits after the point, so that 1.00 is seen; more where the error is small."""
    if value is None:
        return "-"
    return f"{value:.2f}" if 0.095 <= value < 1000 else f"{value:.2g}"
