"""How stiff a covalent bond is by its length: the yardstick for the unit and the sign of a Hessian.

Badger's rule (R. M. Badger, J. Chem. Phys. 2, 128 (1934)) expects the stretching force constant

    k(r) = A / (r - B)^3,   A = 1.734 hartree bohr,

with the A, and the B by the rows of the two elements, of H. B. Schlegel's guess of a molecule's Hessian
(Theor. Chim. Acta 66, 333 (1984)). Only bonds between non-metals of the first three rows, at less than
1.15 times the sum of covalent radii, are looked at: rare gases, metals, salts and broken bonds have none.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

HARTREE_PER_BOHR2 = Hartree / Bohr**2  # 97.17 eV/A^2
BOND_STRETCH = 1.15
SMALLEST_RADIUS = 0.37  # A: half of H2, longer than hydrogen's covalent radius

_NON_METALS = np.array([1, 5, 6, 7, 8, 9, 14, 15, 16, 17])
_BADGER_A = 1.734
_SQUEEZED = 0.6  # bohr above B
_BADGER_B = {(1, 1): -0.244, (1, 2): 0.352, (2, 2): 1.085, (1, 3): 0.660, (2, 3): 1.522, (3, 3): 2.068}


def bond_force_constants(atoms: Atoms) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Badger's estimate for every covalent bond between light non-metals.

    Returns:
        i, j: [bonds] atom indices, both directions of a bond;
        unit vectors from i to j: [bonds, 3];
        k: [bonds], eV/A^2.
    """
    from ase.neighborlist import neighbor_list  # brings half of scipy: 0.4 s that labelling need not pay

    numbers = atoms.numbers
    radii = np.maximum(covalent_radii[numbers], SMALLEST_RADIUS)
    reach = np.where(np.isin(numbers, _NON_METALS), BOND_STRETCH * radii, 0.0)
    i, j, distance, vector = neighbor_list("ijdD", atoms, reach)
    row = np.where(numbers == 1, 1, np.where(numbers <= 10, 2, 3))
    keep = (reach[i] > 0) & (reach[j] > 0)
    i, j, distance, vector = i[keep], j[keep], distance[keep], vector[keep]
    offset = np.array([_BADGER_B[min(a, b), max(a, b)] for a, b in zip(row[i], row[j], strict=True)])
    beyond = distance / Bohr - offset
    keep = beyond > _SQUEEZED  # the rule has a pole: nothing is known of bonds that are squeezed up to it
    i, j, distance, vector, beyond = i[keep], j[keep], distance[keep], vector[keep], beyond[keep]
    return i, j, vector / distance[:, None], _BADGER_A / beyond**3 * HARTREE_PER_BOHR2
