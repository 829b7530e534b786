"""How the verbs that go over molecules end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from hint_plugin.parallel import Batch


def finish(batch: Batch, json_: bool) -> None:
    """Print JSON if asked for, `about` first, and the failures; exit with 3 if there are some."""
    import json

    if json_:
        typer.echo(json.dumps(batch.as_dict(), indent=2))
    for failure in batch.failures:
        typer.echo(f"failed: {failure['name']} ({failure['formula']}): {failure['error']}", err=True)
    if batch.failures:
        raise typer.Exit(EXIT_SOME_FAILED)
