"""The C library's memory, told to stay with the process."""

from __future__ import annotations

import ctypes
import os
import platform

#: Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE = 2**30


def keep_freed_memory() -> bool:
    """Let freed memory below 1 GiB be used again, rather than be given back and asked for anew.

    By default glibc gets every block above 128 KiB to 32 MiB from the kernel and returns it when it is freed;
    each tensor of that size then costs a page fault for each 4 KiB. Without them a step of training on a CPU
    takes about a fifth less time for batches of a hundred atoms, nothing less for a small model and ten atoms
    (`benchmarks/memory.py`). The peak of the memory in use does not change; the process keeps it until it
    ends.

    Returns:
        whether it was done: not without glibc, and not where the user has set MALLOC_MMAP_THRESHOLD_,
        MALLOC_TRIM_THRESHOLD_ or GLIBC_TUNABLES.
    """
    settings = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in settings):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE) and mallopt(_M_TRIM_THRESHOLD, -1))
