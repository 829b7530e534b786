"""Are two structures the same thing? What is compared has to be; where it is not, the difference is said.

Crystals: elements and how many of each, masses, the lattice to a strain, the places of the atoms, the space
group; in any cell, orientation, origin and order of atoms. The strain of lattice B against A is

    max |s_k - 1|,    s: singular values of A^-1 M B,

for the whole-numbered M (of determinant 1) with which it is smallest, A and B being reduced primitive
cells (rows are vectors). Molecules: elements in their order, and bonds.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hint_plugin.data.structures.bonds import bonds
from hint_plugin.errors import DataError
from hint_plugin.optional import load

STRAIN = 0.05
"""The largest strain between lattices of one crystal: two functionals differ by 1 to 3 %."""
ASIDE = 0.5
"""A: how far an atom of the one may be from where the other has it, after the strain."""
MASS = 0.03
"""Relative: H and D differ by 2, two tables of masses by 1e-3, files with rounded masses by 1e-2."""
_LEAST_TURN = 1e-5  # A: far below what tells two ways apart
PRECISIONS = (1e-5, 1e-3, 1e-2, 5e-2)
"""A, within which a space group is looked for: files have as few as three digits."""


@dataclass(frozen=True)
class Likeness:
    """How two crystals compare: `difference` in words, "" for the same crystal; `strain` of their
    lattices, None where that was not looked at."""

    difference: str = ""
    strain: float | None = None


def compare_crystals(atoms: Atoms, other: Atoms, strain: float = STRAIN, masses: bool = True) -> Likeness:
    """Whether `other` is the crystal `atoms`.

    Args:
        atoms, other: any cells of crystals.
        strain: between their lattices, at most.
        masses: of each element, count.

    Raises:
        MissingDependencyError: spglib is not installed.
    """
    mine, theirs = _primitives(atoms, other)
    formulas = [str(cell.symbols.formula.convert("metal")) for cell in (mine, theirs)]
    if sorted(mine.numbers) != sorted(theirs.numbers):
        return Likeness(f"a primitive cell of it is {formulas[1]}, and not {formulas[0]}")
    if masses and (words := _masses(mine, theirs)):
        return Likeness(words)
    found = _strains(mine, theirs)
    smallest = float(found[0].min())
    if smallest > strain:
        volumes = [cell.get_volume() / len(cell) for cell in (theirs, mine)]
        return Likeness(
            f"its lattice differs by a strain of {100 * smallest:.1f} %, more than {100 * strain:g} % "
            f"({volumes[0]:.2f} and {volumes[1]:.2f} A^3 for each atom)",
            smallest,
        )
    if not _same_group(mine, theirs):
        groups = [_group(cell, 1e-3)[1] for cell in (theirs, mine)]
        return Likeness(f"its space group is {groups[0]}, and not {groups[1]}", smallest)
    if not any(_same_places(mine, theirs, turn) for turn in _best(found, strain)):
        return Likeness(f"its atoms are at other places in the cell, by more than {ASIDE} A", smallest)
    return Likeness("", smallest)


def check_same_crystal(
    atoms: Atoms, other: Atoms, name: str, strain: float = STRAIN, masses: bool = True, ordered: bool = False
) -> float:
    """Refuse to compare two crystals that are not the same one; returns the strain between their lattices.

    Args:
        atoms, other: any cells of crystals.
        name: of `other`, as the user knows it.
        strain, masses: see `compare_crystals`.
        ordered: the atoms are counted through: element by element, the order has to be the same.

    Raises:
        DataError: they differ; the message says in what.
    """
    if ordered and atoms.get_chemical_symbols() != other.get_chemical_symbols():
        raise DataError(
            f"{name} is of {other.symbols}; wanted {atoms.symbols}, with the atoms in the same order"
        )
    found = compare_crystals(atoms, other, strain, masses)
    if found.difference:
        raise DataError(
            f"{name} is of another crystal: {found.difference}. Wanted {atoms.symbols}, with the same "
            f"elements, space group and, to a strain of {100 * strain:g} %, lattice"
        )
    return found.strain or 0.0


def molecule_difference(atoms: Atoms, other: Atoms) -> str:
    """What makes `other` another molecule than `atoms`, in words; "" for the same: elements in the
    same order, and bonds (see `hint_plugin.data.structures.bonds`)."""
    if atoms.get_chemical_symbols() != other.get_chemical_symbols():
        return f"it is {other.symbols}, and not {atoms.symbols} in this order"
    before, after = bonds(atoms), bonds(other)
    changed = [
        f"{atoms.symbols[i]}{i}-{atoms.symbols[j]}{j} {'broken' if before[i, j] else 'formed'}"
        for i, j in np.argwhere(np.triu(before != after, 1))
    ]
    more = ", ..." if len(changed) > 5 else ""
    return f"its bonds differ: {', '.join(changed[:5])}{more}" if changed else ""


def _primitives(atoms: Atoms, other: Atoms) -> tuple[Atoms, Atoms]:
    """Primitive cells of both, within the smallest precision that makes them alike."""
    for precision in (1e-3, 2e-2):
        mine, theirs = _primitive(atoms, precision), _primitive(other, precision)
        if len(mine) == len(theirs):
            break
    return mine, theirs


def _primitive(atoms: Atoms, precision: float) -> Atoms:
    """A reduced primitive cell with the masses of the elements; the cell as it is where spglib finds none."""
    spglib: Any = load("spglib", "phonons", "comparing crystals needs spglib")
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with _quiet():
        found = spglib.find_primitive(cell, symprec=precision) or cell
        reduced = spglib.niggli_reduce(found[0])
    vectors = found[0] if reduced is None else reduced
    places = (found[1] @ found[0]) @ np.linalg.inv(vectors)
    made = Atoms(found[2], cell=vectors, scaled_positions=places % 1.0, pbc=True)
    of = dict(zip(atoms.numbers.tolist(), atoms.get_masses().tolist(), strict=True))
    made.set_masses([of[int(number)] for number in made.numbers])
    return made


def _masses(mine: Atoms, theirs: Atoms) -> str:
    for number in sorted(set(mine.numbers.tolist())):
        ours, other = (cell.get_masses()[cell.numbers == number][0] for cell in (mine, theirs))
        if abs(other - ours) > MASS * ours:
            symbol = mine.symbols[int(np.argmax(mine.numbers == number))]
            return f"its {symbol} has a mass of {other:.4g} amu, and not {ours:.4g}"
    return ""


@cache
def _turns() -> NDArray:
    """All M [K, 3, 3] of determinant 1 with elements -1, 0, 1: they join reduced cells of one lattice."""
    every = np.array(list(itertools.product((-1, 0, 1), repeat=9)), dtype=float).reshape(-1, 3, 3)
    return every[np.abs(np.linalg.det(every) - 1) < 1e-6]


def _strains(mine: Atoms, theirs: Atoms) -> tuple[NDArray, NDArray]:
    """(strain [K], M [K, 3, 3])."""
    turns = _turns()
    between = np.linalg.inv(mine.cell.array) @ (turns @ theirs.cell.array)
    values = np.linalg.eigvalsh(between.transpose(0, 2, 1) @ between)
    return np.abs(np.sqrt(np.maximum(values, 0.0)) - 1).max(axis=1), turns


def _best(found: tuple[NDArray, NDArray], strain: float) -> Iterator[NDArray]:
    order = np.argsort(found[0], kind="stable")
    for k in order[:200]:
        if found[0][k] > strain:
            return
        yield found[1][k]


def _same_places(mine: Atoms, theirs: Atoms, turn: NDArray) -> bool:
    """Whether the atoms are at the same fractional places, up to an origin and their order."""
    ours = mine.get_scaled_positions()
    places = (theirs.get_scaled_positions() @ np.linalg.inv(turn)) % 1.0
    counts = {number: int((mine.numbers == number).sum()) for number in set(mine.numbers.tolist())}
    rarest = min(counts, key=lambda number: counts[number])
    start = ours[mine.numbers == rarest][0]
    return any(
        _fits(mine, ours, theirs.numbers, places + start - first)
        for first in places[theirs.numbers == rarest]
    )


def _fits(mine: Atoms, ours: NDArray, numbers: NDArray, places: NDArray) -> bool:
    return _paired(mine.cell.array, mine.numbers, ours, numbers, places)[0] < ASIDE


def _paired(
    cell: NDArray, mine: NDArray, ours: NDArray, numbers: NDArray, places: NDArray
) -> tuple[float, NDArray]:
    """How far the farthest pair of atoms is apart, A, their common shift left out; and which atom of the
    other crystal each is. `ours`, `places`: fractional, in the vectors `cell`."""
    apart = places[None] - ours[:, None]
    apart -= np.rint(apart)
    distances = np.linalg.norm(apart @ cell, axis=2)
    distances[mine[:, None] != numbers[None]] = 1e6
    rows, columns = linear_sum_assignment(distances)
    moves = apart[rows, columns] @ cell
    return float(np.linalg.norm(moves - moves.mean(axis=0), axis=1).max()), columns


@dataclass(frozen=True)
class Placing:
    """How one crystal lies in another, of which it is the same: rotation, primitive vectors, atoms.

    Attributes:
        rotation: [3, 3], U: a vector v of the other crystal is v U here, a tensor T is U' T U.
        basis: [3, 3] of q: fractional coordinates q of the other's reciprocal lattice are q B here.
        atoms: [N], for each atom here that of the other it is an image of.
        apart: A, the largest distance of two such atoms that is left after turn, strain and origin.
    """

    rotation: NDArray
    basis: NDArray
    atoms: NDArray
    apart: float


class _Primitive(NamedTuple):
    """A reduced primitive cell in the place and orientation of the crystal: vectors, atoms, and for each
    atom of the crystal which of these it is."""

    vectors: NDArray
    numbers: NDArray
    positions: NDArray
    owner: NDArray


def placing(atoms: Atoms, other: Atoms, strain: float = STRAIN) -> Placing | None:
    """How `other` lies in `atoms`: of all ways in which the lattices fit, that in which strain and atoms fit
    best; None where none does.

    An operation of the lattice that is none of the crystal fits the lattices as well as the right one: only
    the atoms, and the small strains between unequal vectors, tell them apart.

    Args:
        atoms, other: any cells of crystals.
        strain: between the lattices, at most.

    Raises:
        MissingDependencyError: spglib is not installed.
    """
    for precision in (1e-5, 1e-3, 2e-2):
        mine, theirs = _in_place(atoms, precision), _in_place(other, precision)
        if len(mine.numbers) == len(theirs.numbers):
            break
    else:
        return None
    turns = _turns()
    between = np.linalg.inv(mine.vectors) @ (turns @ theirs.vectors)
    values = np.linalg.eigvalsh(between.transpose(0, 2, 1) @ between)
    strains = np.abs(np.sqrt(np.maximum(values, 0.0)) - 1).max(axis=1)
    length = abs(np.linalg.det(mine.vectors)) ** (1 / 3)
    best: tuple[float, float, NDArray, NDArray] | None = None
    for k in np.argsort(strains, kind="stable"):
        if strains[k] > strain or (best is not None and strains[k] * length > best[0]):
            break
        apart, columns = _best_origin(mine, theirs, turns[k])
        rotation = _rotation(turns[k] @ theirs.vectors, mine.vectors)
        # of equal ways (the operations of the crystal) the one that turns least
        cost = apart + float(strains[k]) * length + _LEAST_TURN * float(3 - np.trace(rotation))
        if apart < ASIDE and (best is None or cost < best[0]):
            best = (cost, apart, columns, turns[k])
    if best is None:
        return None
    _, apart, columns, turn = best
    basis = (_whole(mine.vectors, atoms) @ turn @ np.linalg.inv(_whole(theirs.vectors, other))).T
    chosen = np.array([int(np.flatnonzero(theirs.owner == c)[0]) for c in columns])
    return Placing(_rotation(turn @ theirs.vectors, mine.vectors), basis, chosen[mine.owner], apart)


def _rotation(vectors: NDArray, onto: NDArray) -> NDArray:
    """U, the rotation in `vectors` U = `onto` without its strain."""
    left, _, right = np.linalg.svd(np.linalg.inv(vectors) @ onto)
    found: NDArray = left @ right
    return found


def _whole(vectors: NDArray, atoms: Atoms) -> NDArray:
    """A with cell = A vectors."""
    found: NDArray = atoms.cell.array @ np.linalg.inv(vectors)
    return found


def _in_place(atoms: Atoms, precision: float) -> _Primitive:
    spglib: Any = load("spglib", "phonons", "comparing crystals needs spglib")
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with _quiet():
        found = spglib.get_symmetry_dataset(cell, symprec=precision)
        vectors = atoms.cell.array if found is None else np.asarray(found.primitive_lattice)
        reduced = spglib.niggli_reduce(vectors)
    owner = np.arange(len(atoms)) if found is None else np.asarray(found.mapping_to_primitive)
    first = [int(np.flatnonzero(owner == k)[0]) for k in range(int(owner.max()) + 1)]
    return _Primitive(
        vectors if reduced is None else _unturned(vectors, reduced),
        atoms.numbers[first],
        atoms.positions[first],
        owner,
    )


def _unturned(vectors: NDArray, reduced: NDArray) -> NDArray:
    """Niggli's vectors in the orientation of `vectors`, of whose lattice they are."""
    whole = np.rint(reduced @ np.linalg.inv(vectors))
    if np.abs(whole @ vectors - reduced).max() > 1e-4 * np.abs(vectors).max():
        return vectors  # spglib has turned them: the vectors as they are will do
    found: NDArray = whole @ vectors
    return found


