"""What answers `calc: {type: ipiserver}` of pysisyphus: i-PI's protocol, with GETENERGY and GETHESSIAN.

pysisyphus listens at a UNIX socket. It says STATUS, twice, and is told READY; POSDATA with cell, inverse
cell, number of atoms and positions (bohr); STATUS, told HAVEDATA; then one of

| it asks | it is answered |
|---|---|
| GETENERGY | ENERGYREADY, energy |
| GETFORCE | FORCEREADY, energy, number of atoms, forces, virial (9 zeros), 0 |
| GETHESSIAN | HESSIANREADY, energy, number of atoms, Hessian |

in atomic units, and EXIT at the end. Each calculator of a run of pysisyphus listens for itself, one after the
other under the same name, so a new socket there is another conversation. pysisyphus is GPL-3: nothing of it
is imported here.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from hint_plugin.errors import DataError, HintError, OptionsError

HEADER, CELLS = 12, 2 * 9 * 8
BUFFER = 1 << 22
"""pysisyphus reads a Hessian by one recv: it has to lie there whole."""
POLL = 0.05
WORDS = {"GETENERGY": "energies", "GETFORCE": "gradients", "GETHESSIAN": "hessians"}


class LostError(HintError):
    """pysisyphus is not there, or has gone in the midst of a sentence."""


class Conversation:
    """With one calculator of pysisyphus."""

    def __init__(self, sock: socket.socket, atoms: Atoms, counts: Counter[str]) -> None:
        self.sock, self._atoms, self._counts = sock, atoms.copy(), counts
        self._atoms.calc = atoms.calc
        self._has_positions = False

    def step(self) -> bool:
        """Hears one word and answers it; False at the end."""
        try:
            word = self._read(HEADER).decode("ascii", errors="replace").strip()
        except EOFError:
            return False
        if word == "EXIT":
            return False
        if word == "POSDATA":
            self._hear_positions()
        elif word in WORDS:
            self._counts[WORDS[word]] += 1
            self.sock.sendall(self._answer(word))
            self._has_positions = False
        elif word == "STATUS":
            self.sock.sendall(_header("HAVEDATA" if self._has_positions else "READY"))
        else:
            raise LostError(f"pysisyphus says {word!r}, which is not of its protocol (type: ipiserver)")
        return True

    def _hear_positions(self) -> None:
        self._read(CELLS)
        (count,) = struct.unpack("i", self._read(4))
        if count != len(self._atoms):
            raise DataError(
                f"pysisyphus has {count} atoms and the structure given here "
                f"{len(self._atoms)}: give the same one"
            )
        self._atoms.positions = np.frombuffer(self._read(24 * count)).reshape(-1, 3) * Bohr
        self._has_positions = True

    def _answer(self, word: str) -> bytes:
        energy = struct.pack("d", self._atoms.get_potential_energy() / Hartree)
        count = struct.pack("i", len(self._atoms))
        if word == "GETENERGY":
            return _header("ENERGYREADY") + energy
        if word == "GETFORCE":
            forces = self._atoms.get_forces(apply_constraint=False) / (Hartree / Bohr)
            return (
                _header("FORCEREADY") + energy + count + _bytes(forces) + bytes(9 * 8) + struct.pack("i", 0)
            )
        hessian = self._atoms.calc.get_hessian(self._atoms) / (Hartree / Bohr**2)
        return _header("HESSIANREADY") + energy + count + _bytes(hessian)

    def _read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self.sock.recv(count - len(parts))
            if not part:
                if parts:
                    raise LostError("pysisyphus has gone in the midst of a sentence. Does it still run?")
                raise EOFError
            parts += part
        return bytes(parts)


def converse(address: Path, atoms: Atoms, wait: float, linger: float) -> dict[str, int]:
    """Answers all calculators of a run of pysisyphus; says how many energies, gradients, Hessians it did.

    Args:
        address: of the socket, as in pysisyphus's YAML.
        atoms: the structure, with a calculator that has `get_hessian`; positions are pysisyphus's.
        wait: seconds until the first socket has to be there.
        linger: seconds to look for another one after the last conversation has ended.

    Raises:
        LostError: no socket within the time, or an end in the midst of a sentence. DataError: other atoms.
        OptionsError: an address that no socket can have. What the calculator raises.
    """
    if len(os.fsencode(address)) > 100:
        raise OptionsError(f"{address} is too long for a socket: choose a shorter name, in YAML as well")
    counts: Counter[str] = Counter(dict.fromkeys(WORDS.values(), 0))
    seen: set[tuple[int, int]] = set()
    with selectors.DefaultSelector() as talks:
        end = time.monotonic() + wait
        try:
            while talks.get_map() or time.monotonic() < end:
                if (sock := _new_socket(address, seen)) is not None:
                    talks.register(sock, selectors.EVENT_READ, Conversation(sock, atoms, counts))
                if not talks.get_map():
                    time.sleep(POLL)
                    continue
                for key, _ in talks.select(POLL):
                    if not key.data.step():
                        talks.unregister(key.fileobj)
                        key.data.sock.close()
                        end = time.monotonic() + linger
        finally:
            for key in list(talks.get_map().values()):
                key.data.sock.close()
    if not seen:
        raise LostError(
            f"pysisyphus does not listen at {address} ({wait:g} s): is it running, with calc: {{type: "
            f"ipiserver, address: {address}}}, in this folder?"
        )
    return dict(counts)


def _new_socket(address: Path, seen: set[tuple[int, int]]) -> socket.socket | None:
    """A connection to a socket that was not there before."""
    try:
        found = os.stat(address)
        identity = (found.st_ino, found.st_ctime_ns)
        if identity in seen:
            return None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        try:
            sock.connect(str(address))
        except OSError:
            sock.close()
            return None  # bound, and not yet listening; or left behind
    except FileNotFoundError:
        return None
    seen.add(identity)
    return sock


def _header(word: str) -> bytes:
    return word.ljust(HEADER).encode("ascii")


def _bytes(values: Any) -> bytes:
    return np.ascontiguousarray(values, dtype=np.float64).tobytes()
