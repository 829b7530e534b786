"""Commands in forks of one process that has imported what they import.

torch, MACE, NequIP and HINT take several seconds of processor time to import, and the tests start hundreds of
commands. So one server for a run of the tests (`warm_server`) imports them once, when it is first asked. A
command is then a fork of the server: it calls the installed command's own function, in the folder, with the
environment, the arguments and the files of a process of its own, and in a session of its own. Tests of what
depends on the start itself (the hook in `import torch`, what an import loads, HINT kept out) start processes
as usual.

    done = run(["hint", "label", "in.xyz", "-o", "out.xyz"], cwd=folder)     # as subprocess.run
    process = start(["hint", "label", ...], cwd=folder)                      # as subprocess.Popen

`bin_folder` has programs of the same names, for shell scripts and examples. Without a server, commands are
started as usual.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing.context
import multiprocessing.reduction
import os
import pickle
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from warm_client import ADDRESS, answer, ask

BIN = Path(sys.executable).parent
CLIENT = Path(__file__).resolve().with_name("warm_client.py")
#: Installed commands that the server runs.
COMMANDS = (
    *("hint", "mace_run_train", "mace_eval_configs", "mace_prepare_data"),
    *("nequip-train", "nequip-package", "nequip-compile", "i-pi", "i-pi-driver-py"),
)


#: Starts the server where none runs; None: commands are started as usual.
begin: Callable[[], None] | None = None


def _address() -> str | None:
    if ADDRESS not in os.environ and begin is not None:
        begin()
    return os.environ.get(ADDRESS)


class Started:
    """A command that runs: what is used of `subprocess.Popen`."""

    def __init__(self, words: Sequence[str], link: socket.socket, files: tuple[IO[bytes], ...] = ()) -> None:
        self.args, self.returncode = words, None
        self._link, self._files = link, files
        self.pid: int = answer(link)

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended."""
        if self.returncode is None:
            if not select.select([self._link], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0.0)
            self.returncode = answer(self._link)
            self._link.close()
        return int(self.returncode)

    def communicate(self, timeout: float | None = None) -> tuple[str, ...]:
        """What it has written, when it has ended."""
        self.wait(timeout)
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        self._files = ()
        return tuple(texts)

    def send_signal(self, number: int) -> None:
        """To its process alone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(
    words: Sequence[object],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    log: IO[Any] | None = None,
    own: bool = False,
) -> Started | subprocess.Popen[str]:
    """Start a command, or this Python by its path; it writes into `log`, or what `communicate` reads.

    If it is to be a process of its `own`, the server is not asked. A fork of the server is killed when nobody
    holds the result any more.
    """
    line = [str(word) for word in words]
    environment = dict(os.environ) if env is None else env
    address = None if own else _address()
    if address is None:
        program = str(BIN / line[0]) if line[0] in COMMANDS else line[0]
        out, err = (subprocess.PIPE, subprocess.PIPE) if log is None else (log, subprocess.STDOUT)
        return subprocess.Popen(
            [program, *line[1:]],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            text=True,
            start_new_session=True,
        )
    files = () if log is not None else (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115
    with open(os.devnull, "rb") as nothing:
        numbers = [nothing.fileno(), *(file.fileno() for file in files or (log, log))]
        link = ask(address, line, str(cwd or Path.cwd()), environment | {ADDRESS: address}, numbers)
        return Started(line, link, files)


def run(
    words: Sequence[object], *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command from its start to its end."""
    process = start(words, cwd=cwd, env=env)
    out, err = process.communicate()
    return subprocess.CompletedProcess([str(word) for word in words], process.returncode, out, err)


def bin_folder() -> Path:
    """A folder to put before the others in PATH: commands and `python` by the server, all else as it is."""
    address = _address()
    return BIN if address is None else Path(address).with_name("bin")


def possible() -> bool:
    """Whether this system tells of the end of a process by a file (Linux from 5.3 on)."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


@contextlib.contextmanager
def served(modules: Sequence[str]) -> Iterator[str]:
    """The address of a server that imports `modules` when it is first asked; it ends with the block."""
    place = Path(tempfile.mkdtemp(prefix="hint-warm-", dir="/tmp"))  # the name of a socket must be short
    (place / "bin").mkdir()
    for program in BIN.iterdir():
        mine = place / "bin" / program.name
        if program.name in (*COMMANDS, "python"):
            mine.write_text(f'#!/bin/sh\nexec "{BIN}/python" -S -E "{CLIENT}" "{mine}" "$@"\n')
            mine.chmod(0o755)
        else:
            mine.symlink_to(program)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(place / "socket"))
        door.listen(64)  # who asks early waits here
        server = subprocess.Popen(
            [sys.executable, str(CLIENT.with_name("warm_server.py")), str(door.fileno()), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[door.fileno()],
        )
    try:
        yield str(place / "socket")
    finally:
        assert server.stdin is not None
        server.stdin.close()  # this is its end
        server.wait()
        shutil.rmtree(place, ignore_errors=True)


def forks_in_the_pool(replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """Workers of `hint_plugin.parallel.pool` are forks from now on, which have nothing left to import.

    A process in which JAX runs cannot be forked: there, they are spawned as ever.
    """
    from hint_plugin.parallel import pool

    def context(method: str) -> Any:
        jax = sys.modules.get("jax._src.xla_bridge")
        if jax is not None and jax._backends:
            return multiprocessing.get_context(method)
        return types.SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Forked)

    shown = types.SimpleNamespace(get_context=context, parent_process=multiprocessing.parent_process)
    replace(pool, "multiprocessing", shown)


class Forked(multiprocessing.context.ForkProcess):
    """A worker of the pool; what it is given is pickled and unpickled, as for a process of its own."""

    def __init__(self, *, target: Any, args: tuple[Any, Any, str], daemon: bool) -> None:
        pipe, setup, name = args
        kept = bytes(multiprocessing.reduction.ForkingPickler.dumps(setup))
        super().__init__(target=_unpickled, args=(target, pipe, kept, name), daemon=daemon)


def _unpickled(target: Any, pipe: Any, setup: bytes, name: str) -> None:
    sys.stdout, sys.stderr = open_text(1), open_text(2)  # not those that pytest looks at
    target(pipe, pickle.loads(setup), name)


def open_text(number: int) -> io.TextIOWrapper:
    """A file that is open, to print into."""
    stream = open(number, "wb", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(stream, line_buffering=number == 2, errors="backslashreplace")
