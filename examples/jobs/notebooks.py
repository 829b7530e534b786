"""The notebooks of the pages in docs/jobs, made of the pages themselves, so that there is one source.

    python examples/jobs/notebooks.py      writes examples/jobs/NAME.ipynb for each page of PAGES

A block of commands (lines that begin with $) becomes a cell that bash runs; what the page shows of its output
is left out, since the notebook prints its own. A figure below `<!-- figure: FILE -->` becomes a cell that
shows the file of the reader's own run. Everything else is text.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "jobs"
PAGES = ("vibrations", "phonons", "reactions")
START = """\
import os
import sys
from pathlib import Path

from IPython.display import Image

folder = Path("../../{folder}")  # in the clone of the repository
folder.mkdir(exist_ok=True)
os.chdir(folder)
os.environ["PATH"] = f"{{Path(sys.executable).parent}}{{os.pathsep}}{{os.environ['PATH']}}"\
"""
_BLOCK = re.compile(r"(?:^ {4}.*\n(?:\n(?= {4}))?)+", re.M)
_FIGURE = re.compile(r"^<!-- figure: (\S+) -->\n!\[[^\]]*\]\([^)]*\)\n", re.M)
_MADE = re.compile(r"^ {4}mkdir (\S+) && cd \1$", re.M)


def notebook(text: str) -> dict[str, Any]:
    """A page as a notebook of format 4.5.

    Args:
        text: of the page, in Markdown.
    """
    cells: list[dict[str, Any]] = []
    at = 0
    places = [*_BLOCK.finditer(text), *_FIGURE.finditer(text)]
    for found in sorted(places, key=lambda one: one.start()):
        code = _code(found)
        if code is None:  # shown, and not run
            continue
        _add(cells, "markdown", _linked(text[at : found.start()]))
        _add(cells, "code", code)
        at = found.end()
    _add(cells, "markdown", _linked(text[at:]))
    about = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": about, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _code(found: re.Match[str]) -> str | None:
    if found.re is _FIGURE:
        return f'Image("{found[1]}")'
    if made := _MADE.search(found[0]):
        return START.format(folder=made[1])
    lines = re.findall(r"^ {4}\$ ((?:.*\\\n)*.*)$", found[0], re.M)
    if not lines:
        return None
    return "%%bash -e\n" + "\n".join(re.sub(r"^ {4}", "", line, flags=re.M) for line in lines)


def _linked(text: str) -> str:
    """Links of the page as seen from the folder of the notebooks."""
    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", r"](../../docs/jobs/\1)", text)


def _add(cells: list[dict[str, Any]], kind: str, text: str) -> None:
    if not text.strip():
        return
    lines = text.strip("\n").splitlines(keepends=True)
    cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}, "source": lines}
    cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))


def written(text: str) -> str:
    """The file of a notebook, the same at every call."""
    return json.dumps(notebook(text), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of them."""
    for name in PAGES:
        path = HERE / f"{name}.ipynb"
        path.write_text(written((DOCS / f"{name}.md").read_text()))
        print(f"written to {path}")


if __name__ == "__main__":
    main()
