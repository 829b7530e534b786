"""CPU time, which other work on the machine does not spoil."""

from __future__ import annotations

import resource


def cpu_seconds() -> float:
    """Of this process and of all that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
