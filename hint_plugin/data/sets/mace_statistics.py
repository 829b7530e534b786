"""What MACE has to be told of data that it reads frame by frame: ``--statistics_file``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.file_io import write_json
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.real_numbers import real_numbers
from hint_plugin.data.sets.statistics import Compositions, makeup_of
from hint_plugin.errors import DataError, OptionsError


class MaceStatistics:
    """MACE's statistics of a training set, in one pass and constant memory.

    Energies of single atoms E0 by least squares of E ~ sum_z n_z E0_z (as ``--E0s average``), or those of the
    data's isolated atoms; mean of (E - sum E0)/N; root mean square of the force components ("std"); mean
    number of neighbours within r_max.

    Args:
        r_max: the cutoff that the model will have, A.
        keys: where energies and forces are.

    Raises:
        OptionsError: r_max is not positive.
    """

    def __init__(self, r_max: float, keys: LabelKeys | None = None) -> None:
        if not r_max > 0:
            raise OptionsError(f"r_max {r_max}; wanted a cutoff in A, above 0")
        import vesin  # which loads torch, and `hint dataset` starts at once without

        self.r_max, self.keys = r_max, keys or LabelKeys()
        self._neighbours = vesin.NeighborList(cutoff=r_max, full_list=True)
        self._compositions = Compositions()
        self._alone: dict[int, float] = {}
        self._atoms = self._pairs = self._components = 0
        self._squares = 0.0

    def add(self, atoms: Atoms) -> None:
        """Take a frame in."""
        energy, forces = atoms.info.get(self.keys.energy), atoms.arrays.get(self.keys.forces)
        if energy is not None:
            energy = float(real_numbers(energy).reshape(()))
            if len(atoms) == 1 and atoms.info.get("config_type") == "IsolatedAtom":
                self._alone[int(atoms.numbers[0])] = energy
                return
            self._compositions.add(makeup_of(atoms), energy)
        if forces is not None:
            self._squares += float((real_numbers(forces) ** 2).sum())
            self._components += 3 * len(atoms)
        cell = atoms.cell.array if atoms.pbc.any() else np.zeros((3, 3))
        self._pairs += len(self._neighbours.compute(atoms.positions, cell, atoms.pbc, "i")[0])
        self._atoms += len(atoms)

    def result(self) -> dict[str, Any]:
        """What MACE reads, as plain JSON types.

        Raises:
            DataError: no frame has an energy, or none has forces.
        """
        found = self._compositions
        for what, count, key in (
            ("energies", found.frames.sum(), self.keys.energy),
            ("forces", self._components, self.keys.forces),
        ):
            if count == 0:
                raise DataError(f"no frame has {what} ({key}); label the data first")
        e0s = {z: self._alone.get(z, energy) for z, energy in found.fit().items()}
        rest = (found.sums - found.frames * found.of_atoms(e0s)) / found.sizes
        return {
            "atomic_energies": str(e0s),  # MACE reads Python's own notation
            "avg_num_neighbors": self._pairs / self._atoms,
            "mean": float(rest.sum() / found.frames.sum()),
            "std": float(np.sqrt(self._squares / self._components)),
            "atomic_numbers": str(list(e0s)),
            "r_max": self.r_max,
        }

    def write(self, path: Path) -> dict[str, Any]:
        """`result` as the JSON file that ``mace_run_train --statistics_file`` reads."""
        found = self.result()
        write_json(path, found)
        return found


def statistics(frames: Iterable[Atoms], r_max: float, keys: LabelKeys | None = None) -> dict[str, Any]:
    """`MaceStatistics` of frames, which may come from a generator. Raises as it does."""
    found = MaceStatistics(r_max, keys)
    for atoms in frames:
        found.add(atoms)
    return found.result()


def write_statistics(frames: Iterable[Atoms], r_max: float, path: Path) -> dict[str, Any]:
    """`statistics` as a file."""
    found = MaceStatistics(r_max)
    for atoms in frames:
        found.add(atoms)
    return found.write(path)
