"""A pair potential as an artifact: a few kilobytes, made in a moment, without any framework."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hint_plugin.artifact.contract import EdgeContract
from hint_plugin.artifact.metadata import Metadata
from hint_plugin.artifact.scripted import write_artifact


class Morse(nn.Module):
    """E = sum of pairs D [(1 - exp(-a (r - r0)))^2 - 1] s(r), s falling smoothly to 0 at the cutoff."""

    def __init__(self, depth: float, width: float, distance: float, cutoff: float) -> None:
        super().__init__()
        self.depth, self.width, self.distance, self.cutoff = depth, width, distance, cutoff
        self.register_buffer("e0", torch.tensor([-1.0, -2.0], dtype=torch.float64))

    def forward(self, vectors: Tensor, edge_index: Tensor, species: Tensor) -> Tensor:
        """r_ij [E, 3], (i, j) [2, E], species [N] -> energies [N], eV."""
        r = vectors.square().sum(dim=-1).sqrt()
        x = (r / self.cutoff).clamp(max=1.0)
        smooth = (1.0 - x * x) ** 3
        well = self.depth * ((1.0 - torch.exp(-self.width * (r - self.distance))) ** 2 - 1.0)
        return self.e0.index_select(0, species).index_add(0, edge_index[0], 0.5 * (well * smooth).double())


def write_pair(
    path: Path,
    species: Sequence[str] = ("Al", "Cu"),
    *,
    depth: float = 0.4,
    width: float = 1.6,
    distance: float = 2.5,
    cutoff: float = 3.4,
    edges: nn.Module | None = None,
    **about: Any,
) -> Path:
    """Writes the artifact; `edges` in the potential's place, `about`: more of its metadata."""
    metadata = Metadata("Morse", tuple(species), cutoff, 1, "float64", 0, **about)
    contract = EdgeContract(edges or Morse(depth, width, distance, cutoff), metadata.facts())
    write_artifact(contract, metadata, path, lambda _: {})
    return path
