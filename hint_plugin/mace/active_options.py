"""What the wrapped functions of MACE share within a process: is HINT in use, and with which options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hint_plugin.data.labels.contents import SetContents
from hint_plugin.data.labels.extxyz import Told

if TYPE_CHECKING:
    from hint_plugin.mace.options import HintOptions


@dataclass
class Session:
    """State of the adapter.

    Attributes:
        options: the HINT options of the run; None while HINT is not in use, and then nothing is changed.
        labels: read Hessian labels while frames are loaded (a training or ``mace_prepare_data
            --hint_labels``).
        kernels: use HINT's kernels although the loss is MACE's own (``--hint_kernels fast``).
        wrapped: the modules of MACE that have been wrapped.
        methods: those of the labels that were read (`hint_method`), for the record of the training.
        contents: levels and charges of the frames that were read.
        told: warnings of labels that were given.
        problems: why a module of MACE could not be wrapped; not empty means an unknown version of MACE.
    """

    options: HintOptions | None = None
    labels: bool = False
    kernels: bool = False
    wrapped: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    methods: set[str] = field(default_factory=set)
    contents: SetContents = field(default_factory=SetContents)
    told: Told = field(default_factory=Told)

    def start(self, options: HintOptions | None, *, labels: bool, kernels: bool = False) -> None:
        """Take the options of a command line that was just parsed; None switches HINT off."""
        self.options = options
        self.labels = labels
        self.kernels = kernels
        self.methods = set()
        self.contents, self.told = SetContents(), Told()

    @contextmanager
    def lent(self, options: HintOptions) -> Iterator[None]:
        """Within the block frames are read with these options, in a process that has parsed none too."""
        before = self.options, self.labels
        self.options, self.labels = options, True
        try:
            yield
        finally:
            self.options, self.labels = before

    def unknown_version(self) -> str:
        """One sentence for a user who asks for HINT with a MACE that it does not know."""
        return (
            f"this mace-torch is not one that HINT knows ({'; '.join(self.problems)}), so none of "
            "HINT's losses and options can be used with it; `hint doctor` says which versions work"
        )


session = Session()
