"""Small data, and what the tests of NequIP share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from ase import Atoms
from nequip.utils.global_state import set_global_state
from nequip_runs import (
    CELLS,
    MOLECULES,
    PROJECTED,
    Run,
    command,
    frames_of,
    model_config,
    run_command,
    train,
)


@pytest.fixture
def molecules() -> list[Atoms]:
    return frames_of(MOLECULES)


@pytest.fixture
def cells() -> list[Atoms]:
    return frames_of(CELLS)


@pytest.fixture
def projected() -> list[Atoms]:
    return frames_of(PROJECTED)


@pytest.fixture(autouse=True)
def _as_in_a_process_of_nequip() -> Iterator[None]:
    """NequIP makes float64 the default dtype, once a process; other tests find what they had."""
    before = torch.get_default_dtype()
    set_global_state()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Trained:
    """Checkpoints of short trainings with Hessians, one an architecture, made when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._runs = folder, {}

    def __getitem__(self, kind: str) -> Run:
        if kind not in self._runs:
            self._runs[kind] = train(self.folder / kind, {"training_module.model": model_config(kind)})
        return self._runs[kind]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """``trained["NequIP"]``, ``"Allegro"``, ``"AlphaNet"``: float64, two epochs of the molecules."""
    return Trained(tmp_path_factory.mktemp("trained"))


class Packaged:
    """`nequip-package build` of `Trained`, by the command."""

    def __init__(self, trained: Trained) -> None:
        self.trained, self._paths = trained, {}

    def __getitem__(self, kind: str) -> Path:
        if kind not in self._paths:
            folder = self.trained.folder
            path = folder / f"{kind}.nequip.zip"
            checkpoint = str(self.trained[kind].checkpoint)
            run_command(folder, command("nequip-package"), "build", checkpoint, str(path))
            self._paths[kind] = path
        return self._paths[kind]


@pytest.fixture(scope="session")
def packaged(trained: Trained) -> Packaged:
    """Packages of `trained`, made when they are asked for."""
    return Packaged(trained)
