"""The import hook: what it imports, what it leaves alone, and a MACE that it does not know."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import inspect
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import warm

from hint_plugin.cli import app
from hint_plugin.errors import MissingDependencyError
from hint_plugin.mace import hook, installation
from hint_plugin.mace.active_options import session
from hint_plugin.mace.command import run_train
from hint_plugin.mace.options import LOSSES
from mace_runs import HINT, MOLECULES, SMALL, Run, arguments, command, run_command, write_frames

ROOT = Path(__file__).parents[2]


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)


def test_the_hook_itself_imports_nothing_but_three_small_modules():
    """Its price at `import torch`: two packages, the module itself, and what Python has loaded anyway."""
    script = (
        "import sys, importlib.machinery, importlib.metadata\n"
        "before = set(sys.modules)\n"
        "from hint_plugin.mace.hook import install\n"
        "install()\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    done = python(script)
    wanted = {"hint_plugin", "hint_plugin.mace", "hint_plugin.mace.hook"}
    assert set(eval(done.stdout)) <= wanted | {"__future__", "typing"}, done.stdout
    assert wanted <= set(eval(done.stdout))


def test_torch_installs_it_and_imports_no_more_of_hint():
    script = (
        "import sys, torch\n"
        "from hint_plugin.mace.hook import installed\n"
        "ours = ('hint_plugin', 'mace', 'ase')\n"
        "print(installed(), sorted(m for m in sys.modules if m.split('.')[0] in ours))\n"
    )
    done = python(script, TORCH_DEVICE_BACKEND_AUTOLOAD="1")
    assert done.stdout.split(maxsplit=1)[0] == "True"
    assert eval(done.stdout.split(maxsplit=1)[1]) == [
        "hint_plugin",
        "hint_plugin.mace",
        "hint_plugin.mace.hook",
    ]
    assert python(script, TORCH_DEVICE_BACKEND_AUTOLOAD="0").stdout.split()[0] == "False"


def test_installing_twice_is_installing_once():
    hook.install()
    hook.install()
    assert sum(isinstance(finder, hook.MaceFinder) for finder in sys.meta_path) == 1


@pytest.mark.parametrize("ends", ["", "raise ValueError('no module')\n"])
def test_a_module_that_imports_torch_first_is_wrapped_when_it_is_whole(tmp_path, monkeypatch, ends):
    """The hook is installed within `import torch`, here half-way through one of its targets."""
    text = "from hint_plugin.mace import hook\nhook.install()\nmade_afterwards = 1\n"
    (tmp_path / "half_loaded.py").write_text(text + ends, encoding="utf-8")
    wrapped = []
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if not isinstance(f, hook.MaceFinder)])
    monkeypatch.setattr(hook, "TARGETS", ("half_loaded",))
    monkeypatch.setattr(hook, "apply", lambda module: wrapped.append(module.made_afterwards))
    try:
        if ends:
            with pytest.raises(ValueError, match="no module"):
                importlib.import_module("half_loaded")
            assert wrapped == []
            return
        module = importlib.import_module("half_loaded")
        assert wrapped == [1]
        assert type(module.__spec__) is importlib.machinery.ModuleSpec
        assert importlib.import_module("half_loaded") is module and wrapped == [1]
    finally:
        sys.modules.pop("half_loaded", None)


@pytest.mark.slow
def test_mace_prepare_data_as_a_command_stores_labels(tmp_path):
    """In this program mace.data.atomic_data is the first to import torch."""
    import h5py

    options = {"train_file": MOLECULES, "valid_fraction": 0.25, "E0s": "average"}
    more = {"r_max": 3.0, "h5_prefix": "z/", "hint_labels": True, "seed": 1, "num_process": 1}
    run_command("mace_prepare_data", tmp_path, {**options, **more}, own=True)
    with h5py.File(tmp_path / "z" / "train" / "train_0.h5") as file:
        names: list[str] = []
        file.visit(names.append)
    assert any(name.endswith("hint_rows") for name in names)


@pytest.fixture(scope="module")
def stock_runs(tmp_path_factory) -> tuple[Run, Run, str]:
    """Stock training with HINT installed and with HINT kept out, and the second one's console output."""
    runs = []
    for hint in (True, False):
        folder = tmp_path_factory.mktemp("stock")
        options = {**SMALL, "loss": "weighted", "ema": True}
        done = run_command("mace_run_train", folder, options, hint=hint)
        runs.append(Run(folder, "small", 1))
    return runs[0], runs[1], done.stderr


