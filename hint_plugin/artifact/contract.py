"""What an artifact computes: the edge contract.

    (edge vectors, edges, species, mask) -> (energies of the atoms, dE/d edge vector)

Everything geometric enters by edge vectors r_ij = r_j - r_i + S @ cell, so that a caller is free in how it
holds its atoms: LAMMPS with its ghosts, i-PI with its beads, a batch of structures side by side. Forces and
virial follow from the same gradients g_ij = dE/dr_ij:

    F_i = sum_j g_ij - sum_j g_ji,        W = - sum_ij r_ij (x) g_ij = -dE/d strain
"""

from typing import Optional

import torch
from torch import Tensor, nn


class EdgeContract(nn.Module):
    """The scripted root of every artifact.

    Args:
        edges: module (r [E, 3], edges [2, E], species [N]) -> energies of the atoms [N], float64, E0s
            included; edges in both directions, row 0 the atom whose surroundings an edge is part of.
        facts: what a caller must know before it can call: see `hint_plugin.artifact.metadata.Metadata.facts`.
    """

    facts: dict[str, str]

    def __init__(self, edges: nn.Module, facts: dict[str, str]) -> None:
        super().__init__()
        self.model = edges
        self.facts = facts

    def forward(
        self, vectors: Tensor, edge_index: Tensor, species: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Energies and their gradients; the caller must not have switched gradients off.

        Args:
            vectors: r_ij [E, 3], A, in the model's dtype. Pairs beyond the cutoff add nothing.
            edge_index: i and j [2, E].
            species: of each atom [N], index into the metadata's species.
            mask: [N], 1 for atoms whose energy counts, 0 for others (ghosts).

        Returns:
            energies of all atoms [N] in eV, float64, and the gradient of those that count, [E, 3] in eV/A.
        """
        leaf = vectors.detach().requires_grad_(True)
        energies = self.model(leaf, edge_index, species)
        total = (energies * mask.to(energies.dtype)).sum()
        gradient = torch.jit.annotate(Optional[Tensor], None)  # noqa: UP045
        if total.requires_grad:
            gradient = torch.autograd.grad([total], [leaf], allow_unused=True)[0]
        if gradient is None:
            gradient = torch.zeros_like(leaf)
        return energies.detach(), gradient

    @torch.jit.export
    def energies(self, vectors: Tensor, edge_index: Tensor, species: Tensor) -> Tensor:
        """Energies of the atoms [N] with their graph, for derivatives of any order."""
        return self.model(vectors, edge_index, species)
