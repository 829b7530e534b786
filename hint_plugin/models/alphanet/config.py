"""What an AlphaNet is made of, and the three sizes that have a name."""

# No `from __future__ import annotations`: a packaged model (torch.package) holds this file, and a dataclass
# there cannot look up annotations that are text.
import dataclasses
from dataclasses import dataclass
from typing import Any

from hint_plugin.errors import OptionsError


@dataclass(frozen=True)
class AlphaNetConfig:
    """Options of `AlphaNet`, all of them numbers that a JSON file can hold.

    Attributes:
        channels: H, scalars and vectors of each atom.
        node_width: width of the hidden layers of an atom's networks, in H. Atoms are many times fewer than
            edges, so parameters are cheap here.
        layers: L, rounds of messages. An atom feels others up to L + 1 neighbours away.
        cutoff: r_c, A: atoms farther apart exchange no message.
        bessel: number of radial functions.
        frame_channels: F, vectors of an atom's surroundings that are looked at in the frames of its edges,
            and tensors of each higher rank.
        frame_rank: of those tensors, 1 (vectors only) to 3: how finely angles between neighbours are
            resolved.
        edge_channels: R, width of what is known about an edge.
        repulsion: add the Ziegler-Biersack-Littmark repulsion at short distances.
    """

    channels: int = 64
    node_width: int = 1
    layers: int = 2
    cutoff: float = 5.0
    bessel: int = 8
    frame_channels: int = 16
    frame_rank: int = 3
    edge_channels: int = 64
    repulsion: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "node_width", "layers", "bessel", "frame_channels", "edge_channels"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise OptionsError(f"AlphaNet: {name} is {value!r}; wanted a whole number of 1 or more")
        if self.frame_rank not in (1, 2, 3):
            raise OptionsError(f"AlphaNet: frame_rank is {self.frame_rank!r}; wanted 1, 2 or 3")
        if not self.cutoff > 0:
            raise OptionsError(f"AlphaNet: cutoff is {self.cutoff!r}; wanted a positive length in A")

    @property
    def hops(self) -> int:
        """How many neighbours away an atom can be and still change another's energy."""
        return self.layers + 1

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `AlphaNetConfig(**found)` is the way back."""
        return dataclasses.asdict(self)


#: `small` is for a workstation and for small data; `large` has the published sizes for materials (4 layers of
#: 176 channels, 5 A, 4.8 M parameters); `medium` has about a million parameters.
SIZES: dict[str, AlphaNetConfig] = {
    "small": AlphaNetConfig(),
    "medium": AlphaNetConfig(channels=128, node_width=2, layers=3, frame_channels=32, edge_channels=128),
    "large": AlphaNetConfig(channels=176, node_width=4, layers=4, frame_channels=24, edge_channels=128),
}
