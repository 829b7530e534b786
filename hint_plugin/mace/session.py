"""What the wrapped functions of MACE share within a process: is HINT in use, and with which options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from hint_plugin.mace.options import HintOptions


@dataclass
class Session:
    """State of the adapter.

    Attributes:
        options: the HINT options of the run; None while HINT is not in use, and then nothing is changed.
        labels: read Hessian labels while frames are loaded (a training or ``mace_prepare_data --hint_labels``).
        problems: why a module of MACE could not be wrapped; not empty means an unknown version of MACE.
    """

    options: Optional[HintOptions] = None
    labels: bool = False
    problems: list[str] = field(default_factory=list)

    def start(self, options: Optional[HintOptions], *, labels: bool) -> None:
        """Take the options of a command line that was just parsed; None switches HINT off."""
        self.options = options
        self.labels = labels


session = Session()
