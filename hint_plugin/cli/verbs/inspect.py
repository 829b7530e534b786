"""`hint inspect FILE`: what an artifact says about itself, and whether it passes all checks."""

from pathlib import Path
from typing import Annotated

import typer

from hint_plugin.cli.support.potential_options import a_model


def inspect(
    artifact: Annotated[
        Path, typer.Argument(callback=a_model, help="File of `hint export`, or name from `hint model list`.")
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print the metadata as JSON.")] = False,
) -> None:
    """Print what an artifact is and what it was made from, and check it.

    HINT makes the same checks whenever it opens an artifact. It compares the hash of the file, it makes sure
    before loading that code and pickles only compute, and it compares the model with the metadata. Machine
    code (.hint.pt2) is not loaded.
    """
    from rich.console import Console
    from rich.table import Table

    from hint_plugin.artifact.metadata import read_metadata
    from hint_plugin.artifact.scripted import load_artifact, read_checked

    compiled = read_metadata(artifact).compiled
    metadata = read_checked(artifact)[0] if compiled else load_artifact(artifact)[1]
    if json_:
        typer.echo(metadata.to_json())
        return
    table = Table(title=str(artifact), show_header=False)
    for name, value in metadata.rows():
        table.add_row(name, value)
    checked = (
        "checked: it only computes" if not metadata.compiled else "machine code, which cannot be checked"
    )
    table.add_row("code", checked)
    Console().print(table)
