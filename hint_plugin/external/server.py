"""The process that keeps a potential loaded and answers one question after the other.

    python -m hint_plugin.external.server < {"spec": ..., "socket": PATH, "idle": SECONDS}

It says one line on standard output, {"ready": PID} or {"failed": why}, and ends when nobody has asked for
`idle` seconds, or when it is told to.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hint_plugin.errors import HintError
from hint_plugin.external.client import ABOUT, CHUNK, STOP
from hint_plugin.external.points import Point
from hint_plugin.external.socket_folder import is_own
from hint_plugin.external.spec import Spec

PATIENCE = 10.0
"""Seconds in which a question has to arrive."""
BACKLOG = 128


class Server:
    """Listens at a socket, which is there as soon as questions are answered and as long as they are."""

    def __init__(self, path: Path, work: Callable[[Point], dict[str, Any]], method: str, idle: float) -> None:
        self._path, self._work, self._method, self._idle = path, work, method, idle
        self._answered, self._last, self._ends = 0, time.time(), False
        unready = path.with_suffix(".new")
        unready.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(unready))
        self._socket.listen(BACKLOG)
        self._inode = os.stat(unready).st_ino
        os.rename(unready, path)

    def run(self) -> None:
        """Until nobody asks any more."""
        while not self._ends:
            left = self._last + self._idle - time.time()
            if left <= 0 or not self._one(left):
                break
        self.leave()
        while self._one(0):  # who came before the socket was gone is answered
            pass
        self._socket.close()

    def leave(self) -> None:
        """Removes the socket, if it is still this server's."""
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self._path).st_ino == self._inode:
                self._path.unlink()

    def _one(self, seconds: float) -> bool:
        """Answers one question; False if none comes within the time."""
        self._socket.settimeout(seconds)
        try:
            connection, _ = self._socket.accept()
        except (TimeoutError, BlockingIOError):
            return False
        with connection, contextlib.suppress(OSError):  # who has gone needs no answer
            connection.settimeout(PATIENCE)
            if is_own(connection):
                told = self._reply(_heard(connection))
                connection.settimeout(None)
                connection.sendall(json.dumps(told).encode())
        return True

    def _reply(self, question: dict[str, Any]) -> dict[str, Any]:
        if ABOUT in question or STOP in question:
            self._ends = self._ends or STOP in question
            idle = round(time.time() - self._last, 1)
            return {"pid": os.getpid(), "method": self._method, "answered": self._answered, "idle_s": idle}
        try:
            return self._work(Point(**question["point"]))
        except Exception as error:  # whatever it is, the one who asks is told, and the next one is answered
            return failure(error)
        finally:
            self._answered, self._last = self._answered + 1, time.time()


def failure(error: Exception) -> dict[str, Any]:
    """An error for the other end: a `HintError` by its kind, a bug with its traceback."""
    if isinstance(error, HintError):
        return {"failed": str(error), "kind": type(error).__name__}
    return {"failed": "".join(traceback.format_exception(error)), "kind": "bug"}


def _heard(connection: socket.socket) -> dict[str, Any]:
    parts = []
    while part := connection.recv(CHUNK):
        parts.append(part)
    try:
        found: dict[str, Any] = json.loads(b"".join(parts))
    except ValueError as error:
        raise OSError("no question") from error
    return found


def main() -> None:
    """See the module."""
    speaker = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # packages print when they are imported
    asked = json.load(sys.stdin)
    spec = Spec(**asked["spec"] | {"options": tuple(asked["spec"]["options"])})
    try:
        from hint_plugin.external.compute import answer, open_spec

        potential = open_spec(spec)
        server = Server(
            Path(asked["socket"]),
            lambda point: answer(potential.fresh(), point).as_dict(),
            potential.method,
            asked["idle"],
        )
    except Exception as error:
        print(json.dumps(failure(error)), file=speaker, flush=True)
        sys.exit(2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print(json.dumps({"ready": os.getpid()}), file=speaker, flush=True)
    speaker.close()
    try:
        server.run()
    finally:
        server.leave()


if __name__ == "__main__":
    main()
