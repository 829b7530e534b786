"""Whether positions look like bohr where A are wanted, by nothing but the distances between neighbours.

The distance of an atom to its nearest neighbour, in units of the sum of their covalent radii, is between 0.75
(a triple bond) and 1.25 (soft metals) in nearly all molecules and crystals. If all are at 1.89 times these
lengths, positions are in bohr; if all are at 0.53 times, they were in A, taken for bohr and converted.

Rare gases have no such bonds and are left out. Two atoms alone may well be stretched or squeezed on purpose:
they count only if no frame of the same formula has them at a bond's length. A frame with one bond of an
ordinary length is fine, however far its other atoms are from each other.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.units import Bohr

from hint_plugin.data.labels.bond_stiffness import SMALLEST_RADIUS
from hint_plugin.data.structures.identity import pairs_within

SHORTEST, LONGEST = 0.75, 1.25
"""Of the nearest neighbours in a frame (the median over atoms), in units of the sum of covalent radii."""
BROKEN = 1.3  # no bond is longer
_SQUEEZED = 0.64  # nor is the median over atoms shorter, even where bonds are triple
_RARE_GASES = (2, 10, 18, 36, 54, 86, 118)
_IN_WORDS = {
    "long": (
        "no two atoms are as near as a bond, and all neighbours would be at the length of bonds if positions "
        f"were in bohr. They are taken as A: if they are not, multiply positions and cell by {Bohr:.6f}"
    ),
    "short": (
        "neighbours are at about half the length of bonds, as if positions in A had been taken for bohr and "
        f"converted. If that was so, divide positions and cell by {Bohr:.6f}"
    ),
}

Place = TypeVar("Place", bound=Hashable)


def misfit(atoms: Atoms) -> str | None:
    """What unit the distances of a frame fit.

    Returns:
        "long" where they fit bohr, "short" where they fit A that were taken for bohr, "" where they fit A or
        neither; None where there is nothing to compare: an atom alone, rare gases, a cell without volume.
    """
    if atoms.pbc.any() and abs(np.linalg.det(atoms.cell.complete())) < 1e-6:
        return None
    rare = np.isin(atoms.numbers, _RARE_GASES)
    kept = atoms[~rare] if rare.any() else atoms
    if not len(kept) or not np.isfinite(kept.positions).all():
        return None
    nearest = _nearest(kept, BROKEN)
    if np.isfinite(nearest).any():
        is_short = nearest.max() < BROKEN * Bohr and np.median(nearest) < _SQUEEZED
        return "short" if is_short else ""
    if len(kept) == 1 and not kept.pbc.any():
        return None
    nearest = _nearest(kept, LONGEST / Bohr)
    is_long = np.isfinite(nearest).all() and np.median(nearest) * Bohr >= SHORTEST
    return "long" if is_long else ""


@dataclass
class LengthCheck(Generic[Place]):
    """Counts frames whose distances do not look like A.

    Attributes:
        frames: that have distances to look at.
    """

    frames: int = 0
    _odd: dict[str, list[tuple[Place, str, bool]]] = field(default_factory=dict)
    _ordinary: set[str] = field(default_factory=set)

    def add(self, atoms: Atoms, place: Place) -> None:
        """Look at a frame; `place` says which it is."""
        found = misfit(atoms)
        if found is None:
            return
        self.frames += 1
        formula = atoms.get_chemical_formula()
        if found:
            self._odd.setdefault(found, []).append((place, formula, len(atoms) == 2))
        else:
            self._ordinary.add(formula)

    def findings(self) -> list[tuple[Place, str, str]]:
        """(place, formula of the first frame, sentence about all) for each kind of misfit that was seen."""
        said = []
        for kind, seen in self._odd.items():
            counted = [
                (place, formula) for place, formula, pair in seen if not (pair and formula in self._ordinary)
            ]
            if counted:
                said.append((*counted[0], f"in {len(counted)} of {self.frames} frames {_IN_WORDS[kind]}"))
        return said


def _nearest(atoms: Atoms, reach: float) -> np.ndarray:
    """[N] distance to the nearest neighbour over the sum of covalent radii; infinite where none is below
    `reach`."""
    radii = np.maximum(covalent_radii[atoms.numbers], SMALLEST_RADIUS)
    i, j, distance, _ = pairs_within(atoms, 2 * reach * float(radii.max()))
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, i, distance / (radii[i] + radii[j]))
    nearest[nearest >= reach] = np.inf
    return nearest
