"""What stands for a command that `warm_server` runs; nothing heavy is imported here.

python -S warm_client.py PROGRAM WORD...
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

#: The variable with the address of the server.
ADDRESS = "HINT_TESTS_WARM"


def ask(address, words, cwd, environment, descriptors):
    """A connection to the server, which runs a command with three open files and answers (`answer`)."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(address)
    request = json.dumps([words, cwd, environment]).encode()
    socket.send_fds(link, [len(request).to_bytes(8, "little")], descriptors)
    link.sendall(request)
    return link


def answer(link):
    """The next number that the server says: the process, then its exit status (negative: the signal)."""
    text = b""
    while not text.endswith(b"\n"):
        if not (more := link.recv(1)):
            raise OSError("the server of warm commands has gone")
        text += more
    return int(text)


def stand_for(words):
    """Run a command with the files, the folder and the environment of this process; end as it ends."""
    link = ask(os.environ[ADDRESS], words, os.getcwd(), dict(os.environ), [0, 1, 2])
    answer(link)
    code = answer(link)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    stand_for(sys.argv[1:])
