"""One thread for small molecules, whatever OpenMP would take by itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

try:
    _OPENMP: ctypes.CDLL | None = ctypes.CDLL("libgomp.so.1")  # the one that is loaded already, on Linux
except OSError:
    _OPENMP = None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenMP to one thread for the time of a call, unless OMP_NUM_THREADS says otherwise.

    OpenMP takes all cores by default. On molecules of ten atoms two threads are 25 times slower than one, and
    200 times on a busy machine. The number is put back after the call: the OpenMP library may be shared with
    torch.
    """
    if _OPENMP is None or "OMP_NUM_THREADS" in os.environ:
        yield
        return
    before = _OPENMP.omp_get_max_threads()
    _OPENMP.omp_set_num_threads(1)
    try:
        yield
    finally:
        _OPENMP.omp_set_num_threads(before)
