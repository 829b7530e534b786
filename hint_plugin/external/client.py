"""Asks the server of a potential, and starts it where there is none. Imports neither torch nor ASE.

A question is one connection: JSON, end of writing, JSON back. Who finds no server takes the lock of its key,
looks again, and starts one, so that of many first calls one starts it and the others wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hint_plugin import errors
from hint_plugin.errors import HintError
from hint_plugin.external.points import Answer, Point
from hint_plugin.external.socket_folder import Place, folder, is_own, place
from hint_plugin.external.spec import Spec

IDLE = 600.0
"""Seconds after which a server that nobody asks ends."""
CHUNK = 1 << 16
STOP, ABOUT = "stop", "about"
BUSY = 2.0
"""Seconds to wait for a server to say what it is; longer, and it is at work."""


class ServerError(HintError):
    """A server could not be started, or ended in the midst of its work."""


def ask(spec: Spec, point: Point, idle: float = IDLE) -> Answer:
    """The answer of the server of `spec`, which is started where there is none.

    Args:
        spec: what computes.
        point: the geometry.
        idle: seconds without a question after which a server that is started here ends.

    Raises:
        ServerError: it could not be started, or ended before it answered.
        HintError: what the computation raised.
    """
    where = place(spec.key())
    connection = _connected(where.socket) or _started(spec, where, idle)
    with connection:
        told = _exchange(connection, {"point": point.as_dict()})
    if told is None:
        raise ServerError(
            f"the server of {spec} ended before it had answered: {last_words(where.log)}. The next call "
            "starts another one; --no-server computes without"
        )
    return Answer(**_unless_failed(told))


def servers() -> list[dict[str, Any]]:
    """Of each server of this user: pid, method, answered, idle_s, started; or only that it is `busy`."""
    return [told for _, told in _each({ABOUT: True})]


def stop() -> list[dict[str, Any]]:
    """Ends all servers of this user, each after what it is at; says which were there."""
    return [told for _, told in _each({STOP: True})]


def last_words(log: Path) -> str:
    """The end of a log, for an error."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return f"its last words were {lines[-1][:200]!r} ({log})" if lines else "it left no word, as if killed"


def _each(question: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder().glob("*.sock")):
        connection = _connected(path)
        if connection is None:
            with _locked(path.with_suffix(".lock")):
                if (again := _connected(path)) is None:
                    path.unlink(missing_ok=True)  # of one that was killed
                else:
                    again.close()
            continue
        with connection:
            connection.settimeout(BUSY)
            try:
                told = _exchange(connection, question)
            except TimeoutError:
                told = {"busy": True}
        if told is not None:
            yield path, {"socket": str(path)} | told


def _connected(path: Path) -> socket.socket | None:
    """None where nobody listens: no socket, or one that a server has left behind."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise ServerError(
            f"{path}: {error.strerror}; give --no-server to compute without a server"
        ) from error
    if not is_own(connection):
        connection.close()
        raise ServerError(f"{path} is served by another user. Remove it, or give --no-server")
    return connection


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _started(spec: Spec, where: Place, idle: float) -> socket.socket:
    with _locked(where.lock):
        if (connection := _connected(where.socket)) is not None:
            return connection  # somebody else was first
        where.socket.unlink(missing_ok=True)
        _start(spec, where, idle)
        if (connection := _connected(where.socket)) is None:
            raise ServerError(f"the server of {spec} ended as soon as it was there: {last_words(where.log)}")
        return connection


def _start(spec: Spec, where: Place, idle: float) -> None:
    log = os.open(where.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "hint_plugin.external.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C ends the program that asks, not the server
        )
    finally:
        os.close(log)
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout, contextlib.suppress(BrokenPipeError):
        what = {"spec": asdict(spec), "socket": str(where.socket), "idle": idle}
        process.stdin.write(json.dumps(what).encode())
        process.stdin.close()
        told = process.stdout.readline()  # as soon as it listens, or has failed
    process.returncode = process.poll() or 0  # it lives on by itself: no warning of a child that is left
    if not told:
        raise ServerError(f"the server of {spec} could not be started: {last_words(where.log)}")
    _unless_failed(json.loads(told))


def _exchange(connection: socket.socket, question: dict[str, Any]) -> dict[str, Any] | None:
    """The answer; None where the other end has gone without one."""
    try:
        connection.sendall(json.dumps(question).encode())
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(CHUNK):
            parts.append(part)
    except (BrokenPipeError, ConnectionResetError):
        return None
    try:
        found: dict[str, Any] = json.loads(b"".join(parts))
    except ValueError:
        return None
    return found


def _unless_failed(told: dict[str, Any]) -> dict[str, Any]:
    """What was told, or the error that it tells."""
    if "failed" not in told:
        return told
    kind = getattr(errors, str(told.get("kind")), None)
    if isinstance(kind, type) and issubclass(kind, HintError):
        raise kind(told["failed"])
    if told.get("kind") == "HintError":
        raise HintError(told["failed"])
    raise RuntimeError(f"the server met a bug:\n{told['failed']}")
