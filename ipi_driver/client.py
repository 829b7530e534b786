"""A client of i-PI that ends when it should: i-PI's protocol over UNIX or TCP sockets.

i-PI asks, the client answers: STATUS -> NEEDINIT, READY or HAVEDATA; INIT (replica, text); POSDATA (cell, its
inverse, atoms, positions) and GETFORCE -> FORCEREADY (energy, atoms, forces, virial, extras); EXIT. With
``batch_size`` in the text of INIT, POSDATA and FORCEREADY hold so many structures.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hint_plugin.errors import HintError, OptionsError

HEADER = 12
CHUNK = 1 << 16
STATUS, INIT, POSDATA, GETFORCE, EXIT = "STATUS", "INIT", "POSDATA", "GETFORCE", "EXIT"


class ServerLostError(HintError):
    """i-PI is not there, or has gone without saying goodbye."""


class Connection:
    """Whole messages over a socket; an end in the middle of one is an error, never a wait for ever.

    What has arrived is taken from the socket at once: if this process ends while something lies there unread,
    the system resets the connection in place of closing it, and i-PI 3.3 does not survive that.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._arrived = bytearray()

    def header(self) -> str:
        """The next message's name."""
        return self._receive(HEADER).decode("ascii", errors="replace").strip().upper()

    def _receive(self, count: int) -> bytes:
        while len(self._arrived) < count:
            try:
                part = self.sock.recv(max(count - len(self._arrived), CHUNK))
            except OSError as error:
                raise ServerLostError(f"the connection to i-PI broke ({error})") from error
            if not part:
                raise ServerLostError("i-PI closed the connection without saying goodbye")
            self._arrived += part
        data = bytes(self._arrived[:count])
        del self._arrived[:count]
        return data

    def take_what_is_there(self) -> None:
        """Empties the socket without waiting; to be called before long work."""
        while select.select([self.sock], [], [], 0)[0]:
            try:
                part = self.sock.recv(CHUNK)
            except OSError:
                return  # the next message says so
            if not part:
                return
            self._arrived += part

    def integer(self) -> int:
        """An int32."""
        return int(np.frombuffer(self._receive(4), np.int32)[0])

    def numbers(self, *shape: int) -> np.ndarray:
        """float64 of a shape."""
        count = int(np.prod(shape))
        return np.frombuffer(self._receive(8 * count), np.float64).reshape(shape).copy()

    def text(self) -> str:
        """Its length, and as many bytes."""
        return self._receive(self.integer()).decode("utf-8", errors="replace")

    def say(self, name: str, *parts: Any) -> None:
        """A header and what follows it: integers as int32, arrays as float64, texts with their length."""
        message = bytearray(name.ljust(HEADER).encode())
        for part in parts:
            if isinstance(part, str):
                encoded = part.encode()
                message += np.int32(len(encoded)).tobytes() + encoded
            elif isinstance(part, int):
                message += np.int32(part).tobytes()
            else:
                message += np.ascontiguousarray(part, np.float64).tobytes()
        try:
            self.sock.sendall(message)
        except OSError as error:
            raise ServerLostError(f"the connection to i-PI broke ({error})") from error


def connect(address: str, port: int | None, prefix: str = "/tmp/ipi_") -> socket.socket:
    """A socket to i-PI: TCP with a port, else the UNIX socket of that name.

    Raises:
        OptionsError: a port or a name that no socket can have. OSError: nobody listens there.
    """
    if port is not None and not 0 < port < 65536:
        raise OptionsError(f"port {port}; wanted a number from 1 to 65535, as in <port> of i-PI's input")
    if port is None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target: Any = prefix + address
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        target = (address, port)
    try:
        sock.connect(target)
    except OSError as error:
        sock.close()
        if error.errno is None and port is None:  # said by Python, before the system was asked
            raise OptionsError(
                f"the UNIX socket {target} has a name that no system takes ({error}): choose a shorter "
                "--address, or --prefix as i-PI's sockets_prefix"
            ) from error
        raise
    return sock


def wait_for_server(open_socket: Callable[[], socket.socket], seconds: float) -> Connection:
    """Tries again with growing pauses (0.1 s to 5 s) until i-PI listens.

    Raises:
        ServerLostError: it does not within `seconds`.
    """
    end, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return Connection(open_socket())
        except OSError as error:
            left = end - time.monotonic()
            if left <= 0:
                raise ServerLostError(
                    f"i-PI does not answer ({error}); is it running, and at this address?"
                ) from error
            time.sleep(min(pause, max(left, 0.01)))
            pause = min(2 * pause, 5.0)


def serve(connection: Connection, driver: Callable[[Any, Any], Any]) -> int:
    """Answers i-PI until it says goodbye; returns the number of structures evaluated.

    Raises:
        ServerLostError: the connection ended without EXIT. Whatever the driver raises.
    """
    batch, atoms, done = 1, 0, 0
    answers: list[Any] | None = None
    initialised = False
    while True:
        header = connection.header()
        if header == STATUS:
            connection.say("HAVEDATA" if answers is not None else "READY" if initialised else "NEEDINIT")
        elif header == INIT:
            connection.integer()  # the replica
            batch = _batch_size(connection.text())
            initialised = True
        elif header == POSDATA:
            if batch == 1:
                cells = connection.numbers(2, 3, 3)[None]
                atoms = connection.integer()
            else:
                atoms = connection.integer()
                cells = connection.numbers(batch, 2, 3, 3)
            positions = connection.numbers(batch, atoms, 3)
            connection.take_what_is_there()
            answers = driver([c[0] for c in cells], list(positions))
            done += len(answers)
        elif header == GETFORCE:
            if answers is None:
                raise ServerLostError("i-PI asks for forces before it has sent positions")
            energies, forces, virials, extras = zip(*answers, strict=True)
            connection.say(
                "FORCEREADY", np.array(energies), atoms, np.array(forces), np.array(virials), *extras
            )
            answers = None
        elif header == EXIT:
            return done
        else:
            raise ServerLostError(f"i-PI says {header!r}, which is not of its protocol")


def _batch_size(text: str) -> int:
    for token in text.split(","):
        name, _, value = token.partition(":")
        if name.strip() == "batch_size" and value.strip().isdigit():
            return max(1, int(value))
    return 1
