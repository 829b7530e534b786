"""Does a Hessian look as if it were in hartree/bohr^2 and not in eV/A^2 (a factor 97.17)?

The yardstick is the stretching force constant that Badger's rule (R. M. Badger, J. Chem. Phys. 2, 128 (1934))
expects of each covalent bond,

    k(r) = A / (r - B)^3,   A = 1.734 hartree bohr,

with the A, and the B by the rows of the two elements, of H. B. Schlegel's guess of a molecule's Hessian
(Theor. Chim. Acta 66, 333 (1984)). An atom that is bonded has, in eV/A^2, a block of rows H[a, :] with a
Frobenius norm of about 1.2 k; in hartree/bohr^2 the same number is 0.013 k. `looks_like_hartree` says yes
below 0.1 k, the median over the bonded atoms: a factor of 8 to 12 away from both. Only bonds between
non-metals of the first three rows, at less than 1.15 times the sum of covalent radii, are looked at; without
one (rare gases, metals, salts, broken bonds) the answer is no.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

from hint_plugin.data.label import HessianLabel

HARTREE_PER_BOHR2 = Hartree / Bohr**2  # 97.17 eV/A^2
SUSPICIOUS_RATIO = 0.1
BOND_STRETCH = 1.15
SMALLEST_RADIUS = 0.37  # A: half of H2, longer than hydrogen's covalent radius

_NON_METALS = np.array([1, 5, 6, 7, 8, 9, 14, 15, 16, 17])
_BADGER_A = 1.734
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
    keep = (reach[i] > 0) & (reach[j] > 0) & (distance > 0)
    i, j, distance, vector = i[keep], j[keep], distance[keep], vector[keep]
    row = np.where(numbers == 1, 1, np.where(numbers <= 10, 2, 3))
    offset = np.array([_BADGER_B[min(a, b), max(a, b)] for a, b in zip(row[i], row[j], strict=True)])
    # a bond squeezed to B would have an infinite constant: stop at 0.5 bohr above it
    k = _BADGER_A / np.maximum(distance / Bohr - offset, 0.5) ** 3 * HARTREE_PER_BOHR2
    return i, j, vector / distance[:, None], k


def looks_like_hartree(label: HessianLabel, atoms: Atoms) -> float | None:
    """The ratio (found / expected) when it is so low that the unit must be wrong, else None.

    Projected labels are judged only where every probe has entries of one size (Rademacher): a smooth probe,
    say a low mode, has a small Hv in any unit.
    """
    i, j, unit, k = bond_force_constants(atoms)
    if i.size == 0:
        return None
    strongest = np.zeros(len(atoms))
    if label.hessian is not None:
        np.maximum.at(strongest, i, k)
        rows = np.arange(len(atoms)) if label.atoms is None else label.atoms
        found = np.linalg.norm(label.hessian.reshape(rows.size, -1), axis=1)
        expected = strongest[rows]
    else:
        if label.probes is None or label.hvp is None or not _rademacher_like(label.probes):
            return None
        stretch = np.einsum("kba,ba->kb", label.probes[:, j] - label.probes[:, i], unit)
        np.maximum.at(strongest, i, k * np.sqrt((stretch**2).mean(axis=0)))
        found = np.sqrt((label.hvp**2).sum(axis=2).mean(axis=0))
        expected = strongest
    bonded = expected > 0
    if not bonded.any() or not np.any(found):
        return None
    ratio = float(np.median(found[bonded] / expected[bonded]))
    return ratio if ratio < SUSPICIOUS_RATIO else None


def _rademacher_like(probes: NDArray) -> bool:
    size = np.abs(probes).reshape(len(probes), -1)
    return bool(np.all(np.ptp(size, axis=1) <= 1e-6 * size.max(axis=1)))
