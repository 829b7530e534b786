"""A program beside us that does jobs and asks for energies, forces and Hessians on the way.

The other side, and the lines that go to and fro, are in `hint_plugin/science/reactions/programs`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.errors import EngineError
from hint_plugin.science.reactions.image_evaluation import evaluate_together

LOG = "output.txt"
"""What the program prints, in its folder."""
SILENCE = 300.0
"""s without a question or an answer, after which the program is given up."""


class Program:
    """A running program; leave the `with` block and it is gone, with its files and whatever it has started.

    Args:
        script: of Python.
        silence: s it may say nothing.
    """

    def __init__(self, script: Path, silence: float = SILENCE) -> None:
        self._silence, self._unread = silence, b""
        self._folder: str | None = None
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Program:
        """Wait until it is ready. Raises EngineError where it dies before."""
        try:
            self._folder = str(self._hear()["folder"])
            self._hear()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def do(self, job: str, atoms: Atoms, **arguments: Any) -> dict[str, Any]:
        """Have a job done.

        Args:
            job: its name.
            atoms: of the structures it asks about, with a calculator that has `get_hessian`; they are moved.
            arguments: of the job, JSON.

        Raises:
            EngineError: the job failed, or the program died or fell silent.
            Whatever the calculator raises.
        """
        self._say({"job": job, "symbols": atoms.get_chemical_symbols(), **arguments})
        while True:
            told = self._hear()
            if "failed" in told:
                raise EngineError(f"pysisyphus: {told['failed']}", "program")
            if "done" in told:
                done: dict[str, Any] = told["done"]
                return done
            self._say(_answer(atoms, told))

    def _say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        handle, until = self._process.stdout.fileno(), time.monotonic() + self._silence
        while b"\n" not in self._unread:
            if not select.select([handle], [], [], max(0.0, until - time.monotonic()))[0]:
                raise EngineError(f"pysisyphus has said nothing for {self._silence:g} s", "program")
            read = os.read(handle, 1 << 20)
            if not read:
                raise self._death()
            self._unread += read
        line, self._unread = self._unread.split(b"\n", 1)
        found: dict[str, Any] = json.loads(line)
        return found

    def _death(self) -> EngineError:
        assert self._process.stderr is not None
        code, words = self._process.wait(), self._process.stderr.read()
        log = Path(self._folder or "") / LOG
        if log.is_file():
            words += log.read_bytes()
        last = words[-400:].decode(errors="replace").strip()
        return EngineError(f"pysisyphus has died (exit code {code}): {last}", "program")


def _answer(atoms: Atoms, asked: dict[str, Any]) -> dict[str, Any]:
    if "several" in asked:
        frames = [atoms.copy() for _ in asked["several"]]
        for frame, positions in zip(frames, asked["several"], strict=True):
            frame.positions = np.reshape(positions, (-1, 3))
        answers = evaluate_together(atoms.calc, frames)
        return {"several": [{"energy": e, "forces": f.ravel().tolist()} for e, f in answers]}
    atoms.positions = np.reshape(asked["positions"], (-1, 3))
    found = {
        "energy": float(atoms.get_potential_energy()),
        "forces": atoms.get_forces(apply_constraint=False).ravel().tolist(),
    }
    if asked["hessian"]:
        found["hessian"] = np.asarray(atoms.calc.get_hessian(atoms)).tolist()
    return found