def _best_origin(mine: _Primitive, theirs: _Primitive, turn: NDArray) -> tuple[float, NDArray]:
    ours = mine.positions @ np.linalg.inv(mine.vectors)
    places = theirs.positions @ np.linalg.inv(turn @ theirs.vectors)
    counts = {number: int((mine.numbers == number).sum()) for number in set(mine.numbers.tolist())}
    rarest = min(counts, key=lambda number: counts[number])
    start = ours[mine.numbers == rarest][0]
    if sorted(mine.numbers) != sorted(theirs.numbers):
        return np.inf, np.arange(len(mine.numbers))
    found = [
        _paired(mine.vectors, mine.numbers, ours, theirs.numbers, places + start - first)
        for first in places[theirs.numbers == rarest]
    ]
    return min(found, key=lambda one: one[0])


def _same_group(mine: Atoms, theirs: Atoms) -> bool:
    return any(_group(mine, p)[0] == _group(theirs, p)[0] for p in PRECISIONS)


def _group(atoms: Atoms, precision: float) -> tuple[int, str]:
    spglib: Any = load("spglib", "phonons", "comparing crystals needs spglib")
    with _quiet():
        found = spglib.get_spacegroup(
            (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), precision
        )
    if found is None:
        return 0, "?"
    symbol, number = str(found).replace("(", " ").replace(")", " ").split()[:2]
    return int(number), f"{symbol} ({number})"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
