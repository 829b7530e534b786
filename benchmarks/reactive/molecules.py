"""Small closed-shell molecules of H, C, N, O: graphs that grow and change at random, in a fixed order.

A graph starts from one atom; atoms are added, rings closed, bonds made double or triple and elements changed,
as far as the valences allow. What is strained beyond reason, or hardly more than heteroatoms, is left out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from rdkit import Chem, RDLogger

_ELEMENTS = {"C": 0.62, "N": 0.2, "O": 0.18}
_SIZES = {1: 0.0, 2: 0.03, 3: 0.07, 4: 0.15, 5: 0.24, 6: 0.26, 7: 0.25}
_CHANGES = {"order": 0.55, "ring": 0.35, "element": 0.1}
_UNWANTED = [
    Chem.MolFromSmarts(smarts)
    for smarts in (
        "[#7,#8]~[#7,#8]~[#7,#8]",  # chains of heteroatoms
        "[#8]-[#8]",  # peroxides: GFN2-xTB breaks them
        "[r3,r4,r5,r6,r7]#[r3,r4,r5,r6,r7]",  # a triple bond in a ring
        "[r3,r4,r5,r6]=[#6;r3,r4,r5,r6]=[r3,r4,r5,r6]",  # an allene in a ring
        "[R]=[#6;r3]=*",
        "[R3]",  # cages
        "[R2;r3]=*",
    )
]
_TRIES = 400  # at most for one new molecule, before all of a size are taken for known


def molecules(count: int, heavy: int, seed: int) -> list[str]:
    """The first so many SMILES, none twice, with at most ``heavy`` atoms of C, N, O; fewer if there are
    fewer."""
    return list(islice(_all(heavy, random.Random(seed)), count))


def _all(heavy: int, rng: random.Random) -> Iterator[str]:
    RDLogger.DisableLog("rdApp.*")
    sizes = {size: weight for size, weight in _SIZES.items() if size <= heavy}
    seen: set[str] = set()
    failed = 0
    while failed < _TRIES:
        smiles = grown(_one_of(sizes, rng), rng)
        if smiles is None or smiles in seen:
            failed += 1
            continue
        failed = 0
        seen.add(smiles)
        yield smiles


def grown(size: int, rng: random.Random) -> str | None:
    """A random molecule with so many heavy atoms; None if the way led to one that is not wanted."""
    graph = Chem.RWMol()
    graph.AddAtom(Chem.Atom(_one_of(_ELEMENTS, rng)))
    while graph.GetNumAtoms() < size:
        graph = _valid(_with_atom(graph, rng)) or graph
    for _ in range(rng.choice((0, 1, 2, 2, 3, 3, 4))):
        graph = _valid(_changed(graph, rng)) or graph
    molecule = _valid(graph)
    return Chem.MolToSmiles(molecule) if molecule is not None and acceptable(molecule) else None


def acceptable(molecule: Chem.Mol) -> bool:
    """Neither charges nor radicals, no chains of heteroatoms, no absurd strain; hydrogens may be there."""
    if any(a.GetFormalCharge() or a.GetNumRadicalElectrons() for a in molecule.GetAtoms()):
        return False
    return not any(molecule.HasSubstructMatch(pattern) for pattern in _UNWANTED)


def _with_atom(graph: Chem.RWMol, rng: random.Random) -> Chem.RWMol:
    new = Chem.RWMol(graph)
    place = rng.randrange(new.GetNumAtoms())
    new.AddBond(place, new.AddAtom(Chem.Atom(_one_of(_ELEMENTS, rng))), Chem.BondType.SINGLE)
    return new


def _changed(graph: Chem.RWMol, rng: random.Random) -> Chem.RWMol:
    new, change = Chem.RWMol(graph), _one_of(_CHANGES, rng)
    if change == "element":
        new.GetAtomWithIdx(rng.randrange(new.GetNumAtoms())).SetAtomicNum(rng.choice((6, 7, 8)))
    elif change == "order" and new.GetNumBonds():
        bond = new.GetBondWithIdx(rng.randrange(new.GetNumBonds()))
        bond.SetBondType(rng.choice((Chem.BondType.DOUBLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)))
    elif change == "ring" and new.GetNumAtoms() > 2:
        i, j = rng.sample(range(new.GetNumAtoms()), 2)
        if new.GetBondBetweenAtoms(i, j) is None:
            new.AddBond(i, j, Chem.BondType.SINGLE)
    return new


def _valid(graph: Chem.RWMol) -> Chem.RWMol | None:
    """The graph with its rings known; None where a valence is too large."""
    try:
        Chem.SanitizeMol(graph)
        Chem.Kekulize(graph, clearAromaticFlags=True)
    except ValueError:
        return None
    return graph


def _one_of(weights: dict, rng: random.Random):  # noqa: ANN202 - the type of the keys
    return rng.choices(list(weights), list(weights.values()))[0]
