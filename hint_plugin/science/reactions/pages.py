"""Reports that a person opens: a page for a reaction, a page for a set. One file each, nothing is fetched."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hint_plugin.data.drawing import harmless
from hint_plugin.data.file_io import replacing

KCAL = 23.060548
"""kcal/mol in one eV."""
STRUCTURES = ("reactant", "transition_state", "product")
PATHS = ("irc", "guess_path")
_STYLE = """body { font: 16px/1.45 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd }
th { text-align: left } td.n { text-align: right; font-variant-numeric: tabular-nums }
img { max-width: 100% } pre { background: #f5f5f5; padding: .6rem; overflow-x: auto }
.good { color: #1a7f37 } .bad { color: #b42318 }"""

Cell = str | float | None


def write_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """A page of parts that are HTML already; the title is text."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *(part for part in parts if part)])
    with replacing(path) as temporary:
        temporary.write_text(
            f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n',
            encoding="utf-8",
        )


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Numbers to the right; text that begins with "<" is HTML already, None an empty cell."""
    lines = ["<table><tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>"]
    lines += ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


def _cell(value: Cell) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, float):
        return f'<td class="n">{value:.2f}</td>'
    return f"<td>{value if value.startswith('<') else escape(value)}</td>"


def figure(path: Path, words: str) -> str:
    """A PNG inside the page; nothing where there is none."""
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<p><img alt="{escape(words)}" src="data:image/png;base64,{data}"></p>'


def link(target: str, words: str) -> str:
    """To a file beside the page."""
    return f'<a href="{escape(quote(target))}">{escape(words)}</a>'


def coloured(verdict: str) -> str:
    """A verdict, green where it is the good one."""
    return f'<span class="{"good" if verdict == "intended" else "bad"}">{escape(verdict)}</span>'


def write_reaction_page(folder: Path, result: Mapping[str, Any], title: str) -> None:
    """report.html from what is in reaction.json, and from the files that lie beside it."""
    with harmless(folder / "report.html"):
        write_page(folder / "report.html", title, _reaction_parts(folder, result))


def _reaction_parts(folder: Path, result: Mapping[str, Any]) -> list[str]:
    parts = [f"<p>Verdict: <b>{coloured(result['verdict'])}</b></p>"]
    if result["failure"]:
        parts.append(f"<p>Stopped at: {escape(result['stage'])} ({escape(result['failure'])})</p>")
    for name, kept in zip(("reactant", "product"), result["relaxed_ends_keep_bonds"], strict=True):
        if not kept:
            parts.append(f"<p>The {name} changed its bonds when it was optimised.</p>")
    return parts + [
        figure(folder / "profile.png", "energy along the reaction path"),
        _energies(result),
        _about(result),
        _guesses(result),
        "<h2>Structures</h2>",
        *(_structure(folder / f"{name}.xyz") for name in STRUCTURES),
        _paths(folder),
    ]


def _energies(result: Mapping[str, Any]) -> str:
    rows: list[list[Cell]] = []
    gibbs = f"Gibbs energy at {result['temperature']:g} K"
    for words, numbers in (("energy", result["barriers"]), (gibbs, result["gibbs"])):
        for name, value in numbers.items():
            rows.append([words, name, KCAL * value, value])
    return "<h2>Barriers</h2>" + table(("of", "", "kcal/mol", "eV"), rows) if rows else ""


def _guesses(result: Mapping[str, Any]) -> str:
    """Where several initial paths were tried."""
    tried = result.get("guesses", [])
    if len(tried) < 2:
        return ""
    rows: list[list[Cell]] = [
        [
            f"{number} {one['path']}",
            *(None if one[key] is None else KCAL * one[key] for key in ("top", "saddle")),
            str(one["evaluated"]),
            "" if one["steps"] is None else str(one["steps"]),
            one["failure"] or one["verdict"],
        ]
        for number, one in enumerate(tried, start=1)
    ]
    heads = ("initial path", "top, kcal/mol", "saddle, kcal/mol", "geometries", "steps to the saddle", "")
    return "<h2>Guesses</h2>" + table(heads, rows)


def _about(result: Mapping[str, Any]) -> str:
    levels = result["verdicts"]
    rows: list[list[Cell]] = [
        ["as ReactBench counts (bonds, raw ends of the path, inputs)", _told(levels["reactbench"])],
        ["strict (bonds, optimised ends, inputs that kept theirs)", _told(levels["strict"])],
        ["geometric (ends within 0.15 A and 0.02 eV)", _told(levels["geometric"])],
        ["imaginary modes of the transition state, cm^-1", _list(result.get("imaginary"), "{:.0f}")],
        ["ends of the path from the optimised inputs, A (RMSD)", _list(result.get("rmsd"), "{:.3f}")],
        ["transition state from the known one, A (RMSD)", result.get("rmsd_to_known_saddle")],
        ["method", result["method"]],
        ["time, s", result.get("seconds")],
    ]
    return "<h2>Checks</h2>" + table(("", ""), [row for row in rows if row[1] is not None])


def _told(level: object) -> str:
    if level is None:
        return "-"
    return str(level) if isinstance(level, str) else ("no", "yes")[bool(level)]


def _list(values: Sequence[float] | None, form: str) -> str | None:
    return ", ".join(form.format(value) for value in values) if values else None


def _structure(path: Path) -> str:
    if not path.is_file():
        return ""
    text = escape(path.read_text(encoding="utf-8"))
    return f"<details><summary>{link(path.name, path.name)}</summary><pre>{text}</pre></details>"


def _paths(folder: Path) -> str:
    names = [f"{name}.xyz" for name in PATHS if (folder / f"{name}.xyz").is_file()]
    return "<p>Paths: " + ", ".join(link(name, name) for name in names) + "</p>" if names else ""


def write_set_page(
    folder: Path, found: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]], title: str
) -> None:
    """index.html: the funnel, and a line for each reaction with the way to its page."""
    with harmless(folder / "index.html"):
        write_page(folder / "index.html", title, _set_parts(folder, found, results))


def _set_parts(folder: Path, found: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    funnel = [
        [
            row["stage"],
            f"{row['count']} of {row['total']}",
            100 * row["rate"],
            100 * row["low"],
            100 * row["high"],
        ]
        for row in found["funnel"]
    ]
    rows: list[list[Cell]] = []
    for name, result in results.items():
        barriers = result["barriers"]
        rows.append(
            [
                link(f"{name}/report.html" if (folder / name / "report.html").is_file() else name, name),
                coloured(result["verdict"]),
                "" if result["stage"] == "done" else f"{result['stage']}: {result['failure']}",
                *(KCAL * barriers[key] if barriers else None for key in ("forward", "reverse")),
                _list(result.get("imaginary"), "{:.0f}"),
                result.get("rmsd_to_known_saddle"),
                result.get("seconds"),
            ]
        )
    heads = ("reaction", "verdict", "stopped at", "forward", "reverse", "imaginary", "RMSD", "s")
    return [
        figure(folder / "funnel.png", "reactions that passed each stage"),
        table(("passed", "reactions", "%", "from", "to (95 %)"), funnel),
        f"<p>As ReactBench counts: {found['reactbench']}; by geometry and energy: {found['geometric']}.</p>",
        "<h2>Reactions</h2>",
        "<p>Barriers in kcal/mol, imaginary modes in cm^-1, RMSD from the known transition state in A.</p>",
        table(heads, rows),
    ]
