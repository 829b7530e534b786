"""Crystals between ASE and phonopy: cells, supercells, force constants in phonopy's own order of atoms."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.optional import load

if TYPE_CHECKING:
    from phonopy import Phonopy

#: phonopy's THz in cm^-1.
CM_PER_THZ = 33.35640951981521

Supercell = int | Sequence[int] | Sequence[Sequence[int]] | NDArray
_SAME_ATOM = 0.1  # A
_SAME_PLACE = 1e-2  # A, of an atom of a supercell found again


def need_phonopy() -> Any:
    """The package. Raises MissingDependencyError with the extra that brings it."""
    return load("phonopy", "phonons", "phonons need phonopy")


def supercell_matrix(supercell: Supercell) -> NDArray[np.int64]:
    """[3, 3] from one number, three, or a matrix (rows of nine numbers are taken as its rows).

    Raises:
        OptionsError: other numbers than 1, 3 or 9, not whole, or a cell without volume.
    """
    given = np.asarray(supercell, dtype=float)
    if given.size not in (1, 3, 9) or not np.allclose(given, np.rint(given)):
        raise OptionsError(
            f"supercell {supercell}; wanted 1, 3 or 9 whole numbers, as 2, '2 2 2' or a matrix"
        )
    whole = np.rint(given).astype(np.int64)
    matrix = whole.reshape(3, 3) if whole.size == 9 else np.diag(np.broadcast_to(whole.ravel(), 3))
    if np.linalg.det(matrix) < 0.5 or (whole.size < 9 and whole.min() < 1):
        raise OptionsError(f"supercell {supercell} has no volume or is left-handed; wanted positive numbers")
    return matrix.copy()


def check_crystal(atoms: Atoms) -> None:
    """Raises DataError unless `atoms` is periodic in three directions, and finite."""
    if not len(atoms):
        raise DataError("a crystal without atoms")
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise DataError(
            f"{atoms.symbols} is not periodic in three directions, and phonons are of crystals; "
            "hint vibrations is for molecules"
        )
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise DataError(f"{atoms.symbols}: a position or the cell is NaN or infinite")
    if len(neighbor_list("i", atoms, _SAME_ATOM)):
        raise DataError(f"{atoms.symbols}: two atoms are at one place, within {_SAME_ATOM} A")


def new_phonopy(
    atoms: Atoms, supercell: Supercell, primitive: Any = "auto", symmetry_precision: float = 1e-5
) -> Phonopy:
    """A `Phonopy` without force constants.

    Args:
        atoms: the unit cell; its masses are kept (isotopes).
        supercell: one number, three, or a 3 x 3 matrix.
        primitive: as phonopy's `primitive_matrix`; "auto" finds it by symmetry, "P" is the cell as given.
        symmetry_precision: A.

    Raises:
        DataError: not a crystal, or one in which phonopy finds no primitive cell.
        OptionsError: see `supercell_matrix`. MissingDependencyError: no phonopy.
    """
    check_crystal(atoms)
    matrix = supercell_matrix(supercell)
    phonopy = need_phonopy()
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=list(atoms.symbols),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    with quiet():
        try:
            found = phonopy.Phonopy(
                cell, supercell_matrix=matrix, primitive_matrix=primitive, symprec=symmetry_precision
            )
            if isinstance(primitive, str) and primitive == "auto" and len(found.primitive) == len(atoms):
                # the cell is primitive: keep its own vectors, in which the supercell is n1 x n2 x n3
                found = phonopy.Phonopy(
                    cell, supercell_matrix=matrix, primitive_matrix="P", symprec=symmetry_precision
                )
            return found
        except (RuntimeError, ValueError, TypeError) as error:
            raise DataError(
                f"{atoms.symbols}: phonopy finds no crystal in it ({error}); is the cell right?"
            ) from error


def to_ase(cell: Any) -> Atoms:
    """phonopy's cell as ASE atoms, with its masses."""
    return Atoms(
        cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, masses=cell.masses, pbc=True
    )


def phonopy_from_hessian(
    atoms: Atoms, supercell: Supercell, large: Atoms, hessian: NDArray, primitive: Any = "auto"
) -> Phonopy:
    """A `Phonopy` whose force constants are a Hessian of the supercell, in whatever order its atoms are.

    Args:
        atoms: the unit cell. supercell: how it is repeated.
        large: the supercell [N], the same crystal in the same place.
        hessian: [3N, 3N], eV/A^2, row-major (atom, axis).
        primitive: see `new_phonopy`.

    Raises:
        DataError: the Hessian has another shape, or the atoms are not those of the supercell.
    """
    n = len(large)
    if np.shape(hessian) != (3 * n, 3 * n):
        raise DataError(f"a Hessian of shape {np.shape(hessian)} for {n} atoms; wanted {(3 * n, 3 * n)}")
    phonon = new_phonopy(atoms, supercell, primitive)
    order = same_atoms(to_ase(phonon.supercell), large)
    blocks = np.asarray(hessian, dtype=float).reshape(n, 3, n, 3).transpose(0, 2, 1, 3)
    rows = order[phonon.primitive.p2s_map]
    phonon.force_constants = np.ascontiguousarray(blocks[rows][:, order])
    return phonon


def same_atoms(wanted: Atoms, given: Atoms) -> NDArray[np.int64]:
    """Where each atom of `wanted` is in `given`, the same supercell in another order.

    Raises:
        DataError: another number of atoms, or an atom that has none of its element within 0.01 A.
    """
    if len(wanted) != len(given):
        raise DataError(f"a supercell of {len(given)} atoms; wanted one of {len(wanted)}")
    inverse = np.linalg.inv(wanted.cell.array)
    found = np.empty(len(wanted), dtype=np.int64)
    for k, position in enumerate(wanted.positions):
        fractional = (given.positions - position) @ inverse
        fractional -= np.rint(fractional)
        distances = np.linalg.norm(fractional @ wanted.cell.array, axis=1)
        found[k] = int(distances.argmin())
        if distances[found[k]] > _SAME_PLACE or given.numbers[found[k]] != wanted.numbers[k]:
            raise DataError(
                f"atom {k} ({wanted.symbols[k]}) of the supercell is not where the crystal has it"
            )
    return found


def supercell_repeats(phonon: Phonopy) -> tuple[int, int, int]:
    """n1, n2, n3 of a supercell that repeats the primitive cell.

    Raises:
        DataError: it is none.
    """
    matrix = phonon.supercell.cell @ np.linalg.inv(phonon.primitive.cell)
    first, second, third = (int(n) for n in np.rint(np.diag(matrix)))
    diagonal = np.diag((first, second, third))
    if np.abs(matrix - diagonal).max() > 1e-3 or diagonal.diagonal().min() < 1:
        raise DataError(
            "the supercell is no n1 x n2 x n3 of the primitive cell but "
            f"{(np.round(matrix, 3) + 0.0).tolist()} of it"
        )
    return first, second, third


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the remarks that phonopy and seekpath make about their own versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
