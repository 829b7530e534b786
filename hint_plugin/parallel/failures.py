"""Why frames fail: a few kinds, so that a run of many frames can say what to do about which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hint_plugin.parallel.pool import Failure

FAILURE_KINDS = {
    "scf": "SCF not converged",
    "geometry": "atoms too close, none, or not finite",
    "element": "unsupported element",
    "cell": "unsupported periodicity or cell",
    "electrons": "impossible, contradicting or unknown charge or multiplicity",
    "physics": "the Hessian breaks a law of physics",
    "selection": "no such atoms for Hessian rows",
    "program": "the program failed",
    "worker": "the worker process died",
    "unexpected": "unexpected error",
    "other": "other",
}
"""Kind (in JSON) -> words (on the terminal)."""


@dataclass(frozen=True)
class FrameFailure(Failure):
    """A frame that its engine refused, and the kind of reason."""

    kind: str = "other"


def failure_kind(failure: Failure) -> str:
    """A key of `FAILURE_KINDS`; failures of the pool itself are told by how their message begins."""
    if isinstance(failure, FrameFailure):
        return failure.kind
    return "unexpected" if failure.message.startswith("unexpected") else "worker"


def count_kinds(failures: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """{kind: number of frames}, the most frequent first, of records with a `kind`."""
    return dict(Counter(failure["kind"] for failure in failures).most_common())
