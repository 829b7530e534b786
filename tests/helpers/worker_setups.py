"""What the workers of the runner's tests do: worker processes must be able to import it."""

from __future__ import annotations

import os
import signal

from hint_plugin.errors import EngineError


def setup_fragile():
    def work(payload):
        if payload == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if payload == "exit":
            os.write(2, b"last words")
            os._exit(7)
        if payload == "raise":
            raise ZeroDivisionError("oops")
        print("noise that nobody sees")
        return payload, os.environ["OMP_NUM_THREADS"]

    return work


def setup_dead():
    os._exit(9)


def setup_broken():
    raise EngineError("no licence")
