"""What the verbs that go over molecules share: how they end, and which options count for going on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from hint_plugin.parallel import Batch

_NO_MATTER = (
    *("inputs", "data", "reactant", "product", "output", "model", "jobs", "parsl", "restart"),
    *("no_plots", "json_"),
)
"""Parameters of a command that results do not depend on, and files."""


def finish(batch: Batch, json_: bool) -> None:
    """Print JSON if asked for, `about` first, and the failures; exit with 3 if there are some."""
    import json

    if json_:
        typer.echo(json.dumps(batch.as_dict(), indent=2))
    for failure in batch.failures:
        typer.echo(f"failed: {failure['name']} ({failure['formula']}): {failure['error']}", err=True)
    if batch.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def options_of(context: typer.Context) -> dict[str, Any]:
    """Those that results depend on, as they are on the command line; files count by what is in them."""
    return {
        name.strip("_").replace("_", "-"): value
        for name, value in context.params.items()
        if name not in _NO_MATTER
    }
