"""The resident server: one for a model, started by the first call, gone when idle; its death is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pair_artifact import write_pair

from hint_plugin import open_potential
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.external import client, socket_folder
from hint_plugin.external.points import Answer, Point
from hint_plugin.external.server import Server
from hint_plugin.external.spec import Spec

POINT = Point("ORCA", ["Al", "Cu"], [0.0, 0.0, 0.0, 2.5, 0.0, 0.0], "angstrom", 0, 1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of sockets for this test, and no server left in it."""
    monkeypatch.setenv(socket_folder.VARIABLE, str(tmp_path / "s"))
    yield tmp_path / "s"
    monkeypatch.undo()


def started(spec: Spec, work: Any, idle: float = 30.0) -> threading.Thread:
    """A server of this process."""
    server = Server(socket_folder.place(spec.key()).socket, work, "made up", idle)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    return thread


SPEC = Spec(engine="made-up")


def test_asks_and_answers(own_folder: Path) -> None:
    asked = []

    def work(point: Point) -> dict[str, Any]:
        asked.append(point)
        return Answer("made up", -1.5, [0.0] * 6).as_dict()

    thread = started(SPEC, work)
    assert client.ask(SPEC, POINT) == Answer("made up", -1.5, [0.0] * 6)
    assert asked[0].as_dict() == POINT.as_dict()
    assert [one["answered"] for one in client.servers()] == [1]
    assert client.stop()[0]["pid"] == os.getpid()
    thread.join(10)
    assert not thread.is_alive() and client.servers() == [] and not list(own_folder.glob("*.sock"))


def test_ends_when_nobody_asks(own_folder: Path) -> None:
    thread = started(SPEC, lambda point: {}, idle=0.2)
    thread.join(10)
    assert not thread.is_alive() and not list(own_folder.glob("*.sock"))


def test_errors_come_back_as_they_are() -> None:
    def refuse(point: Point) -> dict[str, Any]:
        raise DataError("Xx is no element") if point.charge else ZeroDivisionError("a bug")

    started(SPEC, refuse)
    with pytest.raises(DataError, match="^Xx is no element$"):
        client.ask(SPEC, Point("ORCA", ["Xx"], [0.0] * 3, "bohr", 1, 1))
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug"):
        client.ask(SPEC, POINT)
    client.stop()


def test_nonsense_is_no_question(own_folder: Path) -> None:
    started(SPEC, lambda point: Answer("made up", 1.0, []).as_dict())
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(next(own_folder.glob("*.sock"))))
        connection.sendall(b"GET / HTTP/1.1")
    assert client.ask(SPEC, POINT).energy == 1.0
    client.stop()


def test_a_server_that_dies_is_told(own_folder: Path) -> None:
    """In the midst of its work: a sentence, with its last words."""
    place = socket_folder.place(SPEC.key())
    place.log.write_text("terminate called: out of memory\n")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place.socket))
    listener.listen()

    def die() -> None:
        connection, _ = listener.accept()
        while connection.recv(4096):
            pass
        connection.close()

    threading.Thread(target=die, daemon=True).start()
    with pytest.raises(client.ServerError, match="ended before it had answered.*out of memory.*next call"):
        client.ask(SPEC, POINT)
    listener.close()


def test_of_two_servers_the_later_keeps_its_socket(own_folder: Path) -> None:
    path = socket_folder.place(SPEC.key()).socket
    first = Server(path, lambda point: {}, "first", 30.0)
    Server(path, lambda point: {}, "second", 30.0)
    first.leave()
    assert path.exists()


def test_the_folder_is_nobody_elses(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert socket_folder.folder() == own_folder and own_folder.stat().st_mode & 0o777 == 0o700
    own_folder.chmod(0o755)
    with pytest.raises(OptionsError, match="open to others .mode 0755.*HINT_EXTERNAL_DIR"):
        socket_folder.folder()
    own_folder.chmod(0o700)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    with pytest.raises(OptionsError, match=f"belongs to user {me}"):
        socket_folder.folder()
    monkeypatch.setattr(os, "getuid", lambda: me)
    own_folder.rename(own_folder.with_name("real"))
    own_folder.symlink_to(own_folder.with_name("real"))  # somebody else's choice of a place
    with pytest.raises(OptionsError, match="is no folder"):
        socket_folder.folder()


def test_another_user_is_not_answered(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started(SPEC, lambda point: {})
    monkeypatch.setattr(client, "is_own", lambda connection: False)
    with pytest.raises(client.ServerError, match="served by another user"):
        client.ask(SPEC, POINT)
    monkeypatch.undo()


def test_a_model_that_is_none_is_told(tmp_path: Path) -> None:
    """By the server that cannot be started; nothing is left behind."""
    junk = tmp_path / "junk.hint.pt"
    junk.write_bytes(b"no model")
    with pytest.raises(DataError, match="junk.hint.pt"):
        client.ask(Spec.of(junk), POINT)
    assert client.servers() == []


@pytest.mark.slow
def test_two_first_calls_and_a_crash(tmp_path: Path) -> None:
    """For real: many first calls start one server; the socket of a killed one is replaced."""
    model = write_pair(tmp_path / "pair.hint.pt")
    spec = Spec.of(model)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: client.ask(spec, POINT, idle=60.0), range(3)))
    assert found[0] == found[1] == found[2] and found[0].method == "pair.hint.pt"
    (one,) = client.servers()
    assert one["answered"] == 3
    os.kill(one["pid"], signal.SIGKILL)
    place = socket_folder.place(spec.key()).socket
    for _ in range(100):
        if client._connected(place) is None:
            break
        time.sleep(0.05)
    assert place.exists()
    assert client.servers() == [] and not place.exists()
    assert client.ask(spec, POINT, idle=60.0) == found[0]
    assert client.stop()[0]["answered"] == 1


def test_the_client_imports_neither_torch_nor_ase(tmp_path: Path) -> None:
    """Nor NumPy: by the command, up to the question."""
    code = """
import sys
from hint_plugin.cli import app
from hint_plugin.external import client, run
from hint_plugin.external.points import Answer
client.ask = lambda spec, point, idle: Answer("made up", -1.0, [0.0] * 6)
try:
    app.main(["external", "gaussian", "R", "job.EIn", "job.EOu", "--engine", "gfn2-xtb"])
except SystemExit as stop:
    assert not stop.code, stop.code
assert open("job.EOu").read().startswith(" -0.100000000000D+01")
print(sorted({"torch", "ase", "numpy", "scipy"} & set(sys.modules)))
"""
    (tmp_path / "job.EIn").write_text("2 1 0 1\n1 0 0 0 0\n1 0 0 1.4 0\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def test_a_warning_is_told_to_everyone(tmp_path: Path) -> None:
    """A geometry outside of the training: each answer says so, not the first one of a server alone."""
    from hint_plugin.external.compute import answer

    domain = {
        "elements": ["Al", "Cu"],
        "shortest_distances": {"Al-Cu": 2.4},
        "largest_force": 9.0,
        "frames": 3,
    }
    model = write_pair(tmp_path / "pair.hint.pt", training_domain=domain)
    potential, near = (
        open_potential(model),
        Point("ORCA", ["Al", "Cu"], [0, 0, 0, 1.5, 0, 0], "angstrom", 0, 1),
    )
    for _ in range(2):
        assert "1.5 A apart" in answer(potential, near).warnings[0]
    assert answer(potential, POINT).warnings == []
