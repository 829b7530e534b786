"""Forces from clients of the i-PI protocol: as many as there are, on this machine or others.

The server is here; clients are `hint ipi run`, LAMMPS's fix ipi, Quantum ESPRESSO's --ipi and others. A
structure goes to whoever is free. A client may come at any time; what a lost one was doing goes to another.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.socketio import IPIProtocol, SocketClosed
from numpy.typing import NDArray

from hint_plugin.errors import EngineError, OptionsError

PREFIX = "/tmp/ipi_"
WAIT = 600.0
_POLL = 0.2


@dataclass(frozen=True)
class FromClient:
    """Of one structure: `energy` eV, `forces` [M, 3] eV/A, `stress` [3, 3] eV/A^3 (sign as in ASE)."""

    energy: float
    forces: NDArray
    stress: NDArray


class SocketClients:
    """A potential whose `evaluate(frames)` asks clients; for a `with`, at whose end they are let go.

        with SocketClients("sscha") as clients:  # hint ipi run --address sscha ..., several times
            relax(begin(start, settings), Evaluator(clients, block=settings.configurations), settings)

    Args:
        address: the name of a UNIX socket (a file /tmp/ipi_NAME), or HOST:PORT to listen at.
        wait: s without any client, or any answer, after which it is an error.
    """

    def __init__(self, address: str, wait: float = WAIT) -> None:
        self.address, self.wait, self.method = address, wait, f"the clients at {address}"
        self._server = _listen(address)
        self._tasks: queue.Queue[tuple[int, Atoms]] = queue.Queue()
        self._answers: queue.Queue[tuple[int, FromClient | Exception]] = queue.Queue()
        self._closing = threading.Event()
        self._clients: list[threading.Thread] = []
        self._heard = time.monotonic()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> SocketClients:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def connected(self) -> int:
        """How many clients there are."""
        return sum(client.is_alive() for client in self._clients)

    def close(self) -> None:
        """Tell all clients that it is over."""
        self._closing.set()
        for thread in (self._acceptor, *self._clients):
            thread.join(timeout=5.0)
        self._server.close()
        if not _is_tcp(self.address):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(PREFIX + self.address)

    def evaluate(self, frames: Sequence[Atoms]) -> list[FromClient]:
        """Energies, forces and stresses of structures, in their order.

        Raises:
            EngineError: a client answered nonsense, or nobody answers.
        """
        for number, frame in enumerate(frames):
            self._tasks.put((number, frame))
        found: dict[int, FromClient] = {}
        self._heard = time.monotonic()
        while len(found) < len(frames):
            try:
                number, answer = self._answers.get(timeout=_POLL)
            except queue.Empty:
                if time.monotonic() - self._heard > self.wait:
                    raise EngineError(
                        f"no answer in {self.wait:g} s from {self.connected} clients at {self.address}; "
                        "start some: hint ipi run --model FILE --template FILE "
                        + client_options(self.address)
                    ) from None
                continue
            self._heard = time.monotonic()
            if isinstance(answer, Exception):
                while not self._tasks.empty():  # nobody is to go on with these
                    self._tasks.get()
                raise EngineError(f"structure {number + 1}: a client's answer is not one ({answer!r})")
            found[number] = answer
        return [found[number] for number in range(len(frames))]

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            connection.settimeout(self.wait)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._clients.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        """One client, until it or this is over."""
        with connection:
            protocol = IPIProtocol(connection)
            while not self._closing.is_set():
                try:
                    number, frame = self._tasks.get(timeout=_POLL)
                except queue.Empty:
                    continue
                try:
                    self._answers.put((number, _ask(protocol, frame)))
                except (SocketClosed, OSError):
                    self._tasks.put((number, frame))
                    return
                except (AssertionError, ValueError) as error:  # ASE's way to say NaN, or a wrong message
                    self._answers.put((number, error))
                    return
            with contextlib.suppress(OSError):
                protocol.end()


def _ask(protocol: Any, frame: Atoms) -> FromClient:
    found = protocol.calculate(frame.positions, frame.cell.array)
    stress = -np.asarray(found["virial"]) / frame.get_volume()
    return FromClient(float(found["energy"]), np.asarray(found["forces"]), 0.5 * (stress + stress.T))


def _listen(address: str) -> socket.socket:
    try:
        if _is_tcp(address):
            host, _, port = address.rpartition(":")
            server = socket.create_server((host, int(port)))
        else:
            server = socket.socket(socket.AF_UNIX)
            server.bind(PREFIX + address)
            server.listen()
    except (OSError, OverflowError) as error:
        raise OptionsError(
            f"socket {address}: {error}; wanted a new name, as hint, or HOST:PORT, as 0.0.0.0:31415"
        ) from error
    server.settimeout(_POLL)
    return server


def _is_tcp(address: str) -> bool:
    _, colon, port = address.rpartition(":")
    if colon and not port.isdigit():
        raise OptionsError(f"socket {address}: {port!r} is no port; wanted HOST:PORT, as 0.0.0.0:31415")
    return bool(colon)


def client_options(address: str) -> str:
    """Of `hint ipi run`."""
    if _is_tcp(address):
        host, _, port = address.rpartition(":")
        return f"--address {host} --port {port}"
    return f"--address {address}"


@contextlib.contextmanager
def clients_at(address: str | None, otherwise: Any, wait: float = WAIT) -> Iterator[Any]:
    """`SocketClients` if there is an address, else what else there is."""
    if address is None:
        yield otherwise
        return
    with SocketClients(address, wait) as clients:
        yield clients
