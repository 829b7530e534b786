"""Write docs/gallery.md: every figure of the pages, with its page and the command that made it.

    python tests/tools/gallery.py           (says whether the page is up to date)
    python tests/tools/gallery.py --write   (writes it)

`docs/gallery.json` has the command of each figure in `docs/img`. The page and the words below a figure are
those of the page that shows it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = "gallery.md"
BY_HAND = "drawn by hand"
HEAD = """\
# Gallery

This page shows all figures, each with the page that explains it and the command that made it.
`python tests/tools/gallery.py --write` writes it from the other pages and from `docs/gallery.json`.
[Reproducibility](reproducibility.md) says what each command needs.
"""
_SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Figure:
    """A file of `docs/img`, with the page that shows it, the words of that page and the command."""

    name: str
    page: Path
    words: str
    command: str


def shown(root: Path) -> dict[str, tuple[Path, str]]:
    """Page and words of each figure of `docs/img`. A page of `docs` goes before the README."""
    folder = (root / "docs" / "img").resolve()
    found: dict[str, tuple[Path, str]] = {}
    for path in [*sorted((root / "docs").rglob("*.md")), root / "README.md"]:
        if path.name == PAGE:
            continue
        for words, target in _SHOWN.findall(path.read_text()):
            image = (path.parent / target).resolve()
            if image.parent == folder:
                found.setdefault(image.name, (path, words))
    return found


def figures(root: Path = ROOT) -> list[Figure]:
    """All figures, sorted by page.

    Raises:
        SystemExit: A figure has no page or no command, or a command has no figure.
    """
    commands = json.loads((root / "docs" / "gallery.json").read_text())
    files = {path.name for path in (root / "docs" / "img").iterdir()}
    pages = shown(root)
    for missing, wanted in (
        (files - set(commands), "has no command in docs/gallery.json"),
        (files - set(pages), "is on no page: show it, or remove the file"),
        (set(commands) - files, "is in docs/gallery.json, and there is no such file in docs/img"),
    ):
        if missing:
            raise SystemExit(f"gallery: {', '.join(sorted(missing))} {wanted}")
    found = [Figure(name, *pages[name], commands[name]) for name in files]
    return sorted(found, key=lambda one: (one.page, one.name))


def title(path: Path) -> str:
    """The heading of a page."""
    found = re.search(r"^# (.+)$", path.read_text(), re.M)
    return found[1] if found else path.stem


def text(root: Path = ROOT) -> str:
    """The whole page."""
    docs, parts, last = root / "docs", [HEAD], None
    for one in figures(root):
        if one.page != last:
            parts.append(f"## {title(one.page)}\n")
            last = one.page
        made = "It was drawn by hand." if one.command == BY_HAND else f"It was made by:\n\n    {one.command}"
        inside = one.page.is_relative_to(docs)
        page = os.path.relpath(one.page, docs) if inside else ""
        where = f"[{title(one.page)}]({page})" if inside else "the README"
        parts.append(f"![{one.words}](img/{one.name})\n\nThe figure belongs to {where}. {made}\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """0 if the page is up to date or was written, 1 if it is not up to date."""
    path = ROOT / "docs" / PAGE
    if "--write" in arguments:
        path.write_text(text())
        return 0
    if not path.is_file() or path.read_text() != text():
        print("docs/gallery.md is not up to date: run python tests/tools/gallery.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
