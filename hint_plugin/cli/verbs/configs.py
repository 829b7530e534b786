"""`hint configs list|copy`: configurations and examples that come with HINT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hint_plugin import shipped

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Copy the configurations, batch files and examples that come with HINT.",
)


@app.command("list")
def list_configs(
    json_: Annotated[bool, typer.Option("--json", help="Print the files by name as JSON.")] = False,
) -> None:
    """List what comes with HINT: configurations, batch files, examples and tested versions."""
    from hint_plugin import shipped
    from hint_plugin.cli.support.tables import show

    found = shipped.listing()
    if json_:
        typer.echo(json.dumps(found, indent=2))
        return
    show(("name", "files"), [(name, " ".join(files)) for name, files in found.items()], left=2)


@app.command("copy")
def copy(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name from `hint configs list`, or a file: slurm/label.sh.")
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Folder for the copies; by default, one of the same name."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the copied files as JSON.")] = False,
) -> None:
    """Copy a folder or a file. Without --force, no file of yours is overwritten."""
    from hint_plugin import shipped

    found = shipped.copy(name, folder, force=force)
    typer.echo(json.dumps(found.as_dict(), indent=2) if json_ else as_text(found))


def as_text(found: shipped.Copied) -> str:
    """What was copied, for people."""
    said = [
        f"{len(found.written)} of {len(found.written) + len(found.unchanged)} files copied to {found.folder}"
    ]
    said += [f"  {one}" for one in found.written]
    if found.unchanged:
        said.append(f"already there: {' '.join(found.unchanged)}")
    return "\n".join(said)
