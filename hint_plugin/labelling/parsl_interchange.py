"""Parsl's interchange, which ends when the run that started it does.

Parsl stops its interchange when a run ends in good order. After a SIGKILL of the run it would stay for ever,
and with it all workers, because they hear from it. So it is started through this module: when the parent is
gone, it goes too, and workers that miss it end by themselves. Ctrl-C in a terminal reaches all processes
there; here it is ignored, because the run that catches it takes everything down in order.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading
import time

_INTERCHANGE = "parsl.executors.high_throughput.interchange"


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    runpy.run_module(_INTERCHANGE, run_name="__main__", alter_sys=True)
