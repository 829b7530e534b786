"""Callbacks of options for outputs; `hint_plugin.data.outputs`, which does it, is loaded by the first."""

from __future__ import annotations

from pathlib import Path


def can_be_written(output: Path | None) -> Path | None:
    """See `data.outputs.can_be_written`."""
    from hint_plugin.data import outputs

    return outputs.can_be_written(output)


def a_folder(output: Path | None) -> Path | None:
    """See `data.outputs.a_folder`."""
    from hint_plugin.data import outputs

    return outputs.a_folder(output)


def a_file(output: Path | None) -> Path | None:
    """See `data.outputs.a_file`."""
    from hint_plugin.data import outputs

    return outputs.a_file(output)
