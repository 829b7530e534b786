"""`hint inspect FILE`: what an artifact says about itself, without loading the model."""

from pathlib import Path
from typing import Annotated

import typer

from hint_plugin.cli.potential_options import a_model


def inspect(
    artifact: Annotated[
        Path, typer.Argument(callback=a_model, help="Of `hint export` or `hint model list`.")
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print the metadata as they are.")] = False,
) -> None:
    """Print what an artifact is, what it was made from, and whether the file is whole."""
    from rich.console import Console
    from rich.table import Table

    from hint_plugin.export.metadata import check_content, read_metadata

    metadata = read_metadata(artifact)
    check_content(artifact, metadata)
    if json_:
        typer.echo(metadata.to_json())
        return
    table = Table(title=str(artifact), show_header=False)
    for name, value in metadata.rows():
        table.add_row(name, value)
    Console().print(table)
