"""Geometries with their energies, as ASE, OVITO and HINT read them: `energy` of ASE's calculators.

Labels to train on have keys of their own (`LabelKeys`); these are results to look at and to go on from.
"""

from __future__ import annotations

from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from hint_plugin.data.labels.frame_labels import of_ase
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.real_numbers import real_numbers
from hint_plugin.data.structures.electrons import ELECTRON_KEYS
from hint_plugin.errors import LabelError

_BEFORE = "energy_eV"
"""Where paths and transition states had it before they were written for ASE."""


def with_energy(atoms: Atoms, energy: float, forces: NDArray | None = None) -> Atoms:
    """The bare geometry, with its charge and spin, and with `energy` in eV (and forces [N, 3] in eV/A)."""
    found = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.has("masses"):
        found.set_masses(atoms.get_masses())
    found.info = {key: atoms.info[key] for key in ELECTRON_KEYS if key in atoms.info}
    results: dict[str, Any] = {"energy": float(energy)}
    if forces is not None:
        results["forces"] = forces
    found.calc = SinglePointCalculator(found, **results)
    return found


def energy_of(atoms: Atoms, keys: LabelKeys | None = None) -> float | None:
    """The energy that a frame of a file has, eV: its label's, that of ASE, or of an older HINT; else None.

    Raises:
        LabelError: it is no number.
    """
    keys = LabelKeys() if keys is None else keys
    for energy in (atoms.info.get(keys.energy), of_ase(atoms).get("energy"), atoms.info.get(_BEFORE)):
        if energy is not None:
            try:
                return float(real_numbers(energy).reshape(()))
            except (TypeError, ValueError) as error:
                raise LabelError(f"the energy of a frame is {energy!r}; wanted one number") from error
    return None
