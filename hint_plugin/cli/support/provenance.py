"""Where the results of a run come from (`hint_plugin.data.provenance`), and which files a name stands for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hint_plugin.command_line import remember

__all__ = ["remember", "run_provenance", "say_what_is_read"]


def run_provenance(*inputs: Any, **about: Any) -> dict[str, Any]:
    """See `data.provenance.run_provenance`."""
    from hint_plugin.data import provenance

    return provenance.run_provenance(*inputs, **about)


SAID = 3


def say_what_is_read(paths: Iterable[Path], only_this_file: bool = False, quiet: bool = False) -> None:
    """Print which files a name stands for, where it stands for several; to stderr where `quiet`.

    A folder of results may have hundreds of such names: the first `SAID` of them show what is read.
    """
    import typer

    from hint_plugin.data.formats import read_in_words

    said = [text for path in paths if (text := read_in_words(path, only_this_file))]
    for text in said[:SAID]:
        typer.echo(text, err=quiet)
    if (more := len(said) - SAID) > 0:
        typer.echo(f"... and so on for {more} more", err=quiet)
