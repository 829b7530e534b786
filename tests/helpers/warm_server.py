"""The process that has imported what commands import, and runs each in a fork (see `warm`).

python warm_server.py SOCKET MODULE...       # listens on a socket that is open, until its input ends
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.metadata
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import warm


def serve(number: int, modules: Sequence[str]) -> None:
    """Listen until the input ends; a command is a child of a child, which waits for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _reap)  # so that their processor time is counted as ours
    warm = False
    with socket.socket(fileno=number) as door:
        while True:
            ready, _, _ = select.select([door, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            link, _ = door.accept()
            if not warm:
                _warm_up(modules)
                warm = True
            if os.fork() == 0:
                door.close()
                _serve_one(link)
            link.close()


def _warm_up(modules: Sequence[str]) -> None:
    """Import what there is of `modules`; of a package (its name ends with a dot) all modules."""
    sys.path.remove(str(Path(__file__).resolve().parent))
    for name in modules:
        with contextlib.suppress(ImportError):
            package = importlib.import_module(name.rstrip("."))
            for info in pkgutil.iter_modules(package.__path__, name) if name.endswith(".") else ():
                with contextlib.suppress(ImportError):
                    importlib.import_module(info.name)
    warm.forks_in_the_pool()
    gc.collect()
    gc.freeze()  # pages that are only read stay shared with the children


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve_one(link: socket.socket) -> None:
    """In a child: run one command in a child of its own, which is killed if nobody waits for it any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, files, *_ = socket.recv_fds(link, 8, 3)
    size, request = int.from_bytes(head, "little"), b""
    while len(request) < size:
        request += link.recv(1 << 16)
    child = os.fork()
    if child == 0:
        link.close()
        _become(*json.loads(request), files)
    for file in files:
        os.close(file)
    with contextlib.suppress(OSError):
        link.sendall(f"{child}\n".encode())
        ended = os.pidfd_open(child)
        if ended not in select.select([ended, link], [], [])[0]:
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        link.sendall(f"{code}\n".encode())
    os._exit(0)


def _become(words: list[str], cwd: str, environment: dict[str, str], files: list[int]) -> None:
    """Be the command, to its end."""
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False))  # noqa: SIM115
        sys.stdout, sys.stderr = warm.open_text(1), warm.open_text(2)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:0] = [path for path in paths if path not in sys.path]
        code = _exit_status(words)
    finally:
        os._exit(code)


def _exit_status(words: list[str]) -> int:
    """Of a program, as Python runs it: errors that are told, functions that are called at the end."""
    code: Any = 0
    try:
        _call(words)
    except SystemExit as stop:
        code = stop.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    return int(code or 0)


def _call(words: list[str]) -> None:
    name, main = Path(words[0]).name, types.ModuleType("__main__")
    sys.modules["__main__"] = main
    if name in warm.COMMANDS:
        sys.argv = [str(warm.BIN / name), *words[1:]]
        if name == "nequip-train":
            sys.executable = str(warm.bin_folder() / "python")  # by which Lightning starts other processes
        for entry in importlib.metadata.entry_points(group="console_scripts", name=name):
            entry.load()()
            return
        runpy.run_path(sys.argv[0], run_name="__main__")  # its text is all there is
        return
    sys.executable = words[0]  # what it starts beside itself is of the same folder
    sys.argv = words[1:]
    if sys.argv[0] == "-c":
        code = sys.argv.pop(1)
        sys.path.insert(0, "")
        exec(compile(code, "<string>", "exec"), vars(main))
    else:
        sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
