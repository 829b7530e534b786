"""Whether a structure is bonded as a molecule can be: a search from nonsense may end in nonsense.

Far from everything it was made for, a potential has minima, too: hydrogen atoms 3 A from the oxygen, where
the model sees nothing any more, or atoms inside of each other. Their curvature says "minimum". Their bonds do
not.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from hint_plugin.data.structures.bonds import bonds
from hint_plugin.data.structures.electrons import known_electrons

INSIDE, INSIDE_METALS = 0.6, 0.35
"""Of the sum of covalent radii: the shortest bonds of non-metals, triple ones, are at 0.75; those of two
metal atoms, sextuple ones, at 0.6."""
ALONE = 2.0
"""Of the sum of covalent radii: an atom that is farther from all others has no bond, not even half of one, as
atoms of a transition state have."""
MOST_NEIGHBOURS = {"H": 2, "C": 5, "N": 5, "O": 4, "F": 2}
"""Bonds to non-metals: of a bridging hydrogen, of the carbon between two groups in a substitution, ..."""
_NON_METALS = ("H", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I")
_NEVER_ALONE = ("H", "B", "C", "N", "O", "Si", "P", "S")
"""Neutral atoms of these have unpaired electrons. Rare gases, metals and halides may have no bonds."""


def badly_bonded(atoms: Atoms) -> str:
    """What of a molecule's bonds cannot be, as a clause; "" if nothing.

    A single atom, and a structure whose charge or multiplicity is stated (an ion, a radical beside a
    molecule), may have atoms without bonds.
    """
    if len(atoms) < 2 or not np.isfinite(atoms.positions).all():
        return ""
    symbols, distances = (
        np.array(atoms.get_chemical_symbols()),
        atoms.get_all_distances(mic=bool(atoms.pbc.any())),
    )
    radii = covalent_radii[atoms.numbers]
    light = np.isin(symbols, _NON_METALS)
    limit = np.where(light[:, None] & light[None], INSIDE, INSIDE_METALS)
    relative = distances / (radii[:, None] + radii[None])
    np.fill_diagonal(relative, np.inf)
    i, j = (int(k) for k in np.unravel_index((relative / limit).argmin(), relative.shape))
    if relative[i, j] < limit[i, j]:
        return (
            f"atoms {i} and {j} ({symbols[i]}-{symbols[j]}) are on top of each other, {distances[i, j]:.2f} A"
        )
    bonded = bonds(atoms)
    counts = (bonded & light[None]).sum(axis=1)
    for k, symbol in enumerate(symbols):
        if counts[k] > MOST_NEIGHBOURS.get(symbol, len(atoms)):
            return f"atom {k} ({symbol}) has {counts[k]} bonds"
    charge, multiplicity = known_electrons(atoms.info)
    if charge not in (None, 0) or multiplicity not in (None, 1):
        return ""
    alone = [k for k in np.flatnonzero(relative.min(axis=1) > ALONE) if symbols[k] in _NEVER_ALONE]
    if not alone:
        return ""
    named = ", ".join(f"{k} ({symbols[k]})" for k in alone[:5]) + (", ..." if len(alone) > 5 else "")
    return f"atom {named} is bonded to nothing" if len(alone) == 1 else f"atoms {named} are bonded to nothing"
