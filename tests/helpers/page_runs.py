"""The commands of a page, in their order, as a reader types them: less of each, and in this process.

A page shows a command as an indented line that begins with ``$``. `hint` and `mace_run_train` run in the
process of the tests, which saves their imports; everything else goes to bash. What a test does less of is in
a table of replacements, so that a line of the page that no longer exists is noticed.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mace_runs import run_in_process

ROOT = Path(__file__).parents[2]
HERE = ("configs", "examples", "tests")
"""Folders of the clone, which pages call ../NAME: their commands run in a folder of the clone."""


def commands(page: Path) -> list[str]:
    """The lines that begin with $, joined where they go on."""
    return re.findall(r"^ {4}\$ (.*)$", re.sub(r"\\\n\s*", " ", page.read_text()), re.M)


def shortened(line: str, shorter: Mapping[str, str]) -> str:
    """The line as a test runs it: on the files of this clone, and with less work."""
    for old, new in shorter.items():
        line = line.replace(old, new)
    return re.sub(rf"\.\./({'|'.join(HERE)})/", rf"{ROOT}/\1/", line)


def run_page(page: Path, folder: Path, shorter: Mapping[str, str], accepted: Mapping[str, int]) -> None:
    """Runs the commands of a page in a folder.

    Args:
        page: with the commands.
        folder: empty.
        shorter: {part of a line: what the test runs instead}. Each must be on the page.
        accepted: {part of a line: an exit status besides 0 that is right there}, such as 3 of a model that
            has hardly been trained.
    """
    lines = commands(page)
    unknown = [part for part in (*shorter, *accepted) if not any(part in line for line in lines)]
    assert not unknown, f"{page.name} no longer has {unknown}"
    before = Path.cwd()
    os.chdir(folder)
    try:
        for line in lines:
            allowed = {0, *(status for part, status in accepted.items() if part in line)}
            status, printed = _run(shortened(line, shorter))
            assert status in allowed, f"{line}\nexit status {status}\n{printed}"
    finally:
        os.chdir(before)


def _run(line: str) -> tuple[int, str]:
    from hint_plugin.cli.app import main

    words = shlex.split(_substituted(line))
    if any(sign in line for sign in ("|", ">", ";", "&")) or words[0] not in ("hint", "mace_run_train"):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["bash", "-c", line], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout[-3000:]
    words = [name for word in words for name in (_expanded(word) if "*" in word else [word])]
    if words[0] == "mace_run_train":
        return _train(words), "see the log of MACE"
    with pytest.raises(SystemExit) as stop:
        main(words[1:])
    return int(stop.value.code or 0), "see what was printed"


def _expanded(word: str) -> list[str]:
    return sorted(glob.glob(word)) or [word]


def _substituted(line: str) -> str:
    """With `$(hint model path ...)` replaced by the path."""
    return re.sub(
        r"\$\((hint model path [^)]*)\)",
        lambda found: subprocess.run(
            [sys.executable, "-m", "hint_plugin.cli.app", *found[1].split()[1:]],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip(),
        line,
    )


def _train(words: list[str]) -> int:
    from hint_plugin.mace import hook

    hook.install()
    main: Any
    from mace.cli.run_train import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mace.cli.run_train.jit", None)  # saves the TorchScript copy, a third of the time
        run_in_process(main, Path.cwd(), words)
    return 0
