"""Whether a calculator treats structures as periodic where they are, and only there.

A method for molecules that gets a crystal returns numbers of the atoms in one cell, alone, and says nothing.
A method for crystals that gets a molecule may take the box about it for a cell. The energy tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms

from hint_plugin.errors import EngineError

_SAME_ENERGY = 1e-3
"""eV an atom: programs sum over k points and grids anew, and converge to less."""
_WAY_OUT = "; -e cell_check=false takes the calculator's word"


class CellCheck:
    """Asked once of periodic structures, and once of others; what was refused once is refused at once.

    The energy is the same when one atom is moved by a lattice vector (of a cell with one atom: twice as large
    when the cell is doubled) where a structure is treated as periodic, and another where it is not.

    Args:
        name: of the calculator, for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: dict[bool, str] = {}

    def before(self, atoms: Atoms) -> None:
        """Raises EngineError of the kind "cell" where another structure of this kind was refused."""
        if reason := self._found.get(bool(atoms.pbc.any())):
            raise EngineError(reason, "cell")

    def after(self, atoms: Atoms, here: float, energy: Callable[[Atoms], float]) -> None:
        """Ask of a structure; nothing where one of its kind has passed, or where it has no cell.

        Args:
            atoms: the structure.
            here: its energy, eV.
            energy: asked once, of another structure.

        Raises:
            EngineError: of the kind "cell".
        """
        periodic = bool(atoms.pbc.any())
        if periodic in self._found or not (periodic or (atoms.cell.rank == 3 and len(atoms) > 1)):
            return
        other, there, failure = _same_if_periodic(atoms), None, ""
        try:
            there = energy(other) * len(atoms) / len(other)
        except EngineError as error:  # of a molecule that is torn apart, or an atom outside of its box
            failure = str(error)
        same = there is not None and abs(there - here) <= max(_SAME_ENERGY * len(atoms), 1e-6 * abs(here))
        told = failure or f"from {here:.4f} to {there:.4f} eV"
        self._found[periodic] = "" if same == periodic else self._refusal(periodic, told)
        self.before(atoms)

    def _refusal(self, periodic: bool, told: str) -> str:
        if periodic:
            return (
                f"{self._name} does not treat this structure as periodic: its energy changes when an atom is "
                f"moved by a lattice vector ({told}). Take a calculator for crystals, or set pbc to all "
                f"false for a molecule{_WAY_OUT}"
            )
        return (
            f"{self._name} treats this structure as periodic, although its pbc is all false: its energy "
            "stays when an atom is moved by a vector of the box about it. Set pbc to all true if that is "
            f"wanted, or take a calculator for molecules{_WAY_OUT}"
        )


def _same_if_periodic(atoms: Atoms) -> Atoms:
    """An atom that has neighbours in its own cell is moved along the first periodic vector; a single atom is
    repeated along it."""
    axis = int(np.flatnonzero(atoms.pbc)[0]) if atoms.pbc.any() else 0
    if len(atoms) == 1:
        return atoms.repeat([2 if k == axis else 1 for k in range(3)])
    within = Atoms(atoms.numbers, atoms.positions).get_all_distances()
    np.fill_diagonal(within, np.inf)
    found = atoms.copy()
    found.positions[int(within.min(axis=1).argmin())] += atoms.cell.array[axis]
    return found
