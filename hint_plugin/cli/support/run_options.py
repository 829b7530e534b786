"""How verbs that go over many structures share them out and go on after a stop, asked for in one way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=1, help="Number of processes; several use one thread each.")
]
Parsl = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Run on the cluster of this Parsl file, not --jobs.")
]
Restart = Annotated[bool, typer.Option("--restart", help="Drop results of an interrupted run, and restart.")]
