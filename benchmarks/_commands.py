"""Commands as a user types them, and rows of a table made several at a time."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
#: Modules whose import takes most of the start of a command.
_SLOW_IMPORTS = ["torch", "mace.cli.run_train", "hint_plugin.mace", "hint_plugin.cli.app"]


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
    _must_be(allowed, done.returncode, command, done.stdout + done.stderr)
    return time.perf_counter() - start


def run_warm(command: str, folder: Path, log: str, allowed: tuple[int, ...] = (0,)) -> dict[str, float]:
    """As `run`, in a process of its own that is forked from one where MACE and HINT are already imported.

    Saves the ten CPU seconds that each start takes, where a hundred short commands are run. POSIX only.
    Instead of a command's name, MODULE:FUNCTION is a function without arguments that reads ``sys.argv``.

    Returns:
        ``seconds``, wall time; ``cpu_seconds``, of that process; ``megabytes``, the most memory that was
        resident.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_SLOW_IMPORTS)
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_entry_point, args=(shlex.split(command), folder, folder / log, send))
    start = time.perf_counter()
    process.start()
    send.close()
    process.join()
    seconds = time.perf_counter() - start
    _must_be(allowed, process.exitcode, command, (folder / log).read_text())
    cpu_seconds, megabytes = receive.recv()
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "megabytes": megabytes}


def _entry_point(words: list[str], folder: Path, log: Path, send: Any) -> None:
    """In the new process: the command's function with standard output and errors in ``log``."""
    with log.open("w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    os.chdir(folder)
    sys.argv = words
    if ":" in words[0]:
        command = EntryPoint("", words[0], "")
    else:
        (command,) = entry_points(group="console_scripts", name=words[0])
    try:
        sys.exit(command.load()())
    finally:
        send.send((time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def _must_be(allowed: tuple[int, ...], status: int | None, command: str, output: str) -> None:
    if status not in allowed:
        raise RuntimeError(f"{command}\nended with {status}:\n{output[-2000:]}")


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


def study_parser(description: str | None, output: str, sizes: Iterable[str]) -> argparse.ArgumentParser:
    """Options that all studies have: `output`, `size`, `jobs`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path(output))
    parser.add_argument("--size", choices=tuple(sizes), default="small")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    return parser
