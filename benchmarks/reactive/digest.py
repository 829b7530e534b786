"""A number for the content of frames: the same set has the same one, however it came about."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from ase import Atoms

from hint_plugin.data import LabelKeys, read_label

KEYS = LabelKeys()


def digest_of(frames: Iterable[Atoms]) -> str:
    """SHA-256 of geometries, kinds, energies, forces and Hessian labels."""
    found = hashlib.sha256()
    for atoms in frames:
        found.update(f"{atoms.symbols} {atoms.info['kind']} {atoms.info['name']}".encode())
        for values in (atoms.positions, atoms.info[KEYS.energy], atoms.arrays[KEYS.forces], *_hessian(atoms)):
            found.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return found.hexdigest()


def _hessian(atoms: Atoms) -> list[np.ndarray]:
    label = read_label(atoms)
    values = () if label is None else (label.hessian, label.probes, label.hvp)
    return [np.asarray(value) for value in values if value is not None]
