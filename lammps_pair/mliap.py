"""AlphaNet for LAMMPS's ML-IAP (``pair_style mliap unified FILE 0``), for KOKKOS builds on several GPUs.

Every process evaluates its own atoms only. What an atom's neighbours on other processes hold is fetched
before it is used, for the frames and for each round of messages, and gradients go back the same way:

    forward: x_ghost = x_owner,    backward: dE/dx_owner = sum over its ghosts of dE/dx_ghost

so that, unlike `pair_style hint` on many processes, no atom is evaluated twice.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from hint_plugin.core.devices import DTYPES
from hint_plugin.data.file_io import replacing
from hint_plugin.errors import OptionsError
from hint_plugin.models.alphanet import AlphaNet
from hint_plugin.models.registry import architecture_of
from hint_plugin.optional import is_missing

try:
    from lammps.mliap.mliap_unified_abc import MLIAPUnified
except ModuleNotFoundError as missing:
    if not is_missing(missing, "lammps", "lammps.mliap"):
        raise
    # written on a machine without LAMMPS

    class MLIAPUnified:  # type: ignore[no-redef]
        """As LAMMPS has it, as far as it is needed for writing the file."""


class Exchange(torch.autograd.Function):
    """Rows of ghosts are replaced by those of their owners, wherever these are."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, data: Any) -> Tensor:
        """[own atoms and ghosts, ...] -> the same shape."""
        ctx.data = data
        return _exchanged(data.forward_exchange, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Gradients of ghosts are added to those of their owners, and the ghosts have none any more."""
        found = _exchanged(ctx.data.reverse_exchange, gradients[0])
        found[ctx.data.nlocal :] = 0
        return found, None


def _exchanged(exchange: Any, rows: Tensor) -> Tensor:
    flat = rows.flatten(start_dim=1) if rows.dim() > 1 else rows.unsqueeze(1)
    flat = flat.contiguous()
    found = torch.zeros_like(flat)
    exchange(flat, found, flat.shape[1])
    return found.reshape(rows.shape)


class Halo(nn.Module):
    """`Exchange` with the data of the present step; in the model's place for it (`AlphaNet.set_halo`)."""

    def __init__(self) -> None:
        super().__init__()
        self.data: Any = None

    def forward(self, rows: Tensor) -> Tensor:
        """Complete rows."""
        found: Tensor = Exchange.apply(rows, self.data)
        return found


class HintMLIAP(MLIAPUnified):
    """An AlphaNet as ML-IAP wants it.

    Args:
        model: with its atomic energies.

    Raises:
        OptionsError: in `compute_forces`, when LAMMPS has no exchange (it is built without KOKKOS).
    """

    def __init__(self, model: AlphaNet) -> None:
        self.interface = None
        self.model = model.eval().requires_grad_(False)
        self.halo = Halo()
        self.model.set_halo(self.halo)
        numbers = (model.element_index >= 0).nonzero().reshape(-1).tolist()
        self.element_types = [
            chemical_symbols[z] for z in sorted(numbers, key=lambda z: int(model.element_index[z]))
        ]
        self.rcutfac = 0.5 * model.cutoff  # LAMMPS's cutoff is rcutfac x (R_i + R_j), with R = 1
        self.ndescriptors = self.nparams = 1

    def compute_descriptors(self, data: Any) -> None:
        """Nothing: there are none."""

    def compute_gradients(self, data: Any) -> None:
        """Nothing: all is done by `compute_forces`."""

    def compute_forces(self, data: Any) -> None:
        """Energies of the atoms of this process, and dE/dr_ij of its pairs, into LAMMPS's arrays.

        A process that has ghosts only takes part in the exchanges; one that has none either does nothing.
        """
        if not hasattr(data, "forward_exchange"):
            raise OptionsError(
                "HINT by ML-IAP needs a LAMMPS with KOKKOS (lmp -k on g 1 -sf kk); without it use "
                "pair_style hint"
            )
        if not int(data.ntotal):  # neither atoms nor ghosts: the others exchange nothing with this process
            data.energy = 0.0
            return
        own, pairs = int(data.nlocal), int(data.npairs)
        species = torch.as_tensor(data.elems).long()
        self.model.to(species.device)
        self.halo.data = data
        dtype = self.model.atomic_energies.dtype
        try:
            with torch.enable_grad():
                vectors = torch.as_tensor(data.rij).reshape(-1, 3)[:pairs].to(dtype).requires_grad_(True)
                i, j = torch.as_tensor(data.pair_i).long(), torch.as_tensor(data.pair_j).long()
                energies = self.model.node_energies(vectors, i, j, species)[:own]
                (gradient,) = torch.autograd.grad(energies.sum(), vectors)
        finally:
            self.halo.data = None
        total = energies.detach().double() + self.model.atomic_energies[species[:own]].double()
        torch.as_tensor(data.eatoms)[:own] = total
        data.energy = float(total.sum())
        if pairs:
            data.update_pair_forces(gradient.double().contiguous())


#: Architecture, see `hint_plugin.models.registry` -> ML-IAP's class for it.
UNIFIED = {"AlphaNet": HintMLIAP}


def write_mliap(checkpoint: Path, path: Path, dtype: str | None = None) -> HintMLIAP:
    """Writes the file for ``pair_style mliap unified``; a pickle, as LAMMPS wants it.

    Args:
        checkpoint: an AlphaNet of ``mace_run_train``.
        path: of the file, replaced if it exists.
        dtype: "float32" or "float64"; None keeps the checkpoint's.

    Raises:
        OptionsError: not an AlphaNet, an unknown dtype, or a name that LAMMPS gives to `torch.load`, which
            refuses it.
        DataError: see `hint_plugin.mace.predictor.load_model`.
    """
    from hint_plugin.mace.predictor import load_model

    if path.suffix in (".pt", ".pth"):
        raise OptionsError(f"{path}: LAMMPS wants another ending than .pt for a pickle, such as .mliap")
    model: Any = load_model(checkpoint)
    unified_of = UNIFIED.get(architecture_of(model) or "")
    if unified_of is None:
        raise OptionsError(
            f"{checkpoint} holds a {type(model).__name__}; for MACE models there is MACE's own: "
            "mace_create_lammps_model --format=mliap"
        )
    potential = model.potential
    if dtype is not None:
        if dtype not in DTYPES:
            raise OptionsError(f"dtype {dtype}; wanted {' or '.join(DTYPES)}")
        potential.to(DTYPES[dtype])
    potential.atomic_energies.copy_(model.atomic_energies_fn.atomic_energies.reshape(-1))
    unified = unified_of(potential)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(unified, file)
    return unified
