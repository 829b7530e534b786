"""Commands as a user types them, and rows of a table made several at a time."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent


def run(command: str, folder: Path, log: str | None = None, allowed: tuple[int, ...] = (0,)) -> float:
    """One command as a user types it; wall time in seconds. Another exit status ends the benchmark."""
    words = shlex.split(command)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    done = subprocess.run(
        [str(BIN / words[0]), *words[1:]], cwd=folder, env=environment, capture_output=True, text=True
    )
    if log:
        (folder / log).write_text(done.stdout + done.stderr)
    if done.returncode not in allowed:
        raise RuntimeError(f"{command}\nended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return time.perf_counter() - start


def together(work: Callable[..., Any], todo: Sequence[tuple], jobs: int) -> Iterator[Any]:
    """`work(*arguments)` of each, in their order; after an error no other begins."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(work, *arguments) for arguments in todo]
        try:
            for future in waiting:
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
