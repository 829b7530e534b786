"""AlphaNet as a module of NequIP; `nequip-package` copies this file: it imports no hydra and no builder."""

import torch
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn._graph_mixin import GraphModuleMixin
from nequip.nn.utils import with_edge_vectors_

from hint_plugin.models.alphanet.config import AlphaNetConfig
from hint_plugin.models.alphanet.model import AlphaNet
from hint_plugin.models.alphanet.radial import Repulsion


@compile_mode("script")
class AlphaNetEnergies(GraphModuleMixin, torch.nn.Module):
    """Interaction energy of each atom, without repulsion, scale and shift.

    Args:
        atomic_numbers: Z of the model's types, in their order.
        config: sizes; its repulsion is left to `RepulsionEnergies`, which is not scaled.
        average_neighbours: of the training data.
    """

    def __init__(self, atomic_numbers: list[int], config: AlphaNetConfig, average_neighbours: float) -> None:
        super().__init__()
        self.potential = AlphaNet(atomic_numbers, config, average_neighbours=average_neighbours)
        self._init_irreps(irreps_out={AtomicDataDict.PER_ATOM_ENERGY_KEY: "0e"})  # type: ignore[operator]

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Adds the energies, [N, 1]."""
        data = with_edge_vectors_(data, with_lengths=False)
        vectors = data[AtomicDataDict.EDGE_VECTORS_KEY].to(self.potential.scale.dtype)
        edges = data[AtomicDataDict.EDGE_INDEX_KEY]
        species = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        energies = self.potential.node_energies(vectors, edges[0], edges[1], species)
        data[AtomicDataDict.PER_ATOM_ENERGY_KEY] = energies.unsqueeze(-1)
        return data


@compile_mode("script")
class RepulsionEnergies(GraphModuleMixin, torch.nn.Module):
    """Adds AlphaNet's short-range repulsion to the energies of the atoms."""

    def __init__(self, atomic_numbers: list[int], irreps_in: dict) -> None:
        super().__init__()
        self.repulsion = Repulsion(atomic_numbers)
        self._init_irreps(  # type: ignore[operator]
            irreps_in=irreps_in,
            irreps_out={AtomicDataDict.PER_ATOM_ENERGY_KEY: irreps_in[AtomicDataDict.PER_ATOM_ENERGY_KEY]},
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Adds to the energies, [N, 1]."""
        data = with_edge_vectors_(data, with_lengths=False)
        vectors = data[AtomicDataDict.EDGE_VECTORS_KEY]
        edges = data[AtomicDataDict.EDGE_INDEX_KEY]
        species = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        r = (vectors * vectors).sum(-1, keepdim=True).sqrt()
        species_i, species_j = species.index_select(0, edges[0]), species.index_select(0, edges[1])
        pairs = self.repulsion(r, species_i, species_j)
        energies = data[AtomicDataDict.PER_ATOM_ENERGY_KEY]
        total = torch.zeros_like(energies[:, 0]).index_add(0, edges[0], pairs.to(energies.dtype))
        data[AtomicDataDict.PER_ATOM_ENERGY_KEY] = energies + total.unsqueeze(-1)
        return data