def test_stock_training_is_bit_for_bit_what_it_was(stock_runs):
    with_hint, without, _ = stock_runs
    a, b = with_hint.weights(), without.weights()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    drop = ("time",)
    lines = [
        [{k: v for k, v in line.items() if k not in drop} for line in run.results]
        for run in (with_hint, without)
    ]
    assert lines[0] == lines[1]
    assert "RMSE H" not in with_hint.log and "HINT" not in with_hint.log


FUTURE_PARSER = """
import argparse

def make_parser():
    parser = argparse.ArgumentParser(prog="mace_run_train")
    parser.add_argument("--loss", choices=["weighted"])
    parser.add_argument("--config")
    return parser
"""
FUTURE_TRAIN = """
import torch
from mace.tools.arg_parser import make_parser

print("stock", make_parser().parse_args().loss)
"""


def test_a_mace_whose_parser_is_unknown(tmp_path):
    """The parser alone could only say 'invalid choice'; HINT says why, for options and for a YAML file."""
    package = tmp_path / "mace" / "tools"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "arg_parser.py").write_text(FUTURE_PARSER)
    (tmp_path / "train.py").write_text(FUTURE_TRAIN)
    (tmp_path / "hint.yaml").write_text("loss: hint_column\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TORCH_DEVICE_BACKEND_AUTOLOAD": "1"}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, str(tmp_path / "train.py"), *options]
        return subprocess.run(line, env=environment, capture_output=True, text=True)

    assert run("--loss", "weighted").stdout == "stock weighted\n"
    for options in (["--loss", "hint_hutchinson"], ["--config", str(tmp_path / "hint.yaml")]):
        done = run(*options)
        assert done.returncode == 1
        assert done.stderr.startswith(
            "error: this mace-torch is not one that HINT knows (mace.tools.arg_parser: "
        )
        assert "hint doctor" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.fixture
def fresh_session(monkeypatch):
    """Problems of a test stay with it; all of MACE is loaded and wrapped before."""
    hook.install()
    importlib.import_module("mace.cli.run_train")
    monkeypatch.setattr(session, "problems", [])
    monkeypatch.setattr(session, "wrapped", set(session.wrapped))
    return session


def other_version(name: str, **changed: Any) -> types.ModuleType:
    """A module of MACE with some functions replaced (None: taken away)."""
    real = importlib.import_module(name)
    module = types.ModuleType(name)
    for key, value in vars(real).items():
        if not key.startswith("__"):
            setattr(module, key, inspect.unwrap(value) if inspect.isfunction(value) else value)
    for key, value in changed.items():
        if value is None:
            delattr(module, key)
        else:
            setattr(module, key, value)
    return module


def takes_other_things(criterion):
    raise AssertionError("never called")


class OtherData:
    @classmethod
    def from_config(cls, frame, cutoff):
        raise AssertionError("never called")


@pytest.mark.parametrize(
    ("name", "changed", "problem"),
    [
        (
            "mace.tools.train",
            {"take_step": takes_other_things},
            "take_step lacks model, loss_fn, batch, optimizer",
        ),
        ("mace.tools.train", {"evaluate": None}, "evaluate: unknown to HINT"),
        ("mace.tools.scripts_utils", {"get_swa": takes_other_things}, "get_swa lacks args, model"),
        ("mace.tools.tables_utils", {"create_error_table": None}, "create_error_table: unknown to HINT"),
        ("mace.data.utils", {"config_from_atoms": takes_other_things}, "config_from_atoms lacks atoms"),
        (
            "mace.tools.torch_geometric.dataloader",
            {"DataLoader": takes_other_things},
            "DataLoader lacks dataset",
        ),
        ("mace.data.atomic_data", {"AtomicData": OtherData}, "AtomicData.from_config(config, ...): unknown"),
        (
            "mace.tools.arg_parser",
            {"build_default_arg_parser": None},
            "build_default_arg_parser: unknown to HINT",
        ),
    ],
)
def test_a_module_with_other_functions_is_left_alone(fresh_session, monkeypatch, name, changed, problem):
    monkeypatch.setattr(sys, "argv", ["mace_run_train", "--loss", "weighted"])
    module = other_version(name, **changed)
    before = dict(vars(module))
    hook.apply(module)
    assert dict(vars(module)) == before
    assert len(fresh_session.problems) == 1
    assert fresh_session.problems[0].startswith(f"{name}: {problem}")


def parse(*options: str) -> Any:
    from mace.tools import build_default_arg_parser

    return build_default_arg_parser().parse_args(["--name", "a", "--train_file", "b", *options])


