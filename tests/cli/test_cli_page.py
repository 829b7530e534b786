"""docs/reference/cli.md says what the code does: verbs, exit codes, options of each verb."""

import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from hint_plugin.cli import app

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "cli.md").read_text()


def rows(heading):
    """{first cell: last cell} of the table below a heading."""
    table = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("|--")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[-1] for row in cells}


VERBS = rows("Verbs")


def test_every_verb_is_there_and_no_other():
    assert set(VERBS) == set(app.VERBS)


def test_exit_codes_are_those_of_the_code():
    wanted = {0, app.EXIT_PROBLEMS, app.EXIT_ERROR, app.EXIT_SOME_FAILED, app.EXIT_INTERRUPTED}
    assert {int(code) for code in rows("Exit codes")} == wanted
    codes = {int(code) for line in VERBS.values() for code in re.findall(r"\d+", line)}
    assert codes <= wanted


@pytest.mark.parametrize("name", [name for name, verb in app.VERBS.items() if not verb.passthrough])
def test_exit_codes_of_a_verb(name):
    verb = app.VERBS[name]
    source = inspect.getsource(importlib.import_module(verb.target.partition(":")[0]))
    found = {int(code) for code in re.findall(r"\d+", VERBS[name])}
    by_batch = "support.batch import finish" in source and "    finish(" in source
    assert (app.EXIT_SOME_FAILED in found) == ("EXIT_SOME_FAILED" in source or by_batch)
    assert (app.EXIT_PROBLEMS in found) == ("EXIT_PROBLEMS" in source)
    told = re.search(r"Exit status: (.*)", app._real_command(name).help)
    if told:
        numbers = {int(code) for code in re.findall(r"(?:^|, )(\d+) ", told[1])}
        assert numbers and numbers <= found


def test_options_of_each_verb_are_generated():
    specification = importlib.util.spec_from_file_location("cli_hook", DOCS / "cli_hook.py")
    hook = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hook)
    text = hook.on_page_markdown(PAGE)
    assert "<!-- cli -->" in PAGE and "<!-- cli -->" not in text
    for heading in ("### hint label\n", "### hint sample wld\n", "### hint tc\n"):
        assert heading in text
    assert "| `--mu-star` |" in text and "\\[" not in text
    assert hook.on_page_markdown("nothing") == "nothing"
