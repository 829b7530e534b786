"""What is checked of a model before its first step, and what is said of it."""

from __future__ import annotations

import logging
import os
import socket
import sys

import mace  # noqa: F401  (before e3nn, which it teaches how to load its constants)
import numpy as np
import pytest
import torch
import warm
from ase import Atoms
from ase.build import molecule
from mace import data, tools
from mace.tools import torch_geometric
from small_mace import small_mace

from hint_plugin.core.losses import MODES, LossMode
from hint_plugin.data import HessianLabel
from hint_plugin.errors import HintError
from hint_plugin.mace.kernels import PairContraction
from hint_plugin.mace.labels import attach
from hint_plugin.mace.survey import survey
from hint_plugin.mace.verify import check_derivatives, check_kernels

NUMBERS = [1, 6, 7, 8]


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)


def loader_of(*frames: Atoms):
    """MACE's loader of frames, all of which have a label."""
    table, items = tools.AtomicNumberTable(NUMBERS), []
    for atoms in frames:
        config = data.config_from_atoms(atoms, key_specification=data.KeySpecification.from_defaults())
        attach(config, HessianLabel.full(np.eye(3 * len(atoms))))
        items.append(data.AtomicData.from_config(config, z_table=table, cutoff=4.0))
    return torch_geometric.dataloader.DataLoader(items, batch_size=1)


def shaken(name: str) -> Atoms:
    atoms = molecule(name)
    atoms.positions += np.random.default_rng(0).normal(0, 0.05, atoms.positions.shape)
    return atoms


def check(model, *frames: Atoms, mode: LossMode = MODES["hutchinson"]) -> None:
    loader = loader_of(*frames)
    check_derivatives(model, mode, survey(loader.dataset), loader, "cpu")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_labelled_structure_with_most_edges_is_compared_and_named(caplog, dtype):
    """A lone atom is first in the file: H v = 0 = differences of forces there, which says nothing."""
    torch.set_default_dtype(dtype)
    caplog.set_level(logging.INFO)
    check(small_mace(NUMBERS, dtype=dtype), Atoms("H"), shaken("CH3OH"), shaken("H2O"))
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("HINT: checked on")]
    assert line.startswith(
        "HINT: checked on CH4O (6 atoms, 30 edges): forces agree with differences of energies to"
    )
    assert "H v agrees with differences of forces to" in line and line.endswith("(relative)")


def test_lone_atoms_alone_are_no_check():
    with pytest.raises(HintError, match="cannot be compared with anything: no labelled structure .* --r_max"):
        check(small_mace(NUMBERS), Atoms("H"), Atoms("O"))


@pytest.mark.parametrize("mode", [MODES["hutchinson"], MODES["difference"]])
def test_forces_that_are_no_derivatives_of_the_energy(mode):
    """MACE's Chebyshev basis: no loss can be right there, so none is advised."""
    with pytest.raises(HintError, match="--radial_type chebyshev is the reason") as error:
        check(small_mace(NUMBERS, radial_type="chebyshev"), shaken("CH3OH"), mode=mode)
    assert "forces of this model differ from differences of its energies by 8" in str(error.value)
    assert "CH4O (6 atoms, 30 edges)" in str(error.value)
    assert "hint_difference" not in str(error.value)


def test_forces_with_a_part_missing(monkeypatch):
    """Another reason than the basis, and one that differences of forces cannot see."""
    model = small_mace(NUMBERS)
    real = model.forward

    def smaller(*args, **kwargs):
        out = real(*args, **kwargs)
        return {**out, "forces": 0.95 * out["forces"]}

    monkeypatch.setattr(model, "forward", smaller)
    with pytest.raises(HintError, match=r"energies by 5\.\de-02 .*no loss of HINT can train this model"):
        check(model, shaken("CH3OH"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kernels_that_fit_pass(dtype):
    torch.set_default_dtype(dtype)
    loader = loader_of(shaken("CH3OH"))
    model = small_mace(NUMBERS, correlation=3, dtype=dtype)
    check_kernels(model, survey(loader.dataset), loader, "cpu")
    assert all(p.grad is None for p in model.parameters())


def test_a_contraction_that_has_changed_is_found(monkeypatch):
    """As in a MACE whose class of this name computes something else."""
    loader, model = loader_of(shaken("CH3OH")), small_mace(NUMBERS, correlation=3)
    real = PairContraction.__call__
    with monkeypatch.context() as patch:
        patch.setattr(PairContraction, "__call__", lambda self, x, y: 1.001 * real(self, x, y))
        with pytest.raises(HintError, match=r"differ from this MACE's own code by .*use --hint_kernels mace"):
            check_kernels(model, survey(loader.dataset), loader, "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(PairContraction, "__call__", lambda self, x, y: torch.nan * real(self, x, y))
        with pytest.raises(HintError, match="by nan"):
            check_kernels(model, survey(loader.dataset), loader, "cpu")
    with monkeypatch.context() as patch:  # the same energies, without a parameter's gradient
        patch.setattr(
            PairContraction, "__call__", lambda self, x, y: real(self, x, y.detach()).detach() + 0 * x.sum()
        )
        with pytest.raises(HintError, match="use --hint_kernels mace"):
            check_kernels(model, survey(loader.dataset), loader, "cpu")
    with monkeypatch.context() as patch:  # its parts have other names
        patch.setattr("hint_plugin.mace.kernels.contraction._coefficient_tables", lambda *a: a[0].other_name)
        with pytest.raises(HintError, match=r"do not fit this MACE \(AttributeError: .*other_name"):
            check_kernels(model, survey(loader.dataset), loader, "cpu")


# -------------------------------------------------------------------------------------------- two processes

WORKER = """
import sys
import torch
from hint_plugin.errors import DataError
from hint_plugin.mace.verify import on_first_process

rank = int(sys.argv[1])
place = f"tcp://127.0.0.1:{sys.argv[2]}"
torch.distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=2)
on_first_process(rank, "cpu", lambda: print("looked", rank))

def bad():
    raise DataError("frame 7 is malformed")

try:
    on_first_process(rank, "cpu", bad)
except DataError as error:
    print("first:", error)
except Exception as error:
    print("other:", error)
"""


def test_an_error_of_the_first_process_ends_all():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [
        warm.start([sys.executable, "-c", WORKER, rank, port], env={**os.environ, "OMP_NUM_THREADS": "1"})
        for rank in (0, 1)
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert said == [
        "looked 0\nfirst: frame 7 is malformed\n",
        "other: process 0 has stopped: DataError: frame 7 is malformed\n",
    ]
