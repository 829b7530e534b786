"""Small reactions, and the command line as a test calls it."""

from __future__ import annotations

import pytest
from ase import Atoms

from hint_plugin.cli.app import main

KCAL = 23.0605


def hcn() -> tuple[Atoms, Atoms]:
    """Hydrogen cyanide, and its isomer with the hydrogen on the other side."""
    return (
        Atoms("HCN", [(0, 0, -1.06), (0, 0, 0), (0, 0, 1.15)]),
        Atoms("HCN", [(0, 0.1, 2.15), (0, 0, 0), (0, 0, 1.17)]),
    )


def hint(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """`hint ARGUMENTS` in this process: its exit status, and all that it printed."""
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    printed = capfd.readouterr()
    return int(stop.value.code or 0), printed.out + printed.err
