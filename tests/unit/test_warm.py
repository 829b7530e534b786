"""Commands by the server of the tests (`tests/helpers/warm.py`) end as processes of their own do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import warm

PROGRAM = """
import os, sys
print(os.getcwd(), os.environ["GIVEN"], sys.argv[1:])
print("wrong", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.parametrize("own", [True, False])
def test_folder_environment_arguments_output_and_status(tmp_path, own):
    line = [sys.executable, "-c", PROGRAM, "one", "two words"]
    process = warm.start(line, cwd=tmp_path, env={**os.environ, "GIVEN": "x y"}, own=own)
    out, err = process.communicate(timeout=120)
    assert out == f"{tmp_path} x y ['one', 'two words']\n"
    assert (err, process.returncode) == ("wrong\n", 3)


def test_ends_that_are_no_numbers():
    for code, status, said in (
        ("import sys; sys.exit('a sentence')", 1, "a sentence\n"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import atexit; atexit.register(print, 'last')", 0, ""),
        (
            "import sys; sys.excepthook = lambda *found: print(found[1], file=sys.stderr); 1 / 0",
            1,
            "division",
        ),
    ):
        done = warm.run([sys.executable, "-c", code])
        assert done.returncode == status and done.stderr.startswith(said), done
    assert "last" in warm.run([sys.executable, "-c", "import atexit; atexit.register(print, 'last')"]).stdout


def test_one_that_runs_can_be_watched_and_stopped(tmp_path):
    wait = "import pathlib, time; pathlib.Path('there').touch(); time.sleep(100)"
    process = warm.start([sys.executable, "-c", wait], cwd=tmp_path)
    while not (tmp_path / "there").exists():
        assert process.poll() is None
    assert os.getsid(process.pid) == process.pid
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM and process.poll() == -signal.SIGTERM


def test_programs_in_the_path_of_a_shell(tmp_path):
    path = f"{warm.bin_folder()}{os.pathsep}{os.environ['PATH']}"
    line = "hint --version; echo in | python -c 'import sys; print(sys.stdin.read())'; hint nothing; echo $?"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
    version, *rest = done.stdout.splitlines()
    assert version.startswith("hint ") and rest == ["in", "", "2"] and "No such command" in done.stderr
