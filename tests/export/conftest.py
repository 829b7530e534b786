"""Artifacts of every kind of checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mace")

from artifacts import make_checkpoint

from hint_plugin.export.checkpoint_to_artifact import export


@pytest.fixture(scope="session", params=["mace", "alphanet"])
def kind(request: pytest.FixtureRequest) -> str:
    """The architecture."""
    return str(request.param)


@pytest.fixture(scope="session", params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> str:
    """Of the checkpoint."""
    return str(request.param)


@pytest.fixture(scope="session")
def checkpoint(kind: str, dtype: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    return make_checkpoint(kind, dtype, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def artifact(checkpoint: Path) -> Path:
    """Its artifact."""
    path = checkpoint.with_suffix(".hint.pt")
    export(checkpoint, path)
    return path


@pytest.fixture(scope="session")
def alphanet_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a float64 AlphaNet: the small file for tests of the file itself."""
    folder = tmp_path_factory.mktemp("alphanet")
    path = folder / "model.hint.pt"
    export(make_checkpoint("alphanet", "float64", folder), path)
    return path
