"""Constraints of ASE that a structure brings with it: which of its Cartesian coordinates are free.

`FixAtoms` holds atoms, `FixCartesian` holds some of their components; both are the column `move_mask` of an
extxyz file, and what a POSCAR with selective dynamics becomes. They hold Cartesian coordinates, so that what
is free is a list of n of the 3N coordinates, and everything about the free ones is a part of what there is
without constraints:

| symbol | variable | shape |
|---|---|---|
| whether a coordinate is free | `FreeCoordinates.mask` | [N, 3] |
| the free coordinates c = 3a + axis, ascending | `FreeCoordinates.coordinates` | [n] |
| the atoms with a free coordinate, ascending | `FreeCoordinates.atoms` | [m] |
| H_cc', the partial Hessian | `FreeCoordinates.part(H)` | [n, n] |

Labels are of the forces without constraints, and `get_hessian` knows none: constraints say which coordinates
move, and hide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.errors import DataError

KNOWN = ("FixAtoms", "FixCartesian")
"""Constraints that hold Cartesian coordinates."""


@dataclass(frozen=True, eq=False)
class FreeCoordinates:
    """Which Cartesian coordinates of a structure of N atoms may move: `mask` [N, 3]."""

    mask: NDArray[np.bool_]

    @property
    def all(self) -> bool:
        """Whether nothing is held."""
        return bool(self.mask.all())

    @property
    def none(self) -> bool:
        """Whether everything is held."""
        return not self.mask.any()

    @property
    def atoms(self) -> NDArray[np.int64]:
        """[m], ascending: the atoms with a free coordinate."""
        return np.flatnonzero(self.mask.any(axis=1))

    @property
    def coordinates(self) -> NDArray[np.int64]:
        """[n], ascending: 3a + axis of the free coordinates."""
        return np.flatnonzero(self.mask)

    def forces(self, forces: NDArray) -> NDArray:
        """Forces [N, 3] with zeros at the coordinates that are held."""
        return np.where(self.mask, np.asarray(forces, dtype=float), 0.0)

    def part(self, hessian: NDArray) -> NDArray:
        """The symmetric part of the Hessian's block of the free coordinates, [n, n].

        Args:
            hessian: the whole matrix [3N, 3N], the rows [3m, 3N] of `atoms`, or the block itself, eV/A^2.

        Raises:
            DataError: a matrix of another shape.
        """
        matrix, (n, size, rows) = np.asarray(hessian, dtype=float), self._sizes()
        if matrix.shape == (size, size):
            matrix = matrix[np.ix_(self.coordinates, self.coordinates)]
        elif matrix.shape == (rows, size):
            matrix = matrix[self.mask[self.atoms].ravel()][:, self.coordinates]
        elif matrix.shape != (n, n):
            raise DataError(
                f"a Hessian of shape {matrix.shape} does not fit a structure of {size // 3} atoms with {n} "
                f"free coordinates; wanted {(size, size)}, the rows {(rows, size)} of the {rows // 3} atoms "
                f"that move, or {(n, n)}"
            )
        return 0.5 * (matrix + matrix.T)

    def whole(self, part: NDArray) -> NDArray:
        """[3N, 3N] with the block [n, n] of the free coordinates, and zeros elsewhere."""
        size = self.mask.size
        matrix = np.zeros((size, size))
        matrix[np.ix_(self.coordinates, self.coordinates)] = part
        return matrix

    def spread(self, values: NDArray) -> NDArray:
        """[..., 3N] of values [..., n] of the free coordinates, with zeros elsewhere."""
        found = np.zeros((*np.shape(values)[:-1], self.mask.size))
        found[..., self.coordinates] = values
        return found

    def words(self) -> str:
        """ "3 of 19 atoms move", or "5 coordinates of 2 of 19 atoms move"."""
        moving, held = self.mask.any(axis=1), ~self.mask.all(axis=1)
        several = f"{len(self.atoms)} of {len(self.mask)} atoms move"
        return f"{int(self.mask.sum())} coordinates of {several}" if (moving & held).any() else several

    def _sizes(self) -> tuple[int, int, int]:
        return int(self.mask.sum()), self.mask.size, 3 * len(self.atoms)


def free_coordinates(atoms: Atoms) -> FreeCoordinates:
    """Which coordinates of a structure its constraints leave free.

    Raises:
        DataError: it has constraints that hold no Cartesian coordinates (`other_constraints`).
    """
    if other := other_constraints(atoms):
        raise DataError(f"{atoms.symbols} has {other}")
    pulls = np.ones((len(atoms), 3))
    for one in atoms.constraints:
        one.adjust_forces(atoms, pulls)  # what each release of ASE means by its masks
    return FreeCoordinates(pulls != 0.0)


def held_atoms(atoms: Atoms) -> str:
    """The constraints that hold something, in words: "FixAtoms of 3 atoms"; "" if nothing is held."""
    counts: dict[str, int] = {}
    for one in atoms.constraints:
        if type(one).__name__ in KNOWN:
            pulls = np.ones((len(atoms), 3))  # a file has a FixCartesian for each atom, held or not
            one.adjust_forces(atoms, pulls)
            name = type(one).__name__
            counts[name] = counts.get(name, 0) + int((pulls == 0.0).any(axis=1).sum())
    return " and ".join(
        f"{name} of {count} atom{'s' * (count != 1)}" for name, count in counts.items() if count
    )


def other_constraints(atoms: Atoms) -> str:
    """What is wrong with a structure whose constraints hold no Cartesian coordinates; "" otherwise."""
    names = sorted({type(one).__name__ for one in atoms.constraints} - set(KNOWN))
    if not names:
        return ""
    return (
        f"constraints of a kind that HINT does not know ({', '.join(names)}); wanted FixAtoms or "
        "FixCartesian (the column move_mask of an extxyz file), or none: atoms.set_constraint()"
    )


def constraints_of(atoms: Atoms) -> str:
    """What is wrong with a constrained structure, for what moves all atoms; "" of one that is free."""
    if other := other_constraints(atoms):
        return other
    if not (held := held_atoms(atoms)):
        return ""
    return (
        f"constraints ({held}), and this moves all atoms; wanted a structure whose atoms are free: remove "
        "the column move_mask of its file, or atoms.set_constraint()"
    )


def immovable(atoms: Atoms, name: str) -> str:
    """Why a molecule, or atoms on a surface, cannot be moved; "" otherwise.

    Raises DataError: constraints that hold no Cartesian coordinates.
    """
    free = free_coordinates(atoms)
    if free.none:
        return f"all atoms of {name} are held ({held_atoms(atoms)}): nothing can move"
    if atoms.pbc.any() and free.all:
        return (
            f"{name} is periodic; this is for molecules: set pbc to all false, or hold atoms of a surface "
            "(FixAtoms, or the column move_mask)"
        )
    return ""
