"""The registry of architectures, and the tables of MACE's and LAMMPS's sides that are keyed by its names."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from hint_plugin.models.alphanet import SIZES, AlphaNet
from hint_plugin.models.registry import ARCHITECTURES, architecture_of


def small() -> AlphaNet:
    return AlphaNet([1, 8], SIZES["small"], average_neighbours=3.0)


def test_a_model_is_recognised_in_whatever_it_is_wrapped() -> None:
    model = small()
    assert architecture_of(model) == "AlphaNet"
    assert architecture_of(torch.nn.ModuleDict({"potential": model})) == "AlphaNet"
    assert architecture_of(torch.nn.Linear(1, 1)) is None
    assert architecture_of(None) is None and architecture_of({"model": model}) is None


def test_a_model_of_a_package_of_nequip() -> None:
    """Its classes are others, whose modules have the same names with the package's before them."""
    model = small()
    copy = type("AlphaNet", (torch.nn.Module,), {})
    copy.__module__ = f"<torch_package_0>.{AlphaNet.__module__}"
    assert architecture_of(copy()) == "AlphaNet"
    copy.__module__ = f"somebody.{AlphaNet.__module__}"
    assert architecture_of(copy()) is None and architecture_of(model) == "AlphaNet"


def test_the_registry_imports_no_model() -> None:
    code = (
        "import sys; from hint_plugin.models.registry import architecture_of as f; import torch; "
        "f(torch.nn.Linear(1, 1)); print([m for m in sys.modules if 'alphanet' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tables_of_the_sides() -> None:
    """Each name of them is one of the registry, and each module has the functions that are asked for."""
    pytest.importorskip("mace", reason="needs MACE")
    from hint_plugin.mace.architectures import IN_PLACE_OF_MACE, in_place_of_mace, trained
    from lammps_pair.mliap import UNIFIED

    assert set(IN_PLACE_OF_MACE) <= set(ARCHITECTURES) and set(UNIFIED) <= set(ARCHITECTURES)
    for found in IN_PLACE_OF_MACE.values():
        assert all(callable(found.option(name)) for name in ("add_arguments", "check_model_options"))
        for name in ("configure_model", "parameter_options", "in_place", "edges"):
            assert callable(found.function(name))
    own = IN_PLACE_OF_MACE["AlphaNet"]
    assert in_place_of_mace(small()) is own and in_place_of_mace(torch.nn.Linear(1, 1)) is None
    assert trained("AlphaNet", None) is own and trained("MACE", small()) is own
    assert trained("MACE", None) is None and trained("ScaleShiftMACE", torch.nn.Linear(1, 1)) is None
