"""Ranking by energy among stoichiometric isomers: frames with the same formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.sampling.budget import chosen_count
from hint_plugin.sampling.population import Population

Rank = Literal["high", "low"]


@dataclass(frozen=True)
class EnergyOrder:
    """What a ranking has found.

    Attributes:
        order: chosen frames in random order, so that any first part is a random part of them.
        relative: [frames], eV/atom, relative to the mean of the frame's formula.
        rank: [frames], 0 for the highest (or lowest) of its formula.
        size: [frames], how many frames have its formula.
        singles: frames that are the only ones of their formula.
    """

    order: NDArray[np.int64]
    relative: NDArray[np.float64]
    rank: NDArray[np.int64]
    size: NDArray[np.int64]
    singles: int


def energy_order(
    population: Population,
    rank: Rank,
    n: int | None,
    fraction: float | None,
    seed: int,
    energy_key: str = "REF_energy",
) -> EnergyOrder:
    """The extreme energies of each formula.

    A formula with m frames gets its share f m of the choice, f = n / (frames of formulas that occur twice);
    shares are rounded by the method of largest remainders, so that they add up to n, the larger formula first
    where remainders are equal. Total energies of different compositions are never compared.

    Args:
        population: with energies.
        rank: "high" or "low" energies.
        n, fraction: how many, of the frames that can be ranked.
        seed: of the order of the chosen.
        energy_key: for the message.

    Raises:
        DataError: a frame has no energy.
        OptionsError: nothing can be ranked, or more frames are wanted than can.
    """
    if rank not in get_args(Rank):
        raise OptionsError(f"rank {rank!r}; wanted high or low")
    energies = population.energies
    assert energies is not None, "survey() was not asked for energies"
    missing = ~np.isfinite(energies)
    if missing.any():
        raise DataError(
            f"{population.name(int(missing.argmax()))} has no {energy_key}, nor have "
            f"{int(missing.sum()) - 1} others. "
            "Label them first: hint label --hessian none; or give --energy-key"
        )
    counts = np.bincount(population.formula, minlength=len(population.formulas))
    size = counts[population.formula]
    ranked = int((size > 1).sum())
    if not ranked:
        raise OptionsError("every formula occurs once: there are no isomers to rank by energy")
    if n is not None and n > ranked:
        raise OptionsError(f"-n {n}: {ranked} of {len(population)} frames have isomers and can be ranked")
    wanted = chosen_count(n, fraction, ranked)
    shares = _shares(np.where(counts > 1, counts, 0), wanted)
    place = np.zeros(len(population), dtype=np.int64)
    relative = np.zeros(len(population))
    for formula in np.flatnonzero(counts):
        members = np.flatnonzero(population.formula == formula)
        per_atom = energies[members] / population.n_atoms[members]
        relative[members] = per_atom - per_atom.mean()
        ordered = members[np.argsort(-per_atom if rank == "high" else per_atom, kind="stable")]
        place[ordered] = np.arange(len(members))
    chosen = np.flatnonzero(place < shares[population.formula])
    order = np.random.default_rng(seed).permutation(chosen)
    return EnergyOrder(order, relative, place, size, int((size == 1).sum()))


def _shares(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    quota = counts * (total / counts.sum())
    shares = np.floor(quota + 1e-9).astype(np.int64)
    # a share never passes its count: quota <= count, and where it is equal nothing remains
    remainder = np.round(quota - shares, 9)
    rest = total - int(shares.sum())
    first = np.lexsort((np.arange(len(counts)), -counts, -remainder))[:rest]
    shares[first] += 1
    return shares
