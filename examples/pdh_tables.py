"""Tables and a figure of `pdh.py`, all from its results.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from demo import console

from hint_plugin.science.superconductivity import spread_of

#: What tells the sources of one Tc apart.
CHOICES = {
    "training": "training",
    "matrices": "SSCHA or free-energy Hessian",
    "numbers": "random numbers of SSCHA",
    "interpolation": "interpolation",
}


def show(found: dict[str, Any], folder: Path) -> None:
    """Tables, as Markdown and on the screen."""
    tables = [
        models_table(found),
        modes_table(found),
        tc_table(found),
        moves_table(found),
        sources_table(found),
    ]
    text = "\n\n".join("\n".join(lines) for lines in tables)
    (folder / "results.md").write_text(text + "\n")
    (folder / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    figure(found, folder / "results.png")
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"written: {folder / 'results.json'}, results.md, results.png", soft_wrap=True)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def models_table(found: dict[str, Any]) -> list[str]:
    """Phonons of the models against DFPT's."""
    rows = []
    for row in found["models"].values():
        errors = row["errors"].get("sum_rule", row["errors"]["commensurate"])
        mae, imaginary = f"{errors['mean']:.1f} / {errors['largest']:.1f}", errors["imaginary"]
        of_dfpt = f"{imaginary} (DFPT {errors['imaginary_reference']})"
        rows.append([row["title"], mae, of_dfpt, f"{row['lowest']:.0f}", f"{row['cpu_seconds']:.0f}"])
    head = ["model", "phonons, MAE / largest error, cm^-1", "imaginary, of 48", "lowest, cm^-1", "CPU s"]
    return markdown(head, rows)


def modes_table(found: dict[str, Any]) -> list[str]:
    """Frequencies of the first training."""
    rows = []
    for isotope in found["sscha"]:
        for kind in ("harmonic", "sscha") if isotope == "H" else ("sscha",):
            cells = [
                " ".join(f"{nu:.0f}" for nu in sorted(set(_rounded(r)))) for r in _rows(found, isotope, kind)
            ]
            rows.append([f"Pd{isotope}, {kind}", *cells])
    return markdown(["cm^-1, first training", *(_point(row["q"]) for row in _rows(found))], rows)


def tc_table(found: dict[str, Any]) -> list[str]:
    """Median and range over all sources."""
    columns = {
        "lambda": ("lambda", 1.0),
        "omega_log": ("omega_log, meV", 1000.0),
        "allen_dynes": ("Tc (Allen-Dynes), K", 1.0),
        "eliashberg": ("Tc (Eliashberg), K", 1.0),
        "isotope_exponent": ("alpha", 1.0),
    }
    rows = []
    for isotope, one in zip(found["sscha"], found["tc"]["spread"], strict=True):
        cells = [in_words(rows_of(found, one), key, factor) for key, (_, factor) in columns.items()]
        rows.append([f"Pd{isotope}", *cells, f"{one['sources'] - one['unstable']} of {one['sources']}"])
    return markdown(["median, range", *(title for title, _ in columns.values()), "sources with a Tc"], rows)


def rows_of(found: dict[str, Any], one: dict[str, Any]) -> list[dict[str, Any]]:
    """The sources of one isotope that have a Tc."""
    rows = [row for row in found["tc"]["sources"] if row["isotope"] == one["isotope"]]
    return [row for row in rows if "unstable" not in row]


def in_words(rows: Sequence[dict[str, Any]], key: str, factor: float) -> str:
    """Median and range of one isotope."""
    values = [factor * row[key] for row in rows if row.get(key) is not None]
    of_all = spread_of(values)
    if of_all is None:
        return f"{values[0]:.3g} (one source)" if values else "-"
    return of_all.in_words()


def moves_table(found: dict[str, Any]) -> list[str]:
    """Which choice moves Tc by how much, where everything else is the same."""
    rows = []
    for key, title in CHOICES.items():
        moves = [one["moved_by"].get(key) for one in found["tc"]["spread"]]
        cells = ["-" if by is None else f"{by['typical']:.2g} (at most {by['largest']:.2g})" for by in moves]
        rows.append([title, *cells])
    return markdown(["moves Tc (Eliashberg) by, K", *(f"Pd{isotope}" for isotope in found["sscha"])], rows)


def sources_table(found: dict[str, Any]) -> list[str]:
    """Every Tc."""
    table: dict[tuple[str, ...], list[str]] = {}
    for row in found["tc"]["sources"]:
        cells = table.setdefault(tuple(str(row[key]) for key in CHOICES), [])
        cells.append("unstable" if "unstable" in row else f"{row['eliashberg']:.2f}")
    head = ["training", "matrices", "random numbers", "interpolation", *(f"Pd{k}, K" for k in found["sscha"])]
    return markdown(head, [[*choices, *cells] for choices, cells in table.items()])


def _rows(found: dict[str, Any], isotope: str = "H", kind: str = "sscha") -> list[dict[str, Any]]:
    """One q point of each kind: Gamma, L, X."""
    rows: dict[int, dict[str, Any]] = {}
    for row in found["sscha"][isotope]["frequencies"][kind]:
        rows.setdefault(sum(abs(x) > 0.1 for x in row["q"]), row)
    return [rows[k] for k in sorted(rows)][:3]


def _point(q: list[float]) -> str:
    return ("Gamma", "L", "X")[min(2, sum(abs(x) > 0.1 for x in q))]


def _rounded(row: dict[str, Any]) -> list[int]:
    return [round(nu) + 0 for nu in row["frequencies"]]


def figure(found: dict[str, Any], path: Path) -> None:
    """The double well, the modes, Tc."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels, (well, modes, tc) = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    colours = {"hint": "#1f5fa8", "ef": "#c44e22"}
    for row in found["models"].values():
        first = row["number"] == 1
        well.plot(
            row["well"]["amplitudes"], [1000 * e for e in row["well"]["energies"]],
            color=colours[row["kind"]], label=row["title"] if first else None, lw=1.5 if first else 0.7,
        )  # fmt: skip
    well.set_xlabel("displacement of H / $\\mathrm{\\AA}$")
    well.set_ylabel("energy / meV")
    well.set_ylim(top=150)
    well.legend(frameon=False, fontsize=8)
    columns = [("H", "harmonic"), ("H", "sscha"), ("D", "sscha"), ("T", "sscha")]
    for place, (isotope, kind) in enumerate(columns):
        for row in found["sscha"][isotope]["frequencies"][kind]:
            for nu in row["frequencies"]:
                modes.plot(
                    [place - 0.35, place + 0.35], [nu, nu], color="#c44e22" if nu < -1 else "#1f5fa8", lw=1
                )
    modes.set_xticks(range(4), ["PdH\nharmonic", "PdH", "PdD", "PdT"])
    modes.set_ylabel("modes / cm$^{-1}$")
    for place, one in enumerate(found["tc"]["spread"]):
        values = [row["eliashberg"] for row in rows_of(found, one)]
        tc.plot([place] * len(values), values, "o", color="#1f5fa8", ms=4, mfc="none")
        if values:
            tc.plot([place - 0.25, place + 0.25], [np.median(values)] * 2, color="#c44e22", lw=2)
    tc.set_xticks(range(len(found["sscha"])), [f"Pd{isotope}" for isotope in found["sscha"]])
    tc.set_xlim(-0.5, len(found["sscha"]) - 0.5)
    tc.set_ylim(bottom=0)
    tc.set_ylabel("Tc / K (Eliashberg), median")
    panels.savefig(path, dpi=150)
    plt.close(panels)
