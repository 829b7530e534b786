"""MACE's default architecture, as the benchmarks compare with it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import types
from typing import Any


def without_pictures() -> None:
    """Where matplotlib is missing, let MACE's training be imported: its plotter stands in as a bare name.

    `mace.tools.train` imports what draws the curves of a training, and `take_step` draws none.
    """
    name = "mace.cli.visualise_train"
    if importlib.util.find_spec("matplotlib") is None and name not in sys.modules:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].TrainingPlotter = object  # type: ignore[attr-defined]


def make_mace(
    elements: list[int], *, channels: int = 128, max_l: int = 1, neighbours: float = 20.0, scale: float = 1.0
) -> Any:
    """A ScaleShiftMACE of two layers with ``channels`` scalars, vectors, ... up to order ``max_l``, 5 A."""
    with contextlib.redirect_stdout(io.StringIO()):  # it says that cuEquivariance is missing
        from mace import modules  # before e3nn, whose files it allows torch to load
    import numpy as np
    import torch
    from e3nn import o3

    blocks = modules.interaction_classes
    return modules.ScaleShiftMACE(
        r_max=5.0,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=blocks["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=blocks["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(elements),
        hidden_irreps=o3.Irreps([(channels, (order, (-1) ** order)) for order in range(max_l + 1)]),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros(len(elements)),
        avg_num_neighbors=neighbours,
        atomic_numbers=elements,
        correlation=3,
        atomic_inter_scale=scale,
        atomic_inter_shift=0.0,
    )
