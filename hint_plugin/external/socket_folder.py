"""Where the sockets of the servers are: a folder that belongs to the user and nobody else can enter."""

from __future__ import annotations

import os
import socket
import stat
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hint_plugin.errors import OptionsError

VARIABLE = "HINT_EXTERNAL_DIR"
LONGEST = 100
"""Bytes of a socket's path; Linux takes 107, macOS 103."""


@dataclass(frozen=True)
class Place:
    """Of one server: its socket, the lock of those who start it, its log."""

    socket: Path
    lock: Path
    log: Path


def folder() -> Path:
    """It is made, with mode 0700, where it is not there: $HINT_EXTERNAL_DIR, else one for the user beside
    other temporary files.

    Raises:
        OptionsError: it belongs to somebody else, is open to others, is no folder, or has too long a name.
    """
    given = os.environ.get(VARIABLE) or os.environ.get("XDG_RUNTIME_DIR")
    base = Path(given) if given and Path(given).is_dir() else Path(tempfile.gettempdir())
    path = Path(given) if os.environ.get(VARIABLE) and given else base / f"hint-external-{os.getuid()}"
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise OptionsError(
            f"{path}, the folder of HINT's sockets, cannot be made ({error.strerror}): name another one in "
            f"{VARIABLE}, or give --no-server"
        ) from error
    found = os.lstat(path)
    wrong = None
    if not stat.S_ISDIR(found.st_mode):
        wrong = "is no folder"
    elif found.st_uid != os.getuid():
        wrong = f"belongs to user {found.st_uid}"
    elif stat.S_IMODE(found.st_mode) & 0o077:
        wrong = f"is open to others (mode {stat.S_IMODE(found.st_mode):04o})"
    elif len(os.fsencode(path)) > LONGEST - 24:
        wrong = "has too long a name for a socket in it"
    if wrong:
        raise OptionsError(
            f"{path}, the folder of HINT's sockets, {wrong}; wanted one of your own with mode 0700. Name "
            f"another one in {VARIABLE}, or give --no-server"
        )
    return path


def place(key: str) -> Place:
    """Of the server with a key. Raises as `folder`."""
    base = folder()
    return Place(base / f"{key}.sock", base / f"{key}.lock", base / f"{key}.log")


def is_own(connection: socket.socket) -> bool:
    """Whether the other end is a process of the same user, as far as the system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(user == os.getuid())
