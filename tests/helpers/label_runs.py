"""Runs of `hint label` as processes: started, watched, killed, and what is left of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import warm
from ase import Atoms
from ase.build import molecule

from hint_plugin.data import read_frames, write_frames

Process = warm.Started | subprocess.Popen[str]
NAMES = ["H2O", "CH4", "N2", "NH3", "OH"]


def make_input(path: Path, n: int = 5, bad: int | None = None, names: list[str] | None = None) -> list[Atoms]:
    """`n` numbered molecules; the SCF of frame `bad`, a torn one, does not converge."""
    frames = []
    for number in range(n):
        atoms = molecule((names or NAMES)[number % len(names or NAMES)])
        atoms.rattle(0.03, seed=number)
        atoms.info["number"] = number
        frames.append(atoms)
    if bad is not None:
        frames[bad].positions *= 20
    write_frames(path, frames)
    return frames


def numbers(path: Path) -> list[int]:
    return [atoms.info["number"] for atoms in read_frames(path)]


def start(folder: Path, *options: str, own: bool = False) -> Process:
    """`hint label in.xyz -o out.xyz`, in a session of its own."""
    return start_hint(folder, "label", "in.xyz", "-o", "out.xyz", *options, own=own)


def start_hint(folder: Path, *arguments: object, own: bool = False, **environment: str) -> Process:
    """`hint ARGUMENTS` in a session of its own: all that it starts stays in it.

    It is a fork of the warm server, and its workers are forks; or, if `own`, processes as a user starts them.
    """
    code = (
        # a shell's background job ignores SIGINT, and so would all its children
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from hint_plugin.cli.app import main; main(sys.argv[1:])"
    )
    line = [sys.executable, "-c", code, *arguments] if own else ["hint", *arguments]
    return warm.start(line, cwd=folder, env=os.environ | environment, own=own)


def kill(process: Process, journal: Path) -> None:
    """SIGKILL; returns when nobody holds the journal any more: workers that are forks do until they die."""
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    with open(journal, "rb") as handle:
        while time.monotonic() < deadline:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
    raise TimeoutError(f"{journal} is held by somebody")


def wait_for_results(journal: Path, at_least: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") > at_least:
            return
        time.sleep(0.01)
    raise TimeoutError(f"{journal} does not grow")


def of_run(run: int) -> list[int]:
    """Processes that belong to the run whose first process is, or was, `run`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                state = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[0]
                if os.getsid(int(name)) == run and state != "Z":
                    found.append(int(name))
    return found


def command(process: int) -> str:
    """What `ps` shows."""
    try:
        return Path("/proc", str(process), "cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def wait_until_gone(run: int, seconds: float) -> list[str]:
    """Command lines of what is left of a run after at most `seconds`; it is killed then."""
    deadline = time.monotonic() + seconds
    while (left := of_run(run)) and time.monotonic() < deadline:
        time.sleep(0.2)
    commands = [command(process) for process in left]
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return commands


def same_labels(one: Path, other: Path) -> None:
    """Assert that two outputs have the same frames, in the same order, with the same labels."""
    first, second = read_frames(one), read_frames(other)
    assert [atoms.info["number"] for atoms in first] == [atoms.info["number"] for atoms in second]
    for a, b in zip(first, second, strict=True):
        assert abs(a.info["REF_energy"] - b.info["REF_energy"]) < 1e-9
        np.testing.assert_allclose(a.arrays["REF_forces"], b.arrays["REF_forces"], atol=1e-8)
        np.testing.assert_allclose(a.info["REF_hessian"], b.info["REF_hessian"], atol=1e-6)
