"""What atoms carry besides their element, and what that does to the symmetry of a crystal.

Magnetic moments keep the operations of the magnetic space group, of which phonopy knows: a moment may
turn over (the energy of a collinear magnet does not change if all moments do). Any other property (charges,
tags, masses of isotopes, arrays of a calculator's own) is a number that an operation has to keep.
Where one does not, the products of all atoms are computed, and nothing is made by rotations.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.supercells import kinds, per_atom
from hint_plugin.optional import load

MOMENTS = "initial_magmoms"


def moments(atoms: Atoms) -> NDArray | None:
    """Initial magnetic moments [N] or [N, 3]; None where there are none, or all are zero."""
    found = atoms.arrays.get(MOMENTS)
    return None if found is None or not np.any(found) else np.asarray(found, dtype=float)


def lowering(atoms: Atoms, precision: float = 1e-5, names: tuple[str, ...] | None = None) -> list[str]:
    """The properties that are not equal on atoms that the symmetry of the crystal makes of each other.

    A vector for each atom counts, unless it is zero everywhere: nothing tells how it turns.

    Args:
        atoms: the crystal.
        precision: A, within which symmetry is found.
        names: of the properties that are looked at; all but magnetic moments if not given.
    """
    known = per_atom(atoms)
    chosen = (
        [name for name in known if name != MOMENTS] if names is None else [n for n in names if n in known]
    )
    found = [name for name in chosen if known[name].ndim > 1 and np.any(known[name])]
    scalar = [name for name in chosen if known[name].ndim == 1 and len(set(known[name].tolist())) > 1]
    if scalar:
        whole = _operations(atoms, atoms.numbers, precision)
        found += [name for name in scalar if _operations(atoms, kinds(atoms, [name]), precision) < whole]
    return found


def magnetism_lowers(atoms: Atoms, precision: float = 1e-5) -> bool:
    """Whether an operation of the crystal without its magnetic moments is none with them, turned over
    or not."""
    spins = moments(atoms)
    if spins is None:
        return False
    spglib: Any = load("spglib", "phonons", "the symmetry of a crystal needs spglib")
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers, spins)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = spglib.get_magnetic_symmetry_dataset(cell, symprec=precision)
    if found is None:
        return True
    pairs = zip(found.rotations, np.round(found.translations, 4) % 1.0, strict=True)
    kept = {(rotation.tobytes(), tuple((shift + 0.0) % 1.0)) for rotation, shift in pairs}
    return len(kept) < _operations(atoms, atoms.numbers, precision)


def space_group(atoms: Atoms, precision: float = 1e-5) -> str:
    """Hermann-Mauguin symbol of places and elements; with the number of the magnetic group (BNS) of a magnet.

    "?" where spglib finds no crystal.
    """
    spglib: Any = load("spglib", "phonons", "the symmetry of a crystal needs spglib")
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    spins = moments(atoms)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = spglib.get_spacegroup(cell, symprec=precision)
        magnet = (
            None if spins is None else spglib.get_magnetic_symmetry_dataset((*cell, spins), symprec=precision)
        )
        name = "?" if found is None else str(found).split()[0]
        if magnet is None:
            return name
        return f"{name}, magnetic {spglib.get_magnetic_spacegroup_type(magnet.uni_number).bns_number}"


def _operations(atoms: Atoms, numbers: NDArray, precision: float) -> int:
    spglib: Any = load("spglib", "phonons", "the symmetry of a crystal needs spglib")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = spglib.get_symmetry(
            (atoms.cell.array, atoms.get_scaled_positions(), numbers), symprec=precision
        )
    return 0 if found is None else len(found["rotations"])
