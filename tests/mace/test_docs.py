"""The pages on training say what the options are."""

import re
import shlex
from pathlib import Path

import pytest

from hint_plugin.mace.options import _ARGUMENTS, BASE_LOSSES, LOSSES, HintOptions

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("**/*.md"))]


def trainings():
    """(page, command line) of each whole `mace_run_train` in a block of code."""
    for page in PAGES:
        text = re.sub(r"\\\n\s*", " ", page.read_text())
        for line in re.findall(r"^ {4}(?:\$ )?(mace_run_train .*)$", text, re.M):
            if "\u2502" not in line:  # a drawing
                yield page.name, line


@pytest.mark.parametrize(("page", "line"), list(trainings()))
def test_command_lines_of_trainings_parse(page, line, monkeypatch):
    """By MACE's own parser, with what the hook adds to it."""
    from mace.tools import build_default_arg_parser

    line = re.sub(r"\$\(.*?\)", "printed", line)  # the output of another command is one word
    words = [word for word in shlex.split(line)[1:] if word != "..."]  # the reader's own options
    if "--name" not in words:
        words += ["--name", "any"]
    build_default_arg_parser().parse_args(words)


def test_the_trainings_are_found():
    assert {"README.md", "getting-started.md", "training-mace.md"} <= {page for page, _ in trainings()}


def test_every_option_is_documented_with_its_default():
    text = (DOCS / "training-mace.md").read_text()
    table = text.split("<!-- options:")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `--hint_(\w+)` \| ?`?([^`|]*?)`? ?\|", table, re.M))
    defaults = HintOptions()
    wanted = {n: getattr(defaults, n) for n in _ARGUMENTS}
    assert rows == {name: "" if value is None else str(value) for name, value in wanted.items()}


def test_choices_are_documented():
    text = (DOCS / "training-mace.md").read_text()
    for name, (keywords, _) in _ARGUMENTS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `--hint_{name}`"))
        for choice in keywords.get("choices", ()):
            if choice not in ("yes", "no"):
                assert f"`{choice}`" in row, (name, choice)
    assert all(f"`{loss}`" in text for loss in (*LOSSES, *BASE_LOSSES))


def test_messages_that_are_explained_exist():
    """Every message in the tables is a piece of HINT's source, MACE's or argparse's."""
    text = (DOCS / "troubleshooting.md").read_text()
    source = "\n".join(p.read_text() for p in (DOCS.parent / "hint_plugin").rglob("*.py"))
    for piece in (
        "this mace-torch is not one that HINT knows",
        "has no effect with --loss",
        "kernels have no third derivative on a GPU",
        "training structures looked at has a Hessian label",
        "malformed labels:",
        "the Hessian breaks the acoustic sum rule",
        "the Hessian is not symmetric",
        "no Hessian label in validation set",
        "differs from differences of its forces",
        "cannot be trained",
        "hint mace-train needs MACE",
        ": pip install",
    ):
        assert piece in text, piece
        assert piece in source, piece
