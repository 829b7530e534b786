"""Parsl's interchange, which lives exactly as long as the run that started it.

Left to itself it dies too early and too late. Ctrl-C in a terminal, `timeout`, and services that stop send
their signal to all processes of a run; without its interchange Parsl waits for ever for an answer and cannot
cancel its jobs. After a SIGKILL of the run, on the other hand, it would stay, and with it all workers: they
hear from it. So it is started through this module: it ends when the run says so or is gone, and then
workers that miss it end by themselves.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading
import time

_INTERCHANGE = "parsl.executors.high_throughput.interchange"
_LOOK_EVERY = 0.5  # s


def _end_with(parent: int) -> None:
    """Wait for a SIGTERM of the parent, or for its end."""
    while os.getppid() == parent:
        if not hasattr(signal, "sigtimedwait"):  # macOS: any SIGTERM ends it
            time.sleep(_LOOK_EVERY)
            continue
        came = signal.sigtimedwait({signal.SIGTERM}, _LOOK_EVERY)
        if came is not None and came.si_pid == parent:
            os._exit(0)
    os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigtimedwait"):  # block before there are threads: they inherit it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    runpy.run_module(_INTERCHANGE, run_name="__main__", alter_sys=True)
