"""The errors HINT raises on purpose: each says what was got, what was wanted, and what to do.

The command line prints the message of a `HintError` without a traceback; anything else is a bug and keeps its
traceback. A caller who wants to go on catches the named child.
"""

from __future__ import annotations


class HintError(Exception):
    """Base of every error that HINT raises on purpose."""


class DataError(HintError):
    """A file of frames cannot be read or written: missing, truncated, foreign, or of an unknown kind."""


class LabelError(HintError):
    """A label is malformed: wrong shape, NaN, asymmetric, wrong units, or probes without products."""


class UnknownVersionError(DataError):
    """A file was written by a newer HINT, in a format version that this one does not know."""


class EngineError(HintError):
    """An electronic-structure engine could not label a frame (SCF, unsupported element or cell).

    Args:
        message: what was got, what was wanted, what to do.
        kind: why, for counting: a name in `hint_plugin.parallel.failures.FAILURE_KINDS`.
    """

    def __init__(self, message: str = "", kind: str = "other") -> None:
        super().__init__(message)
        self.kind = kind


class OptionsError(HintError):
    """The options contradict each other, the files, or what an earlier, interrupted run used."""


class MissingDependencyError(HintError):
    """An optional package is needed and not installed; the message names the extra that brings it."""


class MemoryRanOutError(HintError):
    """A model needed more memory than there is; another machine, or smaller batches, may have enough."""


class LabelWarning(UserWarning):
    """A label is legal but unusual, for instance |H| above 1e4 eV/A^2."""


class SymmetryWarning(UserWarning):
    """The energy of a symmetric structure does not have its symmetry."""


class InterruptedRunError(HintError):
    """A run was stopped by the user; the message says how to go on from where it stopped."""
