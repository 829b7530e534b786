"""Tables on the screen."""

from __future__ import annotations

from collections.abc import Sequence


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, title: str = "") -> None:
    """A table that fits a terminal of 80 characters; the first `left` columns are words."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k < left else "right", no_wrap=k >= left)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
