"""The symmetry of a crystal imposed on force constants, vectors and stresses, by averaging over its group.

An operation x -> W x + w (fractional) takes atom k of cell n to atom p(k) of cell m_k + W n, and tensors
along: Phi(g i, g j) = R Phi(i, j) R'. The average over the group is the symmetric part.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.supercells import kinds, per_atom
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.optional import load
from hint_plugin.science.anharmonic.supercell_force_constants import AXES, ForceConstants

PRECISION = 1e-5  # A


class SpaceGroup:
    """The operations of a crystal that its supercell has as well, and that keep what its atoms carry (masses,
    moments with their sign, charges, ...).

    Args:
        atoms: the primitive cell.
        repeats: of the supercell.
        precision: A, in which two places are the same.

    Raises:
        MissingDependencyError: spglib is not installed. DataError: spglib finds no crystal.
    """

    def __init__(self, atoms: Atoms, repeats: tuple[int, int, int], precision: float = PRECISION) -> None:
        rotations, shifts = _operations(atoms, precision)
        whole = np.array(repeats)
        fits = _fitting(rotations, whole)
        self._rotations = rotations[fits]
        self.cell = atoms.cell.array
        inverse = np.linalg.inv(self.cell)
        self._cartesian = self.cell.T @ self._rotations @ inverse.T
        fractional = atoms.positions @ inverse
        self._images, jumps = self._permutations(fractional, shifts[fits], atoms.numbers, 10 * precision)
        self._sources = self._pairs(jumps, whole)
        self._negative = tuple(np.ix_(*[(-np.arange(n)) % n for n in repeats]))

    @property
    def order(self) -> int:
        """The number of operations, translations of the lattice not counted."""
        return len(self._rotations)

    def symmetric(self, blocks: NDArray) -> NDArray:
        """Of force constants: exchange of two atoms, space group, and no force from a translation."""
        shape, n = blocks.shape, blocks.shape[3] // 3
        even = 0.5 * (blocks + self._exchanged(blocks))
        flat = even.reshape(-1, n, 3, n, 3).transpose(1, 3, 0, 2, 4).reshape(-1, 3, 3)
        total = np.zeros_like(flat)
        for rotation, source in zip(self._cartesian, self._sources, strict=True):
            total += rotation.T @ flat[source] @ rotation
        total /= self.order
        found = total.reshape(n, n, -1, 3, 3).transpose(2, 0, 3, 1, 4).reshape(shape)
        return without_translations(found)

    def symmetric_vectors(self, vectors: NDArray) -> NDArray:
        """Of a vector for each atom [N, 3]."""
        turned = np.einsum("ska,sab->skb", vectors[self._images], self._cartesian)
        return turned.mean(axis=0)

    def symmetric_tensor(self, tensor: NDArray) -> NDArray:
        """Of a stress or strain [3, 3]."""
        even = 0.5 * (tensor + tensor.T)
        return (self._cartesian.transpose(0, 2, 1) @ even @ self._cartesian).mean(axis=0)

    def stars(self, repeats: tuple[int, int, int]) -> list[tuple[int, int, int]]:
        """One q point (h1, h2, h3 of q = h / n) of each set that the group and q -> -q make equal."""
        whole = np.array(repeats)
        seen: set[tuple[int, ...]] = set()
        found = []
        for place in np.ndindex(*repeats):
            if place in seen:
                continue
            found.append(place)
            q = np.array(place) / whole
            turned = np.rint(np.einsum("sba,b->sa", self._rotations, q) * whole).astype(int)
            for one in (*(turned % whole), *(-turned % whole)):
                seen.add(tuple(int(x) for x in one))
        return found

    def _exchanged(self, blocks: NDArray) -> NDArray:
        """Phi(j, i) for Phi(i, j)."""
        return blocks[self._negative].swapaxes(3, 4)

    def _permutations(
        self, fractional: NDArray, shifts: NDArray, numbers: NDArray, tolerance: float
    ) -> tuple[NDArray, NDArray]:
        """p [S, N], m [S, N, 3]."""
        moved = np.einsum("sab,kb->ska", self._rotations, fractional) + shifts[:, None]
        apart = moved[:, :, None] - fractional[None, None]
        whole = np.rint(apart)
        distances = np.linalg.norm((apart - whole) @ self.cell, axis=3)
        distances[:, numbers[:, None] != numbers[None, :]] = np.inf
        images = distances.argmin(axis=2)
        worst = float(np.take_along_axis(distances, images[:, :, None], axis=2).max())
        if worst > tolerance:
            raise DataError(f"an operation of the space group misses an atom by {worst:.1e} A")
        jumps = np.take_along_axis(whole, images[:, :, None, None], axis=2)[:, :, 0]
        return images, jumps.astype(np.int64)

    def _pairs(self, jumps: NDArray, repeats: NDArray) -> list[NDArray]:
        """For each operation, where each pair (k, k', n) goes: an index into pairs [N N cells]."""
        grid = np.indices(tuple(repeats)).reshape(3, -1).T
        count, cells = self._images.shape[1], len(grid)
        found = []
        for rotation, image, jump in zip(self._rotations, self._images, jumps, strict=True):
            turned = grid @ rotation.T
            cell = (turned[None, None] + jump[None, :, None] - jump[:, None, None]) % repeats
            number = np.ravel_multi_index(tuple(np.moveaxis(cell, 3, 0)), tuple(repeats))
            pair = image[:, None] * count + image[None, :]
            found.append((pair[:, :, None] * cells + number).ravel())
        return found


def without_translations(blocks: NDArray) -> NDArray:
    """P D(0) P with P orthogonal to the three translations: then a rigid shift has no force."""
    n = blocks.shape[3]
    rigid = np.tile(np.eye(3), (n // 3, 1)) / np.sqrt(n // 3)
    keep = np.eye(n) - rigid @ rigid.T
    gamma = blocks.sum(axis=AXES)
    return blocks + (keep @ gamma @ keep - gamma) / np.prod(blocks.shape[:3])


def symmetrised(constants: ForceConstants, precision: float = PRECISION) -> ForceConstants:
    """`constants` with the symmetry of their crystal. Raises what `SpaceGroup` raises."""
    group = SpaceGroup(constants.atoms, constants.repeats, precision)
    return constants.with_blocks(group.symmetric(constants.blocks))


def check_supercell(atoms: Atoms, repeats: tuple[int, int, int], precision: float = PRECISION) -> None:
    """Refuse a supercell that has not all rotations of the crystal: its q points are no whole stars, and as
    such the matrices are written.

    Raises:
        OptionsError: see there. MissingDependencyError, DataError: see `SpaceGroup`.
    """
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    rotations, _ = _operations(bare, precision)
    kept = int(_fitting(rotations, np.array(repeats)).sum())
    if kept == len(rotations):
        return
    largest = max(repeats)
    raise OptionsError(
        f"a supercell of {' x '.join(map(str, repeats))} has {kept} of the {len(rotations)} operations of "
        f"{atoms.symbols}: the stars of its q points are not whole, and no matrices can be written. Wanted "
        f"one with the symmetry of the crystal, as --supercell {largest} {largest} {largest}"
    )


def _fitting(rotations: NDArray, repeats: NDArray) -> NDArray:
    """[S], which rotations turn the lattice of the supercell into itself."""
    scaled = rotations * repeats[None, None, :] / repeats[None, :, None]
    found: NDArray = np.isclose(scaled, np.rint(scaled)).all(axis=(1, 2))
    return found


def _operations(atoms: Atoms, precision: float) -> tuple[NDArray, NDArray]:
    spglib = load("spglib", "sscha", "the symmetry of a crystal needs spglib")
    carried = per_atom(atoms) | {"masses": atoms.get_masses()}
    if any(values.ndim > 1 and np.any(values) for values in carried.values()):
        return np.eye(3, dtype=np.int64)[None], np.zeros((1, 3))  # nothing tells how these vectors turn
    marked = atoms.copy()
    marked.set_masses(atoms.get_masses())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        cell: Any = (atoms.cell.array, atoms.get_scaled_positions(), kinds(marked))
        found = spglib.get_symmetry(cell, symprec=precision)
    if found is None:
        raise DataError(f"{atoms.symbols}: spglib finds no crystal in it; are two atoms at one place?")
    return found["rotations"].astype(np.int64), found["translations"]
