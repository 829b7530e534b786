"""How much of everything, by the size of the set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Amounts:
    """Of one set; a change of any number, or of the seed, makes another set.

    Attributes:
        heavy: atoms of C, N, O in a molecule, at most.
        items: molecules; each has its own frames and those of a reaction.
        shard: items in a shard.
        chosen: frames of an item that are labelled besides its stationary points, in the training part.
        held_out: the same in validation and test, where all have full Hessians.
        saddles: the part of the training's reactions whose saddle is looked for.
        test_reactions: of an item of the test part, at most: until a saddle is found.
        full: the part of the chosen training frames that have a full Hessian; the others have pairs.
        probes: K, pairs (v, Hv) of the others.
        seed: of everything.
    """

    heavy: int = 7
    items: int = 1900
    shard: int = 50
    chosen: int = 27
    held_out: int = 10
    saddles: float = 0.25
    test_reactions: int = 2
    full: float = 0.05
    probes: int = 4
    seed: int = 0

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.items // self.shard)

    def of_shard(self, shard: int) -> range:
        """The numbers of its items."""
        return range(shard * self.shard, min(self.items, (shard + 1) * self.shard))


SIZES = {
    "tiny": Amounts(heavy=3, items=4, shard=2, chosen=6, held_out=4, saddles=0.5, full=0.2),
    "small": Amounts(items=360, shard=40),
    "full": Amounts(),
}
LARGEST_FORCE = 25.0  #: eV/A, of all frames but those of atoms that are pushed together
LARGEST_CLOSE = 80.0  #: eV/A, of these
