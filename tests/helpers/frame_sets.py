"""Sets of frames with random labels, for tests of files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import molecule
from physical_labels import pair_label

from hint_plugin.data import HessianLabel, write_label


def frames_of(count: int, *, seed: int = 0, hessians: bool = True) -> list[Atoms]:
    """Displaced molecules of 3 to 9 atoms with random labels of every kind."""
    rng, names = np.random.default_rng(seed), ("H2O", "CH4", "CH3CH2OH")
    frames = []
    for number in range(count):
        atoms = molecule(names[number % 3])
        atoms = Atoms(atoms.numbers, atoms.positions + rng.normal(0, 0.05, (len(atoms), 3)))
        atoms.info |= {"REF_energy": rng.normal(), "number": number, "reaction": f"r{number // 7}"}
        matrix, atoms.arrays["REF_forces"] = pair_label(atoms, rng)
        label = HessianLabel.full(matrix, provenance={"seed": 0})
        if number % 4 == 1:
            label = label.to_projected(2, rng)
        if hessians and number % 4 != 3:
            write_label(atoms, label)
        frames.append(atoms)
    return frames


def assert_equal(found: Atoms, wanted: Atoms) -> None:
    assert found.info.keys() == wanted.info.keys() and found.arrays.keys() == wanted.arrays.keys()
    for store, other in ((found.info, wanted.info), (found.arrays, wanted.arrays)):
        for name, value in other.items():
            np.testing.assert_array_equal(store[name], value, err_msg=name)


def numbers_of(frames: Sequence[Atoms], wanted: list[int]) -> list[int]:
    """info["number"] of some frames: what other processes are asked for."""
    return [frames[i].info["number"] for i in wanted]
