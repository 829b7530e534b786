"""Keys of a structure: which frames are the same formula, the same molecule, the same structure.

formula: the elements, counted.

molecule: the graph of bonds. Atoms are bonded where d < 1.3 (r_i + r_j), with ASE's covalent radii. The
graph's name is a Weisfeiler-Lehman hash (Shervashidze et al., J. Mach. Learn. Res. 12, 2539 (2011)): each
atom starts with its element and takes up its neighbours' names until no more atoms can be told apart.
Conformers, and images of a path before a bond breaks, have one key. Graphs that the test cannot tell apart
(some fused rings) share a key as well: for a split that is the safe side.

structure: the numbers of `fingerprint`, for cells also the cube root of the volume (A), rounded to 2e-3
and hashed together with formula and pbc. They do not change under translation, rotation, reflection, and
permutation of atoms, and see displacements to first order at symmetric sites as well. Each structure has
three such keys, rounded with offsets of thirds: two structures are the same if one of the keys agrees, so
copies that differ by the last digits of a text file are found. Measured on rotated, permuted and rounded
copies and on displacements of 0.01 A: docs/datasets.md.
"""

from __future__ import annotations

import hashlib

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from hint_plugin.data.structures.fingerprint import CUTOFF, fingerprint

BOND_STRETCH = 1.3  # C-H up to 1.4 A; H...H in CH2 stays apart
RESOLUTION = 2e-3
KEYS = 3
"""Keys of a structure, for `structure_keys`."""


def formula_key(atoms: Atoms) -> str:
    """Elements and their counts, in Hill order."""
    return atoms.get_chemical_formula()


def molecule_key(atoms: Atoms) -> str:
    """Formula and a hash of the graph of bonds."""
    radii = covalent_radii[atoms.numbers]
    i, j, distance, _ = pairs_within(atoms, BOND_STRETCH * 2 * radii.max(initial=0.0))
    bonded = distance < BOND_STRETCH * (radii[i] + radii[j])
    i, j = i[bonded], j[bonded]
    names = _mix(atoms.numbers.astype(np.uint64))
    classes = len(np.unique(names))
    while True:
        around = np.zeros(len(atoms), np.uint64)
        np.add.at(around, i, _mix(names[j] ^ np.uint64(0x5851F42D4C957F2D)))
        names = _mix(names + np.uint64(3) * _mix(around))
        now = len(np.unique(names))
        if now == classes:
            break
        classes = now
    return f"{formula_key(atoms)}:{_hex(np.sort(names).tobytes())}"


def structure_keys(atoms: Atoms) -> tuple[str, ...]:
    """`KEYS` hashes of the geometry; structures that share one of them are the same."""
    periodic = _is_periodic(atoms)
    i, j, d, vectors = pairs_within(atoms, CUTOFF if periodic else None)
    values = fingerprint(atoms, periodic, i, j, d, vectors)
    if periodic:
        values = np.append(values, np.cbrt(abs(atoms.cell.volume)))
    head = f"{formula_key(atoms)}{atoms.pbc.astype(int)}".encode()
    keys = []
    for number in range(KEYS):
        whole = np.floor(values / RESOLUTION + number / KEYS).astype(np.int64)
        keys.append("abc"[number] + _hex(head + whole.tobytes()))
    return tuple(keys)


def pairs_within(atoms: Atoms, cutoff: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """i, j, distance, vector (A) of all pairs, both ways, that are nearer than the cutoff, if any."""
    n = len(atoms)
    if _is_periodic(atoms) or (cutoff is not None and n > 1000):
        if atoms.pbc.all():
            import vesin

            search = vesin.NeighborList(cutoff=float(cutoff or 0), full_list=True)
            i, j, d, vectors = search.compute(atoms.positions, atoms.cell.array, True, "ijdD")
            return i.astype(np.int64), j.astype(np.int64), d, vectors
        from ase.neighborlist import neighbor_list

        return neighbor_list("ijdD", atoms, float(cutoff or 0))
    x = atoms.positions
    difference = x[None] - x[:, None]
    distance = np.sqrt((difference**2).sum(-1))
    near = ~np.eye(n, dtype=bool)
    if cutoff is not None:
        near &= distance < cutoff
    i, j = np.nonzero(near)
    return i, j, distance[i, j], difference[i, j]


def nearest_distance(atoms: Atoms) -> float:
    """The smallest distance between two atoms (A), images included; infinite for one atom alone."""
    if not _is_periodic(atoms) and len(atoms) <= 1000:
        d = pairs_within(atoms, None)[2]
        return float(d.min()) if d.size else np.inf
    cutoff = 1.5
    while cutoff < 30:
        d = pairs_within(atoms, cutoff)[2]
        if d.size:
            return float(d.min())
        cutoff *= 2
    return np.inf


def _is_periodic(atoms: Atoms) -> bool:
    """Periodic, and with a cell to be so."""
    vectors = np.linalg.norm(atoms.cell.array, axis=1)[atoms.pbc]
    return bool(vectors.size and vectors.min() > 0)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: every bit of the result depends on every bit of x."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _hex(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=8).hexdigest()
