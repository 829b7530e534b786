"""MkDocs hook: one page of API for each package of HINT, made from docstrings, and a table of these pages.

A page holds one mkdocstrings entry for each public module. The hook reads the tree without importing it.
`<!-- api-pages -->` becomes the table, and the entry `API` of the navigation becomes the list of the pages.
"""

import ast
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
INDEX = "reference/api.md"
MARK = "<!-- api-pages -->"
HIDDEN = {"hint_plugin.cli", "hint_plugin.old_paths"}
"""Not for programs of others to import: the commands, and the old names of modules."""


def is_package(name: str) -> bool:
    """Whether a dotted name is a folder with an `__init__.py`."""
    return (ROOT.joinpath(*name.split(".")) / "__init__.py").is_file()


def _members(name: str) -> list[str]:
    found = []
    for path in sorted(ROOT.joinpath(*name.split(".")).iterdir()):
        if not path.name.startswith("_") and (path.suffix == ".py" or (path / "__init__.py").is_file()):
            found.append(f"{name}.{path.stem}")
    return [member for member in found if member not in HIDDEN]


def _all_modules(name: str) -> list[str]:
    if not is_package(name):
        return [name]
    return [name, *(module for member in _members(name) for module in _all_modules(member))]


def pages(root: str = "hint_plugin") -> dict[str, list[str]]:
    """The package of each page, and its public modules. A package that holds packages has a page for each."""
    found: dict[str, list[str]] = {root: [root, *(one for one in _members(root) if not is_package(one))]}
    for package in filter(is_package, _members(root)):
        inner = [one for one in _members(package) if is_package(one)]
        if len(inner) < 2:
            found[package] = _all_modules(package)
            continue
        found[package] = [package, *(one for one in _members(package) if not is_package(one))]
        found.update({one: _all_modules(one) for one in inner})
    return found


def summary(name: str) -> str:
    """The first sentence of the docstring of a package or a module."""
    path = ROOT.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    words = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0]
    return " ".join(words.split()).split(". ")[0].rstrip(".")


def _short(name: str) -> str:
    return name.removeprefix("hint_plugin.")


def _source(name: str) -> str:
    return f"reference/api/{_short(name)}.md"


def page(name: str, modules: list[str]) -> str:
    """Markdown of one page."""
    return "\n\n".join([f"# {_short(name)}", *(f"::: {module}" for module in modules)]) + "\n"


def table() -> str:
    """Markdown of the table of all pages."""
    rows = [f"| [`{name}`](api/{_short(name)}.md) | {summary(name)} |" for name in pages()]
    return "\n".join(["| package | what it does |", "|---|---|", *rows])


def on_config(config: Any, **_: object) -> Any:
    """Called by MkDocs once: the navigation gets the pages."""
    listed = [{_short(name): _source(name)} for name in pages()]
    (reference,) = (one["Reference"] for one in config.nav if "Reference" in one)
    reference[reference.index({"API": INDEX})] = {"API": [{"Overview": INDEX}, *listed]}
    return config


def on_files(files: Files, config: Any, **_: object) -> Files:
    """Called by MkDocs once: the pages are added to those of the folder."""
    for name, modules in pages().items():
        files.append(File.generated(config, _source(name), content=page(name, modules)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by MkDocs for each page."""
    return markdown.replace(MARK, table()) if MARK in markdown else markdown
