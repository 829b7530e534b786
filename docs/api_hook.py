"""MkDocs hook: turns `<!-- api: package -->` into one mkdocstrings entry for each public module there is.

Reads the tree without importing it, so a page can name packages that are still to come.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- api: ([\w.]+) -->")


def modules(package: str) -> list[str]:
    """Dotted names of the package and of its public modules, sorted; empty if it does not exist."""
    folder = ROOT.joinpath(*package.split("."))
    if folder.with_suffix(".py").is_file():
        return [package]
    if not (folder / "__init__.py").is_file():
        return []
    names = [package]
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not any(part.startswith("_") for part in parts):
            names.append(".".join(parts))
    return names


def _entries(match: re.Match[str]) -> str:
    names = modules(match[1])
    return "\n\n".join([f"## {match[1]}"] * bool(names) + [f"::: {name}" for name in names])


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by MkDocs for each page."""
    return MARK.sub(_entries, markdown)
