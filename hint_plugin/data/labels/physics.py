"""What physics demands of second derivatives, measured on one label.

For the energy E(x) of atoms in no external field, with g = dE/dx and H = d2E/dx dx:

| quantity | why | equation |
|---|---|---|
| `translation_residual` | moving all atoms together changes nothing | sum_b H_ab = 0 |
| `rotation` | turning a molecule turns its gradient | H (w x r) = w x g, every axis w |
| `bond_ratio` | a bond is as stiff as its length says (Badger's rule) | -u.H_ij u ~ k(r_ij) |
| `product_ratio` | the same of pairs, without the sign | (Hv)_a ~ k(r_ij) u.(v_a - v_j) |
| `stability` | atoms at ordinary distances are held in place | tr H > 0 |
| `locality` | near atoms are coupled more strongly than far ones | the norm of H_ij falls |

A label is *full*, *rows* or pairs (v, Hv). Of pairs the same equations are known along the probes:
sum_a (Hv)_a = 0, (w x r).Hv = v.(w x g), and v.Hv in place of tr H and of the bonds. `None` is returned where
a quantity cannot be measured. Residuals are in eV/A^2, as elements of H are; ratios have no unit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

from hint_plugin.data.labels.bond_stiffness import bond_force_constants
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.data.labels.thresholds import flat_pairs, largest

#: Atoms at less than this multiple of the sum of their covalent radii are held by a bond of some kind.
_NEAR = 1.25
_MIN_ARM = 1.0  # A: below this lever arm an error of the forces is not to be blown up
#: Fewer atoms tell little about how coupling falls with distance: in a molecule, in a cell with its images.
_MIN_ATOMS, _MIN_ATOMS_OF_CELL = 12, 32
#: In smaller cells, modes that really are unstable (PdH, 2 atoms) can outweigh all others.
_MIN_ATOMS_STABLE = 8


class Rotation(NamedTuple):
    """How far H (w x r) = w x g is from true, how large w x g is, which is what it can say of the scale of H,
    and how large H (w x r) is; eV/A^2."""

    residual: float
    signal: float
    product: float = 0.0


class Measured(NamedTuple):
    """All quantities of one label; None where one cannot be measured."""

    size: float
    drift: float
    turn: Rotation | None
    bonds: float | None
    products: float | None
    stability: float | None
    locality: float | None
    is_placeholder: bool


def measure(label: HessianLabel, atoms: Atoms, forces: NDArray | None) -> Measured:
    """Measure all of them. Arguments as in `rotation`."""
    size = largest(label)
    return Measured(
        size=size,
        drift=translation_residual(label),
        turn=rotation(label, atoms, forces),
        bonds=bond_ratio(label, atoms),
        products=product_ratio(label, atoms),
        stability=stability(label, atoms),
        locality=locality(label, atoms),
        is_placeholder=size == 0 and is_placeholder(label, atoms),
    )


def translation_residual(label: HessianLabel) -> float:
    """Largest |sum_b H_ab|, eV/A^2; of pairs, largest |sum_a (Hv)_a| / |v|, which is of the same size for
    independent errors."""
    if label.hessian is not None:
        return float(np.abs(label.hessian.reshape(len(label.hessian), -1, 3).sum(axis=1)).max())
    v, hv = flat_pairs(label)
    sums = hv.reshape(len(hv), -1, 3).sum(axis=1)
    return float((np.abs(sums).max(axis=1) / np.linalg.norm(v, axis=1)).max())


def rotation(label: HessianLabel, atoms: Atoms, forces: NDArray | None) -> Rotation | None:
    """Largest element of H (w x r) - w x g over the longest lever arm (but at least 1 A); of pairs, along
    the probes.

    The axes w are the principal ones, and r is counted from the centroid, so that a broken sum rule does not
    count again.

    Args:
        label: of the structure.
        atoms: where nothing is periodic; else None is returned, since a rotation does not keep the lattice.
        forces: [N, 3], eV/A, of the same method; None where they are not known.
    """
    if forces is None or atoms.pbc.any() or len(atoms) < 2:
        return None
    r, g = atoms.positions - atoms.positions.mean(axis=0), -np.asarray(forces, dtype=float)
    residual = signal = product = 0.0
    for axis in np.linalg.svd(r)[2]:
        turn, turned = np.cross(axis, r), np.cross(axis, g)
        arm = max(float(np.linalg.norm(turn, axis=1).max()), _MIN_ARM)
        if label.hessian is not None:
            wanted = (turned if label.atoms is None else turned[label.atoms]).ravel()
            found = label.hessian @ turn.ravel()
        else:
            v, hv = flat_pairs(label)
            size = np.linalg.norm(v, axis=1)
            found, wanted = hv @ turn.ravel() / size, v @ turned.ravel() / size
        residual = max(residual, float(np.abs(found - wanted).max()) / arm)
        signal = max(signal, float(np.abs(wanted).max()) / arm)
        product = max(product, float(np.abs(found).max()) / arm)
    return Rotation(residual, signal, product)


def bond_ratio(label: HessianLabel, atoms: Atoms) -> float | None:
    """Stiffness of the covalent bonds between light non-metals, in units of what Badger's rule expects:
    about 1.

    full, rows: the median over bonds of -u.H_ij u / k. pairs: sum_k v.Hv over
    sum_k sum_bonds k (u.(v_j - v_i))^2, which asks for probes that stretch bonds.
    """
    i, j, unit, k = bond_force_constants(atoms)
    if i.size == 0:
        return None
    if label.hessian is not None:
        rows = np.arange(len(atoms)) if label.atoms is None else label.atoms
        place = np.full(len(atoms), -1)
        place[rows] = np.arange(len(rows))
        known = place[i] >= 0
        if not known.any():
            return None
        blocks = label.hessian.reshape(len(rows), 3, len(atoms), 3)[place[i[known]], :, j[known]]
        found = -np.einsum("ba,bac,bc->b", unit[known], blocks, unit[known])
        return float(np.median(found / k[known]))
    if label.probes is None or label.hvp is None:
        return None
    stretch = np.einsum("kba,ba->kb", label.probes[:, j] - label.probes[:, i], unit)
    expected = 0.5 * float((k * stretch**2).sum())  # both directions of a bond are listed
    of_random = float(k.sum()) * float((label.probes**2).sum()) / label.probes[0].size
    if expected < 0.4 * of_random:
        return None  # smooth probes, such as low modes, hardly stretch a bond
    return float((label.probes * label.hvp).sum()) / expected


def product_ratio(label: HessianLabel, atoms: Atoms) -> float | None:
    """Size of the products of pairs (v, Hv), in units of what Badger's rule expects: median over atoms.

    The root mean square over probes of |(Hv)_a|, over that of k u.(v_j - v_a) for the strongest bond of a.
    None of other labels, and where the entries of a probe are not of one size (as those of Rademacher probes
    are): a smooth probe, such as a low mode, has small products in any unit.
    """
    if label.probes is None or label.hvp is None or not is_rademacher(label.probes):
        return None
    i, j, unit, k = bond_force_constants(atoms)
    if i.size == 0:
        return None
    stretch = np.einsum("kba,ba->kb", label.probes[:, j] - label.probes[:, i], unit)
    expected = np.zeros(len(atoms))
    np.maximum.at(expected, i, k * np.sqrt((stretch**2).mean(axis=0)))
    found = np.sqrt((label.hvp**2).sum(axis=2).mean(axis=0))
    bonded = expected > 0
    return float(np.median(found[bonded] / expected[bonded])) if bonded.any() and found.any() else None


def is_rademacher(probes: NDArray) -> bool:
    """Whether all entries of each probe are of one size, which is not zero."""
    size = np.abs(probes).reshape(len(probes), -1)
    return bool(np.all(np.ptp(size, axis=1) <= 1e-6 * size.max(axis=1)) and size.any())


def is_placeholder(label: HessianLabel, atoms: Atoms) -> bool:
    """Whether a label that is zero everywhere cannot be right: some atom moves against a neighbour."""
    if len(atoms) == 1:
        return False  # an atom and its images move together: its Hessian is zero
    near = _has_neighbour(atoms)
    if label.hessian is not None:
        return bool(near.any() if label.atoms is None else near[label.atoms].any())
    assert label.probes is not None
    return bool((np.ptp(label.probes, axis=1).max(axis=1)[:, None] * near > 0).any())


def stability(label: HessianLabel, atoms: Atoms) -> float | None:
    """tr H over the sum of the absolute eigenvalues of its 3 x 3 blocks on the diagonal, -1 to 1; of pairs,
    v.Hv over |v||Hv|.

    None for cells of fewer than eight atoms, and where no two atoms are at an ordinary distance (below 1.25
    times the sum of their covalent radii): the energy of atoms far apart may well curve downwards.
    """
    if len(atoms) < (_MIN_ATOMS_STABLE if atoms.pbc.any() else 2):
        return None
    near = _has_neighbour(atoms)
    if label.hessian is None:
        v, hv = flat_pairs(label)
        size = np.linalg.norm(v) * np.linalg.norm(hv)
        return float((v * hv).sum() / size) if near.all() and size else None
    rows = np.arange(len(atoms)) if label.atoms is None else label.atoms
    rows = np.flatnonzero(near[rows]) if label.atoms is not None else np.flatnonzero(near)
    of = rows if label.atoms is None else label.atoms[rows]
    if not len(rows):
        return None
    n_rows = len(label.hessian) // 3
    own = label.hessian.reshape(n_rows, 3, len(atoms), 3)[rows, :, of]
    eigenvalues = np.linalg.eigvalsh(0.5 * (own + own.transpose(0, 2, 1)))
    size = float(np.abs(eigenvalues).sum())
    return float(eigenvalues.sum()) / size if size else 0.0


def locality(label: HessianLabel, atoms: Atoms) -> float | None:
    """Rank correlation between the norm of H_ij and the distance of i and j: about -1 where coupling falls
    with distance.

    Pairs of different elements are ranked apart: a stiff sublattice says nothing of a soft one. None of pairs
    (v, Hv), and where there are fewer than 12 atoms in a molecule or 32 in a cell.
    """
    if label.hessian is None or len(atoms) < (_MIN_ATOMS_OF_CELL if atoms.pbc.any() else _MIN_ATOMS):
        return None
    rows = np.arange(len(atoms)) if label.atoms is None else label.atoms
    distance = _distances(atoms, rows)
    norms = np.linalg.norm(label.hessian.reshape(len(rows), 3, len(atoms), 3), axis=(1, 3))
    other = rows[:, None] != np.arange(len(atoms))[None]
    z = atoms.numbers
    elements = np.minimum(z[rows][:, None], z) * 200 + np.maximum(z[rows][:, None], z)
    product = squares_x = squares_y = 0.0
    for kind in np.unique(elements):
        here = other & (elements == kind)
        if here.sum() < 3:
            continue
        x, y = (values - values.mean() for values in (_ranks(distance[here]), _ranks(norms[here])))
        scale = len(x) ** 2  # a class of pairs counts by its size
        product += float(x @ y) / scale
        squares_x += float(x @ x) / scale
        squares_y += float(y @ y) / scale
    return product / float(np.sqrt(squares_x * squares_y)) if squares_x and squares_y else None


def _ranks(values: NDArray) -> NDArray:
    """Ranks, equal for values that agree to three digits."""
    size = float(np.abs(values).max()) or 1.0
    _, inverse, counts = np.unique(np.round(values / size, 4), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - 0.5 * counts)[inverse]


def _distances(atoms: Atoms, rows: NDArray) -> NDArray:
    """[rows, N] shortest distances, A."""
    from ase.geometry import get_distances

    return get_distances(atoms.positions[rows], atoms.positions, cell=atoms.cell, pbc=atoms.pbc)[1]


def _has_neighbour(atoms: Atoms) -> NDArray:
    """[N] whether another atom is at an ordinary distance."""
    from ase.neighborlist import neighbor_list

    found = np.zeros(len(atoms), dtype=bool)
    found[neighbor_list("i", atoms, _NEAR * np.maximum(covalent_radii[atoms.numbers], 0.37))] = True
    return found
