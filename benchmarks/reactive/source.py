"""Geometries of another set in place of those that are made here: Transition1x, HORM, any that HINT reads.

Energies, forces and Hessians that the file has are left behind: all labels of the set are of one level.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

from hint_plugin.data import FrameStore, iter_frames, write_frames
from hint_plugin.data.sets.frames import count_frames
from hint_plugin.data.structures.electrons import ELECTRON_INFO
from hint_plugin.errors import DataError
from reactive.amounts import Amounts
from reactive.splits import part_of

_RATIO = 2  # candidates for each chosen frame


def gather(file: Path, target: Path, amounts: Amounts) -> None:
    """A store of as many geometries of a file as the set wants candidates, chosen at random, in its order.

    Args:
        file: of any format that HINT reads; it is read twice.
        target: the store; appears whole or not at all. What is there is not made again.
        amounts: of the set.

    Raises:
        DataError: no frames, periodic ones, or other elements than H, C, N, O.
    """
    if target.exists():
        return
    wanted = _RATIO * amounts.chosen * amounts.items
    total = count_frames(file)
    if not total:
        raise DataError(f"{file}: no frames")
    rng = np.random.default_rng(amounts.seed)
    mask = np.zeros(total, dtype=bool)
    mask[rng.choice(total, min(wanted, total), replace=False)] = True
    kept = ((k, a) for k, a in enumerate(iter_frames(file)) if mask[k])
    write_frames(target, (geometry(a, f"{file}, frame {k}", amounts) for k, a in kept))


def geometry(atoms: Atoms, place: str, amounts: Amounts) -> Atoms:
    """A structure without labels, with `info` of its part. Raises DataError for what cannot be in the set."""
    if atoms.pbc.any() or set(atoms.numbers.tolist()) - {1, 6, 7, 8}:
        raise DataError(
            f"{place} is {atoms.symbols}, periodic: {bool(atoms.pbc.any())}; wanted molecules of H C N O"
        )
    formula = atoms.get_chemical_formula()
    name = ":".join(str(atoms.info.get(key, "")) for key in ("formula", "reaction", "name")).strip(":")
    part = part_of(formula, [name or formula], amounts.seed)
    electrons = {key: atoms.info[key] for key in ELECTRON_INFO if key in atoms.info}
    info = {"kind": "source", "part": part, "name": name or formula, **electrons}
    return Atoms(atoms.numbers, atoms.positions, info=info)


def of_shard(store: Path, shard: int, amounts: Amounts) -> list[Atoms]:
    """The geometries of one shard, of a fixed shuffle of all."""
    return list(_of_shard(store, shard, amounts))


def _of_shard(store: Path, shard: int, amounts: Amounts) -> Iterator[Atoms]:
    with FrameStore.open(store) as frames:
        order = np.random.default_rng([amounts.seed, 1]).permutation(len(frames))
        for k, number in enumerate(np.sort(order[shard :: amounts.shards]).tolist()):
            atoms = frames[number]
            atoms.info["item"] = k // (_RATIO * amounts.chosen)
            yield atoms
