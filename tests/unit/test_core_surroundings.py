"""Devices, precisions and threads that a model finds around itself."""

import os

import pytest
import torch

from hint_plugin.core.devices import default_dtype, usable_device, widest_float
from hint_plugin.errors import OptionsError
from hint_plugin.parallel.threads import THREAD_VARIABLES, one_thread_each


def test_a_device_that_is_there():
    assert usable_device("cpu") == torch.device("cpu")
    with pytest.raises(OptionsError, match="'cuda:99' cannot be used"):
        usable_device("cuda:99")


def test_double_precision_where_it_is():
    assert [widest_float(name) for name in ("cpu", "cuda:1", "mps")] == [
        torch.float64,
        torch.float64,
        torch.float32,
    ]


def test_the_default_dtype_comes_back():
    before = torch.get_default_dtype()
    other = torch.float64 if before is torch.float32 else torch.float32
    with pytest.raises(RuntimeError), default_dtype(other):
        assert torch.get_default_dtype() is other
        raise RuntimeError
    assert torch.get_default_dtype() is before


def test_processes_started_within_have_one_thread(monkeypatch):
    first, *others = THREAD_VARIABLES
    monkeypatch.setenv(first, "7")
    for name in others:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError), one_thread_each():
        assert [os.environ[name] for name in THREAD_VARIABLES] == ["1"] * len(THREAD_VARIABLES)
        raise RuntimeError
    assert os.environ[first] == "7" and not any(name in os.environ for name in others)
