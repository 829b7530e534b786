"""`hint inspect FILE`: what an artifact says about itself, without loading the model."""

from pathlib import Path
from typing import Annotated

import typer

from hint_plugin.cli.support.potential_options import a_model


def inspect(
    artifact: Annotated[
        Path, typer.Argument(callback=a_model, help="Of `hint export` or `hint model list`.")
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print the metadata as they are.")] = False,
) -> None:
    """Print what an artifact is and was made from; check that it is whole and that its code only computes.

    The model is not loaded, and nothing of the file is run.
    """
    from rich.console import Console
    from rich.table import Table

    from hint_plugin.artifact.scripted import read_checked

    metadata, _ = read_checked(artifact)
    if json_:
        typer.echo(metadata.to_json())
        return
    table = Table(title=str(artifact), show_header=False)
    for name, value in metadata.rows():
        table.add_row(name, value)
    checked = "only computes: checked" if not metadata.compiled else "machine code, which nobody can check"
    table.add_row("code", checked)
    Console().print(table)
