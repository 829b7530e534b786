"""A script of examples/ as a user runs it."""

from __future__ import annotations

from pathlib import Path

import warm

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_example(script: str, *options: str | Path) -> str:
    """What it prints; it must end well."""
    done = warm.run([warm.bin_folder() / "python", EXAMPLES / script, *options])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
