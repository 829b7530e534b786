"""CPU time, which other work on the machine and pauses do not spoil: as a measure, and as a limit."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hint_plugin.science.reactions.limits import TimeUp


def cpu_seconds() -> float:
    """Of this process and of all that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def at_most_cpu(seconds: float) -> Iterator[None]:
    """Raise TimeUp inside after so many CPU seconds of this process; in its main thread only."""

    def stop(number: int, frame: object) -> None:
        raise TimeUp(f"not finished after {seconds:g} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
