"""The command of this process, for the provenance of what it writes; nothing where Python calls HINT."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

_arguments: list[str] | None = None


def remember(arguments: Sequence[str] | None) -> None:
    """Told by `hint_plugin.cli.app.main` what follows `hint` on the command line; None at its end."""
    global _arguments
    _arguments = None if arguments is None else list(arguments)


def command() -> str | None:
    """The command as a shell takes it; None where there is none."""
    return None if _arguments is None else shlex.join(["hint", *_arguments])
