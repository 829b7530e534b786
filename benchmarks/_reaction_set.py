"""Elementary reactions of small HCNO molecules, made by changing bonds; and the files of a set of them.

A molecule is a graph; a reaction breaks at most two of its bonds, forms at most two, and leaves a neutral
closed shell (the changes of Zimmerman's reaction discovery, J. Comput. Chem. 34, 1385 (2013)). The atoms keep
their order, so each pair is mapped. RDKit makes bond orders and geometries.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem
from reactive.edits import with_bond_orders

from hint_plugin.data import write_frames
from hint_plugin.science.molecules.alignment import rmsd

#: Molecules of 4 to 10 atoms.
MOLECULES = """
C=O N=C CO CN C#N C=C C#C CC CC=O C=CO C1CO1 OC=O O=C=O.[H][H] N=C=O NC=O CC#N C[N+]#[C-] C=NO CN=O C=C=O
OC#C C=CN CC=N C1CN1 CCO COC OCO NCO CNC CCN CON NCN C=CC C1CC1 C#CC C=C=C OCC=O COC=O CC(=O)O OC=CO C1OCO1
NC(=O)N CNC=O CC(N)=O OCC#N NCC#N N#CC=O C=CC=O C#CCO C#CC=O CC=C=O O=CC=O C=CC#N ON=CO
"""
CONFORMERS = 8
_ELEMENTS = {"H", "C", "N", "O"}


def candidates(count: int, seed: int) -> Iterator[tuple[str, Atoms, Atoms]]:
    """(name, reactant, product), at most ``count``, spread over the molecules; none twice."""
    RDLogger.DisableLog("rdApp.*")
    rng = random.Random(seed)
    queues = []
    for smiles in MOLECULES.split():
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        edits = list(_edits(molecule))
        rng.shuffle(edits)
        queues.append((smiles, molecule, edits))
    seen: set[tuple[str, str]] = set()
    made = 0
    while queues and made < count:
        smiles, molecule, edits = queues.pop(0)
        pair = _next_product(molecule, edits, seen)
        if pair is None:
            continue
        queues.append((smiles, molecule, edits))
        geometries = _geometries(*pair, seed=seed + made)
        if geometries is None:
            continue
        yield f"r{made:03d}", *geometries
        made += 1


def _edits(molecule: Chem.Mol) -> Iterator[tuple[tuple, tuple]]:
    """Bonds to break and to form: one and one, two and one, one and two, two and two, none and one or two."""
    bonds = [tuple(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))) for b in molecule.GetBonds()]
    others = [p for p in itertools.combinations(range(molecule.GetNumAtoms()), 2) if p not in set(bonds)]
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    others = [pair for pair in others if [symbols[i] for i in pair] != ["H", "H"]]
    for n_break, n_form in ((1, 1), (0, 1), (1, 0), (2, 1), (1, 2), (2, 2)):
        for broken in itertools.combinations(bonds, n_break):
            near = {atom for bond in broken for atom in bond}
            for formed in itertools.combinations(others, n_form):
                if not near or all(near & set(pair) for pair in formed):  # concerted: at the same atoms
                    yield broken, formed


def _next_product(
    molecule: Chem.Mol, edits: list, seen: set[tuple[str, str]]
) -> tuple[Chem.Mol, Chem.Mol] | None:
    start = Chem.MolToSmiles(Chem.RemoveHs(molecule))
    while edits:
        product = _changed(molecule, *edits.pop())
        if product is None:
            continue
        end = Chem.MolToSmiles(Chem.RemoveHs(product))
        key = (start, end) if start < end else (end, start)
        if start == end or key in seen or "." in end and "." not in start and end.count(".") > 1:
            continue
        seen.add(key)
        return molecule, product
    return None


def _changed(molecule: Chem.Mol, broken: tuple, formed: tuple) -> Chem.Mol | None:
    """The product with bond orders of a neutral closed shell; None if there are none."""
    graph = Chem.RWMol()
    for atom in molecule.GetAtoms():
        new = Chem.Atom(atom.GetSymbol())
        new.SetNoImplicit(True)
        graph.AddAtom(new)
    kept = {tuple(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))) for b in molecule.GetBonds()}
    bonds = (kept - set(broken)) | set(formed)
    degree = np.bincount([i for bond in bonds for i in bond], minlength=graph.GetNumAtoms())
    most = {"H": 1, "C": 4, "N": 3, "O": 2}
    if any(not 0 < degree[a.GetIdx()] <= most[a.GetSymbol()] for a in graph.GetAtoms()):
        return None
    for i, j in bonds:
        graph.AddBond(i, j, Chem.BondType.SINGLE)
    product = graph.GetMol()
    if not with_bond_orders(product):
        return None
    if any(atom.GetFormalCharge() or atom.GetNumRadicalElectrons() for atom in product.GetAtoms()):
        return None
    return product


def _geometries(reactant: Chem.Mol, product: Chem.Mol, seed: int) -> tuple[Atoms, Atoms] | None:
    """The pair of conformers that are most alike."""
    firsts, lasts = conformers(reactant, seed + 1), conformers(product, seed + 1)
    if not firsts or not lasts:
        return None
    return min(itertools.product(firsts, lasts), key=lambda pair: rmsd(*pair))


def conformers(molecule: Chem.Mol, seed: int, count: int = CONFORMERS) -> list[Atoms]:
    """Geometries of a molecule with its hydrogens, at most ``count``, by UFF where it has parameters."""
    molecule = Chem.Mol(molecule)
    found = AllChem.EmbedMultipleConfs(molecule, count, randomSeed=seed)
    if found and AllChem.UFFHasAllMoleculeParams(molecule):
        AllChem.UFFOptimizeMoleculeConfs(molecule)
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    return [Atoms(symbols, molecule.GetConformer(k).GetPositions()) for k in found]


def write_candidates(folder: Path, count: int, seed: int) -> int:
    """A folder a reaction, with reactant.xyz and product.xyz; returns how many."""
    made = 0
    for name, reactant, product in candidates(count, seed):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_frames(folder / name / "reactant.xyz", [reactant])
        write_frames(folder / name / "product.xyz", [product])
        made += 1
    return made