def test_with_a_problem_stock_options_work_and_hint_options_end_in_one_sentence(fresh_session, capsys):
    fresh_session.problems.append("mace.tools.train: take_step lacks batch: unknown to HINT")
    assert parse("--loss", "universal").loss == "universal"
    with pytest.raises(SystemExit) as stop:
        parse("--loss", "hint_hutchinson")
    assert stop.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "not one that HINT knows (mace.tools.train: take_step lacks batch: unknown to HINT)" in last
    assert "`hint doctor`" in last


def test_a_module_that_is_gone_is_a_problem_too(fresh_session, monkeypatch, capsys):
    """One that was never imported could not be wrapped, nor could it complain."""
    name = "mace.tools.tables_utils"
    parse("--loss", "weighted")
    monkeypatch.setitem(sys.modules, name, None)  # import raises ImportError
    fresh_session.wrapped.discard(name)
    with pytest.raises(SystemExit):
        parse("--loss", "hint_hutchinson")
    assert name in capsys.readouterr().err


def hint(*options: str, folder: Path, autoload: str = "1", path: str | None = None) -> Any:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DEVICE_BACKEND_AUTOLOAD": autoload}
    environment["PATH"] = path or f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    line = [command("hint"), *options]
    if autoload == "1":
        return warm.run(line, cwd=folder, env=environment)
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)


def test_hint_mace_train_needs_no_autoload(tmp_path):
    """Trains with the hook out of `import torch`; a bad label is one line, not a traceback."""
    options = arguments({**SMALL, **HINT, "name": "by_hand", "seed": 3})
    done = hint("mace-train", *options, folder=tmp_path, autoload="0")
    assert done.returncode == 0, done.stderr[-2000:]
    run = Run(tmp_path, "by_hand", 3)
    assert "RMSE H / eV / A^2" in run.log and run.model_path.exists()


def test_mace_train_hands_errors_over_as_one_line(tmp_path, capsys, monkeypatch, molecules):
    for atoms in molecules:
        atoms.info.pop("REF_hessian")
    path = write_frames(tmp_path / "none.xyz", molecules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["hint"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(SystemExit) as stop:
        app.main(["mace-train", *arguments({**SMALL, **HINT, "train_file": path})])
    assert stop.value.code == app.EXIT_ERROR
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "error: none of the 12 training structures looked at has a Hessian label" in last


def test_mace_train_without_mace(monkeypatch):
    for name in [key for key in sys.modules if key.split(".")[0] == "mace"]:
        monkeypatch.delitem(sys.modules, name)

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name == "mace":
                raise ModuleNotFoundError("No module named 'mace'", name="mace")

    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(MissingDependencyError, match=r"pip install '.\[mace\]'"):
        run_train([])


def test_doctor_when_all_is_well(tmp_path):
    done = hint("doctor", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("ready:")
    for name in hook.TARGETS:
        assert f"{name} " in done.stdout


def test_doctor_says_what_to_do(tmp_path):
    other = tmp_path / "bin"
    other.mkdir()
    (other / "mace_run_train").write_text("#!/bin/sh\n")
    (other / "mace_run_train").chmod(0o755)
    done = hint("doctor", "--json", folder=tmp_path, autoload="0", path=str(other))
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["ready"] is False
    wrong = {check["name"]: check["advice"] for check in result["checks"] if check["ok"] is False}
    assert set(wrong) == {"autoload", "import hook", "mace_run_train"}
    assert "hint mace-train" in wrong["autoload"]
    assert "activate this environment" in wrong["mace_run_train"]
    assert {c["found"] for c in result["checks"] if c["name"].startswith("mace.")} == {"wrapped"}


def test_doctor_knows_a_mace_that_it_cannot_wrap(fresh_session):
    fresh_session.wrapped.discard("mace.tools.train")
    fresh_session.problems.append("mace.tools.train: take_step lacks batch: unknown to HINT")
    found = {check.name: check for check in installation.checks()}
    assert found["mace.tools.train"].ok is False
    assert "take_step lacks batch" in found["mace.tools.train"].found
    assert "mace-torch==" in found["mace.tools.train"].advice
    assert not installation.ready(list(found.values()))


def test_tested_versions_are_those_of_the_constraints():
    newest: dict[str, str] = {}
    for name, version in re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.M):
        newest.setdefault(name, version)
    assert "e3nn" not in newest  # NequIP wants another one; mace-torch says itself which
    newest |= dict(
        r.split("==") for r in importlib.metadata.requires("mace-torch") or [] if r.startswith("e3nn==")
    )
    assert {name: newest[name] for name in installation.TESTED} == installation.TESTED


def test_losses_are_offered_and_shown_in_a_group_of_their_own():
    from mace.tools import build_default_arg_parser

    text = build_default_arg_parser().format_help()
    assert all(loss in text for loss in LOSSES)
    assert "\nHINT:\n" in text
