"""Checkpoints with random weights, and structures of every kind."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from small_mace import small_mace

from hint_plugin.artifact.metadata import ENTRY, read_metadata
from hint_plugin.core.devices import DTYPES
from hint_plugin.models.alphanet import AlphaNet, AlphaNetConfig

NUMBERS = [1, 6, 8, 14, 29]
E0S = [-13.6, -1030.0, -2042.0, -7860.0, -45000.0]


def small_alphanet(dtype: torch.dtype, layers: int = 2) -> AlphaNet:
    """Layers of eight channels, as trained from nothing."""
    torch.manual_seed(0)
    config = AlphaNetConfig(
        channels=8, node_width=1, layers=layers, frame_channels=4, edge_channels=8, cutoff=4.0, bessel=4
    )
    return AlphaNet(NUMBERS, config, average_neighbours=8.0, atomic_energies=E0S, scale=2.0).to(dtype)


def make_checkpoint(
    kind: str, dtype: str, folder: Path, *, correlation: int = 3, max_ell: int = 2, layers: int = 2
) -> Path:
    """A saved model that `hint export` reads; `correlation` and `max_ell` are MACE's, `layers` AlphaNet's."""
    path = folder / f"{kind}_{dtype}.model"
    model: Any = small_alphanet(DTYPES[dtype], layers)
    if kind == "mace":
        model = small_mace(
            NUMBERS,
            correlation=correlation,
            max_ell=max_ell,
            energies=np.array(E0S),
            scale=2.0,
            dtype=DTYPES[dtype],
        )
    torch.save(model, path)
    return path


def structures() -> dict[str, Atoms]:
    """Molecules, a triclinic crystal, a slab, a box smaller than the cutoff, lone atoms; none at rest."""
    rng = np.random.default_rng(1)
    slab = fcc111("Cu", (2, 2, 3), vacuum=6.0)
    slab.pbc = [True, True, False]
    triclinic = bulk("Si").repeat((2, 2, 1))
    triclinic.set_cell(triclinic.cell.array @ [[1, 0.1, 0], [0, 1, -0.07], [0.03, 0, 1]], scale_atoms=True)
    wire = Atoms("SiO", [[0, 0, 0], [1.6, 0.3, 0.2]], cell=[3.4, 0, 0], pbc=[True, False, False])
    found = {
        "ethanol": molecule("CH3CH2OH"),
        "water": molecule("H2O"),
        "triclinic": triclinic,
        "slab": slab,
        "box smaller than the cutoff": bulk("Cu", cubic=True),
        "wire": wire,
        "isolated atoms": Atoms("CHO", [[0, 0, 0], [0, 0, 30], [30, 0, 0]]),
        "one atom": Atoms("O", [[1, 2, 3]]),
    }
    for atoms in found.values():
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    return found


def rewritten(path: Path, to: Path, entries: dict[str, bytes]) -> Path:
    """A copy of an archive with some entries (by the end of their name) replaced."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            data = next((d for end, d in entries.items() if name.endswith(end)), None)
            new.writestr(name, old.read(name) if data is None else data)
    return to


def changed(path: Path, to: Path, **values: object) -> Path:
    """A copy with other metadata, as a HINT of before would have written them: without a digest."""
    metadata = json.loads(read_metadata(path).to_json()) | values
    del metadata["digest"]
    return rewritten(path, to, {f"extra/{ENTRY}": json.dumps(metadata).encode()})
