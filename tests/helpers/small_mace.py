"""A MACE model of a few channels with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mace  # noqa: F401  (before e3nn, which it teaches how to load its constants)
import numpy as np
import torch
from e3nn import o3
from mace import modules


def small_mace(
    numbers: Sequence[int],
    irreps: str = "4x0e + 4x1o",
    *,
    correlation: int = 2,
    max_ell: int = 2,
    energies: Any = None,
    scale: float = 1.0,
    heads: Sequence[str] = ("Default",),
    dtype: torch.dtype = torch.float64,
    interaction: str = "RealAgnosticResidualInteractionBlock",
    radial_type: str = "bessel",
) -> Any:
    """The same weights at every call.

    Args:
        numbers: atomic numbers of the elements.
        irreps: hidden features.
        correlation: order of the product basis.
        max_ell: largest order of the spherical harmonics.
        energies: of the lone atoms, eV; zeros by default.
        scale: of the interaction energy.
        heads: names of the heads.
        dtype: of the parameters.
        interaction: MACE's name of the block.
        radial_type: MACE's name of the radial basis.
    """
    block = modules.interaction_classes[interaction]
    energies = np.zeros(len(numbers)) if energies is None else energies
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    try:
        return modules.ScaleShiftMACE(
            r_max=4.0,
            num_bessel=4,
            num_polynomial_cutoff=5,
            max_ell=max_ell,
            interaction_cls=block,
            interaction_cls_first=block,
            num_interactions=2,
            num_elements=len(numbers),
            hidden_irreps=o3.Irreps(irreps),
            MLP_irreps=o3.Irreps("4x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.tile(energies, (len(heads), 1)),
            avg_num_neighbors=4.0,
            atomic_numbers=list(numbers),
            correlation=correlation,
            radial_type=radial_type,
            atomic_inter_scale=[scale] * len(heads),
            atomic_inter_shift=[0.0] * len(heads),
            heads=list(heads),
        )
    finally:
        torch.set_default_dtype(before)
