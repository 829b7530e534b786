"""The `hint` command itself: listing, laziness, exit codes. Each verb has its own test file."""

import re
import subprocess
import sys

import pytest
import typer

from hint_plugin import __version__
from hint_plugin.cli import app, start
from hint_plugin.errors import HintError, InterruptedRunError

HEAVY = ("torch", "ase", "numpy", "scipy", "h5py", "matplotlib", "tblite", "mace")


def run(capfd, *arguments):
    """Exit code, stdout, stderr of `hint arguments...` in this process, without colour."""
    with pytest.raises(SystemExit) as stop:
        app.main(arguments)
    out, err = (re.sub(r"\x1b\[[0-9;]*m", "", text) for text in capfd.readouterr())
    return stop.value.code or 0, out, err


@pytest.fixture
def verb(monkeypatch):
    """Add a verb `trial` that runs the given function."""

    def add(function, **options):
        monkeypatch.setitem(app.VERBS, "trial", app.Verb("trial_module:function", "A trial.", **options))
        monkeypatch.setattr(app.Verb, "load", lambda self: function)

    monkeypatch.delenv("HINT_DEBUG", raising=False)
    return add


def test_help_lists_every_verb_with_its_line(capfd):
    code, out, _ = run(capfd, "--help")
    assert code == 0
    for name, verb in app.VERBS.items():
        assert name in out
        assert verb.help.split()[0] in out


def test_alone_says_what_to_do_next(capfd):
    code, out, _ = run(capfd)
    assert code == 0
    assert "hint label" in out and "mace_run_train" in out and "hint evaluate" in out


def test_version(capfd):
    assert run(capfd, "--version") == (0, f"hint {__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"], ["nonsense"]])
def test_listing_imports_nothing_heavy(arguments):
    script = (
        "import sys\n"
        "from hint_plugin.cli.app import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_unknown_verb_suggests_the_nearest(capfd):
    code, _, err = run(capfd, "lable")
    assert code == 2
    assert "lable" in err and re.search(r"[Dd]id you mean.*label", err)


def test_hint_error_is_one_line(capfd, verb):
    def fail():
        raise HintError("frame 3 of a.xyz: no forces [eV/A]; label it first")

    verb(fail)
    assert run(capfd, "trial") == (2, "", "error: frame 3 of a.xyz: no forces [eV/A]; label it first\n")


@pytest.mark.parametrize("by_environment", [True, False])
def test_debug_keeps_the_traceback(verb, monkeypatch, by_environment):
    def fail():
        raise HintError("no")

    verb(fail)
    monkeypatch.setenv("HINT_DEBUG", "1" if by_environment else "0")
    with pytest.raises(HintError):
        app.main(["trial"] if by_environment else ["--debug", "trial"])


def test_other_exceptions_are_not_hidden(verb):
    def fail():
        raise ZeroDivisionError

    verb(fail)
    with pytest.raises(ZeroDivisionError):
        app.main(["trial"])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InterruptedRunError("12 of 60 frames are done")])
def test_interrupt_exits_130(capfd, verb, error):
    def interrupted():
        raise error

    verb(interrupted)
    code, _, err = run(capfd, "trial")
    assert code == 130
    assert (
        "Traceback" not in err
        and (str(error) or "stopped: results that were not yet written are lost") in err
    )


@pytest.mark.parametrize("where", ["import", "make_context", "resolve_command"])
def test_ctrl_c_before_the_verb_begins(capfd, monkeypatch, where):
    """While modules are imported, a terminal is looked at, or the verb is looked up."""

    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    owner, name = {"import": (app, "main")}.get(where, (typer.core.TyperGroup, where))
    monkeypatch.setattr(owner, name, interrupted)
    monkeypatch.setattr(sys, "argv", ["hint", "doctor"])
    with pytest.raises(SystemExit) as stop:
        start.main()
    err = capfd.readouterr().err
    assert stop.value.code == 130 and err.startswith("stopped: ") and "Traceback" not in err


def test_arguments_reach_the_verb(capfd, verb):
    def function(name: str, count: int = 1):
        """Say it."""
        print(name * count)

    verb(function)
    assert run(capfd, "trial", "ab", "--count", "2") == (0, "abab\n", "")
    assert "Say it." in run(capfd, "trial", "--help")[1]


def test_passthrough_hands_over_everything(capfd, verb):
    def function(context: typer.Context):
        print(context.args)

    verb(function, passthrough=True)
    given = ["--name", "hint", "--E0s", "average", "-x", "--help", "--flag=1", "--debug", "last"]
    assert run(capfd, "trial", *given) == (0, f"{given}\n", "")


def test_every_target_exists():
    for name, verb in app.VERBS.items():
        assert callable(verb.load()), name
