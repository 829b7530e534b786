"""Whether the crystals of a Tc are one: of the electron-phonon matrices, the phonons, and other isotopes.

Files of electron-phonon matrices do not name their crystal. ph.x leaves its dynamical matrices beside their
folder, and those do; `--dyn` and the files of isotopes have to be of that crystal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from ase import Atoms

from hint_plugin.data.formats.qe_dyn import read_file
from hint_plugin.errors import DataError
from hint_plugin.science.same_structure import ASIDE, STRAIN, check_same_crystal
from hint_plugin.science.superconductivity.isotopes import Isotope


def check_beside(folder: Path, atoms: Atoms, dyn: Path) -> None:
    """Refuse phonons of another crystal than that of the dynamical matrices beside `elph_dir`.

    Args:
        folder: `elph_dir`.
        atoms: the crystal of the phonons.
        dyn: their file, as the user named it.

    Raises:
        DataError: there are matrices beside the folder, and none of them is of this crystal.
    """
    beside = folder.resolve().parent
    firsts = sorted(path for path in beside.iterdir() if re.search(r"dyn1$", path.name))
    errors = []
    for path in firsts:
        try:
            theirs = read_file(path).atoms
        except DataError:
            continue  # not ours to judge: it is not what was asked for
        try:
            check_same_crystal(theirs, atoms, str(dyn), masses=False, ordered=True)
            check_placed(theirs, atoms, str(dyn))
        except DataError as error:
            errors.append(f"{error}: {path}, beside {folder}, is of {theirs.symbols}")
        else:
            return
    if errors:
        raise DataError(errors[0])


class OfAnIsotope(Protocol):
    """What `sources` has read for one isotope; the first one has none."""

    @property
    def isotope(self) -> Isotope | None: ...
    @property
    def atoms(self) -> Atoms: ...


def check_crystals(folder: Path, dyn: Path, crystals: Sequence[OfAnIsotope]) -> None:
    """Refuse crystals that are not one: of the folder (`check_beside`), and of the isotopes.

    Args:
        folder: `elph_dir`.
        dyn: the phonons' file.
        crystals: the first is that of `dyn`.

    Raises:
        DataError: other elements, another order of the atoms, lattice or space group.
    """
    first = crystals[0].atoms
    check_beside(folder, first, dyn)
    for other in crystals[1:]:
        if other.isotope is not None and other.isotope.force_constants is not None:
            name = str(other.isotope.force_constants)
            check_same_crystal(first, other.atoms, name, masses=False, ordered=True)
            check_placed(first, other.atoms, name)


def check_sources(dyns: Sequence[Path], crystals: Sequence[Atoms]) -> None:
    """Refuse several phonons that are not of one crystal, or of other isotopes: no two numbers of them would
    be the same number twice.

    Args:
        dyns: the files, as the user named them.
        crystals: of these files, in the same order.

    Raises:
        DataError: another crystal, order of the atoms, or mass than in the first.
    """
    for dyn, atoms in zip(dyns[1:], crystals[1:], strict=True):
        check_same_crystal(crystals[0], atoms, str(dyn), ordered=True)
        check_placed(crystals[0], atoms, str(dyn))


def check_placed(atoms: Atoms, other: Atoms, name: str) -> None:
    """Refuse a crystal that is turned, or whose atoms are images by vectors of the lattice: matrices C_ij(q)
    of the one are then not those of the other, though they are of one crystal.

    Args:
        atoms, other: primitive cells, their atoms in the same order.
        name: of `other`, as the user knows it.

    Raises:
        DataError: see there.
    """
    between = other.cell.array @ np.linalg.inv(atoms.cell.array)
    whole = np.rint(between)
    fits = np.abs(between - whole).max() < STRAIN and abs(abs(np.linalg.det(whole)) - 1) < 1e-6
    if fits:
        theirs = other.positions @ np.linalg.inv(np.linalg.inv(whole) @ other.cell.array)
        apart = theirs - atoms.positions @ np.linalg.inv(atoms.cell.array)
        moves = (apart - apart[0]) @ atoms.cell.array
        fits = bool(np.linalg.norm(moves, axis=1).max() < 2 * ASIDE)
    if not fits:
        raise DataError(
            f"{name} is of the same crystal, but turned, or with atoms in other cells of the lattice: its "
            "matrices do not go with those of the other files. Wanted the cell and the positions of ph.x"
        )
