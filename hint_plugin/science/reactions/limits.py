"""An end for what may take too long, and what breaks in the libraries of others."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

BROKEN_NUMBERS = (ArithmeticError, ValueError, RuntimeError)
"""What they raise then: LinAlgError is a ValueError, ASE's CalculatorError a RuntimeError."""


class TimeUp(BaseException):
    """The time is over. No `Exception`, so that nothing on the way up takes it for a failed attempt."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeUp inside after so many seconds; a call into a library is waited for.

    Does nothing for 0, and outside the main thread, which alone gets signals.
    """
    if seconds <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TimeUp(f"not finished after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    left, every = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left, every)
