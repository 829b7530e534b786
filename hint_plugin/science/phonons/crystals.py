"""Crystals between ASE and phonopy: cells, supercells, force constants in phonopy's own order of atoms.

A layer (periodic in two directions) is a crystal in a box: `in_a_box` gives it a third lattice vector that no
image reaches over, and its supercells are repeated within the layer only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.unit_cell import check_crystal, need_phonopy, quiet, to_ase
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.phonons.carried_properties import lowering, moments

if TYPE_CHECKING:
    from phonopy import Phonopy

#: phonopy's THz in cm^-1.
CM_PER_THZ = 33.35640951981521

Supercell = int | Sequence[int] | Sequence[Sequence[int]] | NDArray
_SAME_PLACE = 1e-2  # A, of an atom of a supercell found again
_EMPTY = 10.0  # A, at least, between a layer and its image in phonopy's cell; calculators do not see it


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


def in_a_box(atoms: Atoms) -> Atoms:
    """A layer with a lattice vector along its normal that is longer than twice its thickness and 10 A;
    all else is returned as it is. The layer stays aperiodic there: only phonopy and spglib see that
    vector."""
    axis = layer_axis(atoms)
    if axis is None:
        return atoms
    first, second = atoms.cell.array[(axis + 1) % 3], atoms.cell.array[(axis + 2) % 3]
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal)
    heights = atoms.positions @ normal
    wanted = 2 * float(np.ptp(heights)) + _EMPTY
    own = atoms.cell.array[axis]
    if own @ normal >= wanted and np.linalg.norm(np.cross(own, normal)) < 1e-6:
        return atoms
    found, cell = atoms.copy(), atoms.cell.array.copy()
    cell[axis] = wanted * normal
    found.set_cell(cell)
    return found


def new_phonopy(
    atoms: Atoms, supercell: Supercell, primitive: Any = "auto", symmetry_precision: float = 1e-5
) -> Phonopy:
    """A `Phonopy` without force constants.

    Args:
        atoms: the unit cell; its masses (isotopes) and magnetic moments are kept. A layer has to be
            `in_a_box`.
        supercell: one number, three, or a 3 x 3 matrix.
        primitive: as phonopy's `primitive_matrix`; "auto" finds it by symmetry, "P" is the cell as given. A
            crystal whose atoms carry what its symmetry does not keep (`properties.lowering`) is taken
            as given, and without rotations.
        symmetry_precision: A.

    Raises:
        DataError: not a crystal, or one in which phonopy finds no primitive cell.
        OptionsError: see `supercell_matrix`. MissingDependencyError: no phonopy.
    """
    check_crystal(atoms, layers=True)
    matrix = supercell_matrix(supercell)
    phonopy = need_phonopy()
    from phonopy.structure.atoms import PhonopyAtoms

    _check_layer(atoms, matrix)
    lowered = bool(lowering(atoms, symmetry_precision))
    spins = moments(atoms)
    cell = PhonopyAtoms(
        symbols=list(atoms.symbols),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
        magnetic_moments=None if spins is None else spins.tolist(),
    )

    def made(chosen: Any) -> Phonopy:
        return phonopy.Phonopy(
            cell,
            supercell_matrix=matrix,
            primitive_matrix=chosen,
            symprec=symmetry_precision,
            is_symmetry=not lowered,
        )

    with quiet():
        try:
            automatic = isinstance(primitive, str) and primitive == "auto"
            found = made("P" if automatic and lowered else primitive)
            # a cell that is primitive keeps its own vectors, in which the supercell is n1 x n2 x n3
            keep = len(found.primitive) == len(atoms) or not _keeps_layer(found, atoms)
            return made("P") if automatic and keep else found
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise DataError(
                f"{atoms.symbols}: phonopy finds no crystal in it ({error}); is the cell right?"
            ) from error


def layer_axis(atoms: Atoms) -> int | None:
    """The lattice vector along which a layer is not periodic; None for a crystal."""
    return int(np.flatnonzero(~atoms.pbc)[0]) if atoms.pbc.sum() == 2 else None


def _check_layer(atoms: Atoms, matrix: NDArray) -> None:
    axis = layer_axis(atoms)
    if axis is None:
        return
    unit = np.eye(3, dtype=int)[axis]
    if (matrix[axis] != unit).any() or (matrix[:, axis] != unit).any():
        raise OptionsError(
            f"supercell {matrix.tolist()} repeats a layer along its vector {axis + 1}, in which it is not "
            "periodic; wanted 1 there, as 4 4 1"
        )


def _keeps_layer(phonon: Phonopy, atoms: Atoms) -> bool:
    """Whether the primitive cell has the vector along which a layer is not periodic."""
    axis = layer_axis(atoms)
    if axis is None:
        return True
    return bool(np.allclose(phonon.primitive.cell[axis], atoms.cell.array[axis], atol=1e-6))


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
