"""Small trainings with MACE's own commands: as a user runs them, or in this process, to save the import."""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import warm
from ase import Atoms
from ase.io import write

from hint_plugin.mace import hook
from hint_plugin.mace.active_options import session

DATA = Path(__file__).parents[1] / "data"
MOLECULES = DATA / "molecules.xyz"
PROJECTED = DATA / "projected.xyz"
CELLS = DATA / "cells.xyz"

#: The smallest training that does all that a large one does.
SMALL = {
    "name": "small",
    "train_file": MOLECULES,
    "valid_fraction": 0.2,
    "E0s": "average",
    "model": "MACE",
    "num_channels": 8,
    "max_L": 0,
    "num_interactions": 1,
    "r_max": 4.0,
    "num_radial_basis": 4,
    "correlation": 2,
    "batch_size": 4,
    "valid_batch_size": 4,
    "max_num_epochs": 1,
    "default_dtype": "float64",
    "device": "cpu",
    "seed": 1,
    "plot": "False",
    "error_table": "PerAtomMAE",
}
HINT = {
    "loss": "hint_hutchinson",
    "hint_weight_start": 1.0,
    "hint_weight_end": 1.0,
    "hint_exact_interval": 1,
    "hint_validation_exact": 2,
}
DISTRIBUTED = {"distributed": True, "launcher": "torchrun"}


def arguments(options: dict[str, Any]) -> list[str]:
    """Options as a command line; True is a flag alone, None leaves the option out."""
    out = []
    for name, value in options.items():
        if value is not None and value is not False:
            out += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return out


@dataclass
class Run:
    """What a training has left in its folder."""

    folder: Path
    name: str
    seed: int

    @property
    def log(self) -> str:
        return (self.folder / "logs" / f"{self.name}_run-{self.seed}.log").read_text()

    @property
    def results(self) -> list[dict[str, Any]]:
        path = self.folder / "results" / f"{self.name}_run-{self.seed}_train.txt"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def of_mode(self, mode: str) -> list[dict[str, Any]]:
        return [line for line in self.results if line["mode"] == mode]

    @property
    def validations(self) -> list[dict[str, Any]]:
        """One line a validation; the first is from before the training."""
        return self.of_mode("eval")

    @property
    def steps(self) -> list[float]:
        """The training loss of each step."""
        return [line["loss"] for line in self.of_mode("opt")]

    @property
    def model_path(self) -> Path:
        return self.folder / f"{self.name}.model"

    def model(self) -> torch.nn.Module:
        return torch.load(self.model_path, weights_only=False)

    def weights(self) -> dict[str, torch.Tensor]:
        return self.model().state_dict()


def run_in_process(main: Any, folder: Path, command: list[str]) -> None:
    """A command of MACE in this process, which is left as it was: folder, arguments, dtype, loggers."""
    hook.install()
    folder.mkdir(parents=True, exist_ok=True)
    before = (Path.cwd(), sys.argv, torch.get_default_dtype(), sys.excepthook)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    os.chdir(folder)
    sys.argv = command
    try:
        main()
    finally:
        os.chdir(before[0])
        sys.argv = before[1]
        torch.set_default_dtype(before[2])
        sys.excepthook = before[3]
        for handler in [h for h in root.handlers if h not in handlers]:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
        session.start(None, labels=False)


def train(folder: Path, **options: Any) -> Run:
    """`mace_run_train` in this process, `SMALL` with other options."""
    hook.install()
    from mace.cli.run_train import main

    merged = {**SMALL, **options}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mace.cli.run_train.jit", None)  # saves the TorchScript copy, a third of the time
        run_in_process(main, folder, ["mace_run_train", *arguments(merged)])
    return Run(folder, str(merged["name"]), int(merged["seed"]))


def train_hint(folder: Path, **options: Any) -> Run:
    """`train` with a HINT loss."""
    return train(folder, **{**HINT, **options})


def killed_in_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch, folder: Path, **options: Any) -> None:
    """`train_hint`, interrupted at the start of an epoch."""
    module = importlib.import_module("mace.tools.train")
    real = module.train_one_epoch

    def killed(*args: Any, **kwargs: Any) -> Any:
        if kwargs["epoch"] == epoch:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(module, "train_one_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            train_hint(folder, **options)


def failing(capsys: pytest.CaptureFixture[str], folder: Path, **options: Any) -> str:
    """The last line of the usage error that a command line ends with."""
    with pytest.raises(SystemExit) as stop:
        train(folder, **options)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def command(name: str) -> str:
    """An installed command of this environment."""
    path = Path(sys.executable).parent / name
    assert path.exists(), f"{path} is not installed"
    return str(path)


def run_command(
    name: str,
    folder: Path,
    options: dict[str, Any],
    *,
    hint: bool = True,
    check: bool = True,
    own: bool = False,
) -> subprocess.CompletedProcess[str]:
    """An installed command: a fork of the warm server, or, if `own`, a process as a user starts it.

    ``hint=False`` keeps HINT out of ``import torch``, which needs a process of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    line, environment = [command(name), *arguments(options)], _environment(hint)
    if own or not hint:
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    else:
        done = warm.run(line, cwd=folder, env=environment)
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def _environment(hint: bool) -> dict[str, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("TORCH_DEVICE_BACKEND_AUTOLOAD", None)
    if not hint:
        environment["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    return environment


def torchrun(
    folder: Path, program: list[str], options: dict[str, Any], *, hint: bool = True
) -> tuple[int, str]:
    """Two processes of a program, by torchrun: (exit status, all output). They must end within 5 minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "localhost"]
    running = subprocess.Popen(
        [*launcher, "--nproc-per-node", "2", *program, *arguments({**options, **DISTRIBUTED})],
        cwd=folder,
        env=_environment(hint),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = running.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        running.terminate()  # torchrun ends its processes then; killed, it could not
        pytest.fail("the processes wait for each other:\n" + running.communicate()[0][-3000:])
    return running.returncode, output


def two_processes(folder: Path, program: list[object], options: dict[str, Any]) -> list[tuple[int, str]]:
    """A program in two forks of the warm server, which have the variables that torchrun sets.

    Of each the exit status and all output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    running = [
        warm.start(
            [*program, *arguments({**options, **DISTRIBUTED})],
            cwd=folder,
            env={**_environment(True), **place, "RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2"},
        )
        for rank in ("0", "1")
    ]
    said = ["".join(process.communicate(timeout=300)) for process in running]
    return [(int(process.returncode or 0), text) for process, text in zip(running, said, strict=True)]


def train_two(folder: Path, **options: Any) -> tuple[Run, list[dict[str, Any]]]:
    """A training with a HINT loss in two processes (`mace_gloo_worker`): the run, what each process saw."""
    merged = {**SMALL, **HINT, **options}
    program = [sys.executable, Path(__file__).with_name("mace_gloo_worker.py")]
    for status, output in two_processes(folder, program, merged):
        assert status == 0, output[-3000:]
    seen = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    return Run(folder, str(merged["name"]), int(merged["seed"])), seen


def weight_in_log(log: str) -> float:
    """lambda_H as the log shows it."""
    found = re.search(r"lambda_H=([0-9.]+)", log)
    assert found is not None
    return float(found.group(1))


def write_frames(path: Path, frames: list[Atoms]) -> Path:
    write(path, frames, format="extxyz")
    return path
