"""The exact Hessian of a big system from few products: atoms whose columns do not meet share a probe.

An atom's energy depends on atoms up to h neighbours away. So the block H_ij (3 x 3) is zero unless some atom
k is within h neighbours of both, that is unless i and j are within 2 h neighbours of each other: the pattern
P. If every atom of a colour class moves at once along b,

    y_c,b = H sum_{j in c} e_jb,        (y_c,b)_ka = sum_{j in c, P_kj} H_(ka)(jb)

and a block can be read off y wherever the row k meets the class c once. Two ways to make it so:

*direct* (Curtis, Powell, Reid, IMA J. Appl. Math. 13, 117 (1974)): no row meets a class twice; atoms of a
class are further than 4 h neighbours apart;
*substitution* (Powell, Toint, SIAM J. Numer. Anal. 16, 1060 (1979); Coleman, More, Math. Program. 28, 243
(1984)): only the rows from the diagonal down, in some order of the atoms, meet a class once. Rows are then
solved from the last to the first; what lies above the diagonal is known by symmetry, H_kj = H_jk^T, and is
subtracted. That needs about half as many classes.

Both are exact: nothing is neglected. The number of classes depends on how many atoms an atom sees, not on how
many there are. Classes are found greedily, then fewer by going through the classes of the last time (iterated
greedy algorithm, Culberson 1992), which costs little beside a product.

| symbol | variable |
|---|---|
| P, [N, N] | `pattern` |
| c(j) | `colours` [N] |
| y_c,b | `products` [C, 3, N, 3] |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

#: How often classes are gone through again.
ROUNDS = 6
_ROOM = 64  # classes that are made room for at once

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def hessian_pattern(edges: Integers, n: int, hops: int) -> sparse.csr_matrix:
    """P [N, N]: which blocks of a Hessian can differ from zero.

    Args:
        edges: pairs [2, E] of neighbours, each in both directions or in one.
        n: number of atoms.
        hops: h, how many neighbours away an atom's energy feels.

    Returns:
        boolean, with the diagonal, its indices sorted.
    """
    ones = np.ones(edges.shape[1], dtype=np.int32)
    near = sparse.csr_matrix((ones, (edges[0], edges[1])), shape=(n, n))
    near = _filled(near + near.T + sparse.identity(n, dtype=np.int32, format="csr"))
    found = sparse.identity(n, dtype=np.int32, format="csr")
    for _ in range(2 * hops):
        found = _filled(found @ near)
    found = found.astype(bool)
    found.sort_indices()
    return found


def _filled(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    found = sparse.csr_matrix(matrix)
    found.data[:] = 1
    return found


@dataclass(frozen=True)
class Colouring:
    """Classes of atoms that share probes.

    Attributes:
        pattern: P [N, N].
        colours: [N], the class of each atom.
        position: [N], the place of each atom in the order of substitution; None: blocks are read off.
    """

    pattern: sparse.csr_matrix
    colours: Integers
    position: Integers | None

    @property
    def count(self) -> int:
        """Number of classes; 3 times as many products are needed."""
        return int(self.colours.max()) + 1 if len(self.colours) else 0

    def probes(self, at_once: int = 48) -> Iterator[tuple[slice, Floats]]:
        """Probes [K, N, 3] in order of (class, axis), and which of the 3 C they are, so many at once."""
        n, total = len(self.colours), 3 * self.count
        for start in range(0, total, at_once):
            stop = min(start + at_once, total)
            block = np.zeros((stop - start, n, 3))
            for k in range(start, stop):
                block[k - start, self.colours == k // 3, k % 3] = 1.0
            yield slice(start, stop), block

    def recover(self, products: Floats) -> sparse.bsr_matrix:
        """H [3N, 3N] in blocks of 3 x 3, symmetric.

        Args:
            products: H v for all probes, [3 C, N, 3] or [C, 3, N, 3].

        Raises:
            ValueError: another shape.
        """
        n = len(self.colours)
        if products.size != 9 * self.count * n:
            raise ValueError(f"products of shape {products.shape}; wanted ({3 * self.count}, {n}, 3)")
        y = products.reshape(self.count, 3, n, 3)
        blocks = self._direct(y) if self.position is None else self._by_substitution(y, self.position)
        shape = (3 * n, 3 * n)
        return sparse.bsr_matrix((blocks, self.pattern.indices, self.pattern.indptr), shape=shape)

    def _direct(self, y: Floats) -> Floats:
        columns = self.pattern.indices
        rows = np.repeat(np.arange(len(self.colours)), np.diff(self.pattern.indptr))
        blocks = y[self.colours[columns], :, rows, :].transpose(0, 2, 1)
        mirrored = blocks[self._mirror()].transpose(0, 2, 1)
        return np.ascontiguousarray(0.5 * (blocks + mirrored))

    def _by_substitution(self, y: Floats, position: Integers) -> Floats:
        starts, columns, mirror = self.pattern.indptr, self.pattern.indices, self._mirror()
        blocks = np.empty((len(columns), 3, 3))
        for k in np.argsort(position)[::-1]:
            place = np.arange(starts[k], starts[k + 1])
            colours = self.colours[columns[place]]
            known = position[columns[place]] > position[k]
            blocks[place[known]] = blocks[mirror[place[known]]].transpose(0, 2, 1)
            rest = y[:, :, k, :].transpose(0, 2, 1).copy()  # [C, 3, 3]
            np.subtract.at(rest, colours[known], blocks[place[known]])
            blocks[place[~known]] = rest[colours[~known]]
            diagonal = place[columns[place] == k]
            blocks[diagonal] = 0.5 * (blocks[diagonal] + blocks[diagonal].transpose(0, 2, 1))
        return blocks

    def _mirror(self) -> Integers:
        """Where the block (j, i) of each block (i, j) is."""
        numbered = self.pattern.astype(np.int64)
        numbered.data = np.arange(len(numbered.data), dtype=np.int64)
        turned = sparse.csr_matrix(numbered.T)
        turned.sort_indices()
        return np.asarray(turned.data, dtype=np.int64)


def colour(pattern: sparse.csr_matrix, *, substitution: bool = True, rounds: int = ROUNDS) -> Colouring:
    """Few classes for the columns of a symmetric matrix.

    Args:
        pattern: [N, N], symmetric, with its diagonal; of `hessian_pattern`.
        substitution: see the module; False: every block is read off a product, without differences.
        rounds: how often classes are gone through again.
    """
    n = pattern.shape[0]
    order = _smallest_last(pattern)
    position = np.empty(n, dtype=np.int64)
    position[order] = np.arange(n)
    rows = [pattern.indices[a:b] for a, b in zip(pattern.indptr[:-1], pattern.indptr[1:], strict=True)]
    if substitution:
        rows = [near[position[near] >= position[j]] for j, near in enumerate(rows)]
    colours = _greedy(rows, order, n)
    rng = np.random.default_rng(0)
    for turn in range(rounds):
        count = int(colours.max()) + 1 if n else 0
        rank = -np.bincount(colours, minlength=count) + rng.random(count)  # large classes first
        if turn % 2:
            rank = -np.arange(count, dtype=float)
        colours = _greedy(rows, np.lexsort((position, rank[colours])), n)
    found = Colouring(pattern, colours, position if substitution else None)
    # a class for each atom: the products are the columns
    return found if found.count < n else Colouring(pattern, np.arange(n, dtype=np.int64), None)


def shared(pattern: sparse.csr_matrix, atoms: Integers) -> Integers:
    """Which of some vectors, each on one atom, can share a probe: a number for each of `atoms` [K].

    No row of the pattern meets two vectors of the same number, so the products of all of them can be told
    apart; an atom may be there several times.
    """
    rows = [pattern.indices[pattern.indptr[a] : pattern.indptr[a + 1]] for a in atoms]
    return _greedy(rows, np.arange(len(atoms)), pattern.shape[0])


def _greedy(rows: list[Integers], order: Integers, n: int) -> Integers:
    """The first class that none of the rows of a column has met, column by column."""
    met = np.zeros((n, _ROOM), dtype=bool)
    colours = np.full(len(rows), -1, dtype=np.int64)
    for j in order:
        taken = met[rows[j]].any(axis=0)
        first = int(taken.argmin())
        if taken[first]:
            first = met.shape[1]
            met = np.concatenate([met, np.zeros((n, _ROOM), dtype=bool)], axis=1)
        met[rows[j], first] = True
        colours[j] = first
    return colours


def _smallest_last(pattern: sparse.csr_matrix) -> Integers:
    """The atom with the fewest neighbours among those left goes to the end of the order, again and again."""
    n = pattern.shape[0]
    degrees = np.diff(pattern.indptr).astype(np.int64)
    order = np.empty(n, dtype=np.int64)
    for place in range(n - 1, -1, -1):
        atom = int(degrees.argmin())
        order[place] = atom
        degrees[pattern.indices[pattern.indptr[atom] : pattern.indptr[atom + 1]]] -= 1
        degrees[atom] = np.iinfo(np.int64).max // 2
    return order
