"""What MACE has to be told of data that it reads frame by frame: ``--statistics_file``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import vesin
from ase import Atoms

from hint_plugin.data import LabelKeys
from hint_plugin.data.files import replacing
from hint_plugin.errors import DataError, OptionsError


def statistics(frames: Iterable[Atoms], r_max: float, keys: LabelKeys | None = None) -> dict[str, Any]:
    """MACE's statistics of a training set, in one pass and constant memory.

    Energies of single atoms E0 by least squares of E ~ sum_z n_z E0_z (as ``--E0s average``), or those of the
    data's isolated atoms; mean of (E - sum E0)/N; root mean square of the force components ("std"); mean
    number of neighbours within r_max.

    Args:
        frames: with energies and forces; may be a generator.
        r_max: the cutoff that the model will have, A.
        keys: where energies and forces are.

    Raises:
        DataError: no frame has an energy, or none has forces.
        OptionsError: r_max is not positive.
    """
    keys = keys or LabelKeys()
    if not r_max > 0:
        raise OptionsError(f"r_max {r_max}; wanted a cutoff in A, above 0")
    neighbours = vesin.NeighborList(cutoff=r_max, full_list=True)
    gram, right = np.zeros((119, 119)), np.zeros(119)  # normal equations
    per_atom, energy_per_atom = np.zeros(119), 0.0  # of the mean
    alone: dict[int, float] = {}
    atoms_seen = pairs = n_energies = n_forces = 0
    squares = 0.0
    for atoms in frames:
        energy, forces = atoms.info.get(keys.energy), atoms.arrays.get(keys.forces)
        if energy is not None:
            energy = float(energy)
            if len(atoms) == 1 and atoms.info.get("config_type") == "IsolatedAtom":
                alone[int(atoms.numbers[0])] = energy
                continue
            count = np.bincount(atoms.numbers, minlength=119).astype(float)
            gram += np.outer(count, count)
            right += energy * count
            per_atom += count / len(atoms)
            energy_per_atom += energy / len(atoms)
            n_energies += 1
        if forces is not None:
            squares += float((np.asarray(forces, dtype=float) ** 2).sum())
            n_forces += 3 * len(atoms)
        cell = atoms.cell.array if atoms.pbc.any() else np.zeros((3, 3))
        pairs += len(neighbours.compute(atoms.positions, cell, atoms.pbc, "i")[0])
        atoms_seen += len(atoms)
    for what, count_, key in (("energies", n_energies, keys.energy), ("forces", n_forces, keys.forces)):
        if count_ == 0:
            raise DataError(f"no frame has {what} ({key}); label the data first")
    numbers = sorted(int(z) for z in np.flatnonzero(per_atom))
    block = np.ix_(numbers, numbers)
    fitted = np.linalg.lstsq(gram[block], right[numbers], rcond=None)[0]
    e0s = {z: alone.get(z, float(value)) for z, value in zip(numbers, fitted, strict=True)}
    mean = (energy_per_atom - sum(per_atom[z] * e0s[z] for z in numbers)) / n_energies
    return {
        "atomic_energies": str(e0s),  # MACE reads Python's own notation
        "avg_num_neighbors": pairs / atoms_seen,
        "mean": float(mean),
        "std": float(np.sqrt(squares / n_forces)),
        "atomic_numbers": str(numbers),
        "r_max": r_max,
    }


def write_statistics(frames: Iterable[Atoms], r_max: float, path: Path) -> dict[str, Any]:
    """`statistics` as the JSON file that ``mace_run_train --statistics_file`` reads."""
    found = statistics(frames, r_max)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(found, indent=2) + "\n")
    return found
