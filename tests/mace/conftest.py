"""Small data, and one trained model for those who only use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from ase import Atoms
from ase.io import read

from mace_runs import CELLS, MOLECULES, Run, train_hint


@pytest.fixture
def molecules() -> list[Atoms]:
    return read(MOLECULES, ":")


@pytest.fixture
def cells() -> list[Atoms]:
    return read(CELLS, ":")


@pytest.fixture(autouse=True)
def _dtype_is_left_alone() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model of the molecules after eight epochs with ``hint_hutchinson``, and with HINT's fast kernels."""
    return train_hint(
        tmp_path_factory.mktemp("trained"), max_num_epochs=8, lr=0.02, correlation=3, num_interactions=2
    )
