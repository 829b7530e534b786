"""The allocator's setting: it is taken, the user's own comes first, and memory is used again."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

#: Page faults of fifty times two 40 MB blocks that are written and freed in turn.
FAULTS = """
import ctypes, resource
from hint_plugin.allocator import keep_freed_memory
print(keep_freed_memory() if {keep} else None)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    blocks = [libc.malloc(40_000_000) for _ in range(2)]
    for block in blocks:
        ctypes.memset(block, 1, 40_000_000)
    for block in blocks:
        libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(keep: bool, **environment: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(keep=keep)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    answer, faults = done.stdout.split()
    return answer, int(faults)


def test_freed_memory_is_used_again():
    by_default, kept = run(False), run(True)
    assert kept[0] == "True"
    assert kept[1] < 0.1 * by_default[1]


def test_what_the_user_has_set_stays():
    assert run(True, MALLOC_TRIM_THRESHOLD_="100000")[0] == "False"
