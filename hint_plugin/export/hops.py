"""How far an atom sees, measured on the model itself."""

from __future__ import annotations

import torch

from hint_plugin.artifact.contract import EdgeContract
from hint_plugin.errors import DataError

#: More rounds of messages than any known potential has.
LIMIT = 12


def measure_hops(contract: EdgeContract, cutoff: float, elements: int, dtype: torch.dtype) -> int:
    """Number of edges that an atom's energy reaches along.

    A zigzag chain is made in which only neighbours are within the cutoff. If the energy of its first atom
    has a gradient with respect to the edge between atoms h-1 and h, but none farther away, the model has h
    hops: a domain needs ghosts up to h x cutoff. Chains of every element and of mixed ones are tried.

    Raises:
        DataError: the end of the chain is felt, `LIMIT` hops away.
    """
    rng = torch.Generator().manual_seed(0)
    found = 0
    chains = [torch.full((LIMIT + 1,), z) for z in range(elements)]
    chains += [torch.randint(0, elements, (LIMIT + 1,), generator=rng) for _ in range(4)]
    for species in chains:
        steps = torch.rand(LIMIT, 3, generator=rng, dtype=torch.float64) - 0.5
        steps[:, 0] = 4.0  # along x: two steps are never within the cutoff
        steps *= 0.6 * cutoff / torch.linalg.vector_norm(steps, dim=-1, keepdim=True)
        first = torch.arange(LIMIT)
        edges = torch.stack([torch.cat([first, first + 1]), torch.cat([first + 1, first])])
        mask = torch.zeros(LIMIT + 1)
        mask[0] = 1.0
        _, gradient = contract(torch.cat([steps, -steps]).to(dtype), edges, species, mask)
        felt = gradient.abs().amax(dim=-1).reshape(2, LIMIT).amax(dim=0).nonzero()
        found = max(found, int(felt.max()) + 1 if len(felt) else 0)
    if found >= LIMIT:
        raise DataError(
            f"the model's atoms feel others {LIMIT} neighbours away: global models cannot be exported"
        )
    return found
