"""Elementary reactions of a graph: at most two bonds break, at most two form, near to each other.

What comes out is a neutral closed shell (P. M. Zimmerman, J. Comput. Chem. 34, 1385 (2013)). The atoms keep
their order, so that reactant and product are mapped.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import rdDetermineBonds

from reactive.molecules import acceptable

Pair = tuple[int, int]
_KINDS = {(1, 1): 0.3, (2, 2): 0.45, (2, 1): 0.1, (1, 2): 0.1, (1, 0): 0.0, (0, 1): 0.05}
_MOST = {1: 1, 6: 4, 7: 3, 8: 2}  # neighbours
_NEAR = 3  # bonds between what breaks and what forms
_TWO_PARTS = 0.15  # of the products that fall into two molecules are taken; of more parts none
_EXCHANGE = 0.5  # of the bonds that form are between atoms that have lost one
_TRIES = 1500


def smiles_of(molecule: Chem.Mol) -> str:
    """Canonical, without hydrogens and without stereochemistry."""
    return Chem.MolToSmiles(Chem.RemoveHs(molecule), isomericSmiles=False)


def products(molecule: Chem.Mol, rng: random.Random) -> Iterator[Chem.Mol]:
    """Different isomers of a molecule with explicit hydrogens, in random order."""
    RDLogger.DisableLog("rdApp.*")  # of products that cannot be
    distance = Chem.GetDistanceMatrix(molecule)
    bonds = sorted(_pair(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds())
    seen = {smiles_of(molecule)}
    for _ in range(_TRIES):
        edit = random_edit(bonds, molecule, distance, rng)
        product = None if edit is None else changed(molecule, bonds, *edit)
        if product is None or smiles_of(product) in seen:
            continue
        seen.add(smiles_of(product))
        parts = smiles_of(product).count(".") + 1
        if parts == 1 or (parts == 2 and rng.random() < _TWO_PARTS):
            yield product


def random_edit(
    bonds: list[Pair], molecule: Chem.Mol, distance: np.ndarray, rng: random.Random
) -> tuple[set[Pair], set[Pair]] | None:
    """Bonds that break and bonds that form; None if the draw makes no sense."""
    n_break, n_form = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
    broken = _broken(n_break, bonds, distance, rng)
    freed = [atom for bond in sorted(broken) for atom in bond]
    formed: set[Pair] = set()
    for _ in range(n_form):
        i = rng.choice(freed) if freed else rng.randrange(molecule.GetNumAtoms())
        near = [j for j in range(len(distance)) if 1 < distance[i, j] <= _NEAR]
        exchanged = [j for j in freed if distance[i, j] > 1] if rng.random() < _EXCHANGE else []
        j = rng.choice(exchanged or near or [i])
        if i != j and _pair(i, j) not in bonds and not _hydrogens(molecule, i, j):
            formed.add(_pair(i, j))
    return (broken, formed) if len(broken) == n_break and len(formed) == n_form else None


def _broken(count: int, bonds: list[Pair], distance: np.ndarray, rng: random.Random) -> set[Pair]:
    if count == 0:
        return set()
    first = rng.choice(bonds)
    near = [b for b in bonds if b != first and distance[np.ix_(first, b)].min() < _NEAR]
    return {first, *rng.sample(near, min(count - 1, len(near)))}


def _hydrogens(molecule: Chem.Mol, i: int, j: int) -> bool:
    return all(molecule.GetAtomWithIdx(k).GetAtomicNum() == 1 for k in (i, j))


def changed(molecule: Chem.Mol, bonds: list[Pair], broken: set[Pair], formed: set[Pair]) -> Chem.Mol | None:
    """The product with bond orders of a neutral closed shell; None if there are none, or none wanted."""
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    kept = sorted((set(bonds) - broken) | formed)
    degree = np.bincount(np.ravel(kept), minlength=len(numbers))
    if any(not 0 < n <= _MOST[z] for n, z in zip(degree, numbers, strict=True)):
        return None
    product = _skeleton(numbers, kept)
    return product if with_bond_orders(product) and acceptable(product) else None


def with_bond_orders(molecule: Chem.Mol) -> bool:
    """Give the bonds of a neutral molecule their orders, in place; whether there are such."""
    try:
        rdDetermineBonds.DetermineBondOrders(
            molecule, charge=0, allowChargedFragments=False, embedChiral=False
        )
        Chem.SanitizeMol(molecule)
    except ValueError:
        return False
    return True


def _skeleton(numbers: list[int], bonds: list[Pair]) -> Chem.Mol:
    graph = Chem.RWMol()
    for number in numbers:
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        graph.AddAtom(atom)
    for i, j in bonds:
        graph.AddBond(i, j, Chem.BondType.SINGLE)
    return graph.GetMol()


def _pair(i: int, j: int) -> Pair:
    return (int(min(i, j)), int(max(i, j)))
