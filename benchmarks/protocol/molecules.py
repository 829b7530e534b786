"""All small closed-shell HCNO molecules by enumeration of their graphs; their displaced geometries and paths.

RDKit checks valences and makes geometries; geodesic-interpolate makes the paths between isomers (X. Zhu,
K. C. Thompson, T. J. Martinez, J. Chem. Phys. 150, 164103 (2019)).
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from _reaction_set import conformers
from ase import Atoms
from rdkit import Chem, RDLogger
from rdkit.Chem.rdMolTransforms import GetDihedralDeg, SetDihedralDeg

from hint_plugin.science.reactions.paths import same_random_numbers

_VALENCE = {"C": 4, "N": 3, "O": 2}


def enumerate_molecules(heavy: int) -> dict[str, Atoms]:
    """SMILES -> a geometry (UFF), for all molecules of 1 to ``heavy`` atoms of C, N, O, with hydrogens.

    Molecules with two bonds between heteroatoms are left out.
    """
    RDLogger.DisableLog("rdApp.*")
    found: dict[str, Atoms] = {}
    for smiles in sorted(_all_smiles(heavy), key=lambda s: (len(s), s)):
        for atoms in conformers(Chem.AddHs(Chem.MolFromSmiles(smiles)), seed=1, count=1):
            atoms.info["name"] = smiles
            found[smiles] = atoms
    return found


def _all_smiles(heavy: int) -> set[str]:
    """Graphs grown by an atom or a bond at a time, bond orders up to the valences."""
    level = {Chem.MolToSmiles(_with_atom(None, element, 0, 1)) for element in _VALENCE}
    every = set(level)
    for _ in range(heavy - 1):
        grown = set()
        for smiles in level:
            base = Chem.MolFromSmiles(smiles)
            for place, element, order in itertools.product(range(base.GetNumAtoms()), _VALENCE, (1, 2, 3)):
                grown |= _smiles_of(_with_atom(base, element, place, order))
        closed = grown
        while closed := {s for smiles in closed for s in _with_rings(smiles)} - grown:
            grown |= closed
        level = grown
        every |= level
    return {smiles for smiles in every if _sensible(Chem.MolFromSmiles(smiles))}


def _with_atom(base: Chem.Mol | None, element: str, place: int, order: int) -> Chem.RWMol:
    graph = Chem.RWMol(base) if base is not None else Chem.RWMol()
    new = graph.AddAtom(Chem.Atom(element))
    if base is not None:
        graph.AddBond(place, new, Chem.BondType.values[order])
    return graph


def _with_rings(smiles: str) -> set[str]:
    base = Chem.MolFromSmiles(smiles)
    found = set()
    for i, j in itertools.combinations(range(base.GetNumAtoms()), 2):
        if base.GetBondBetweenAtoms(i, j) is None:
            graph = Chem.RWMol(base)
            graph.AddBond(i, j, Chem.BondType.SINGLE)
            found |= _smiles_of(graph)
    return found


def _smiles_of(graph: Chem.RWMol) -> set[str]:
    """None, or one: the valences decide."""
    molecule = graph.GetMol()
    try:
        Chem.SanitizeMol(molecule)
    except ValueError:
        return set()
    return {Chem.MolToSmiles(molecule)}


def _sensible(molecule: Chem.Mol) -> bool:
    pairs = [{b.GetBeginAtom().GetSymbol(), b.GetEndAtom().GetSymbol()} for b in molecule.GetBonds()]
    return sum("C" not in pair for pair in pairs) <= 1


def isomer_paths(molecules: Sequence[Atoms], images: int, most: int, seed: int) -> list[list[Atoms]]:
    """Geodesic paths between molecules of the same formula, atoms matched at random within an element.

    Args:
        molecules: optimised; info ``name``.
        images: of each path, without its ends.
        most: paths.
    """
    rng = np.random.default_rng(seed)
    same: dict[str, list[Atoms]] = defaultdict(list)
    for atoms in molecules:
        same[atoms.get_chemical_formula()].append(atoms)
    pairs = [pair for group in same.values() for pair in itertools.combinations(group, 2)]
    chosen = [pairs[k] for k in rng.permutation(len(pairs))[:most]]
    return [geodesic(first, _matched(first, last, rng), images) for first, last in chosen]


def _matched(first: Atoms, last: Atoms, rng: np.random.Generator) -> Atoms:
    """``last`` in the order of ``first``'s elements, turned onto it; the best of some random matches."""
    from ase.build import minimize_rotation_and_translation

    best: tuple[float, Atoms] | None = None
    for _ in range(200):
        order = np.empty(len(first), dtype=int)
        for number in set(first.numbers):
            order[first.numbers == number] = rng.permutation(np.flatnonzero(last.numbers == number))
        trial = last[order]
        minimize_rotation_and_translation(first, trial)
        apart = float(np.square(trial.positions - first.positions).sum())
        if best is None or apart < best[0]:
            best = apart, trial
    assert best is not None
    return best[1]


def geodesic(first: Atoms, last: Atoms, images: int) -> list[Atoms]:
    """Images between two geometries of the same atoms, without the ends."""
    from geodesic_interpolate.geodesic import Geodesic
    from geodesic_interpolate.interpolation import redistribute

    symbols = list(first.symbols)
    with contextlib.redirect_stdout(io.StringIO()), same_random_numbers():
        raw = redistribute(symbols, [first.positions, last.positions], images + 2, tol=5e-2)
        path = Geodesic(symbols, raw)
        path.smooth(tol=2e-2)
    name = f"{first.info['name']}>{last.info['name']}"
    return [Atoms(symbols, positions, info={"name": name}) for positions in path.path[1:-1]]


def turned(smiles: str, degrees: float = 120.0) -> tuple[Atoms, Atoms] | None:
    """A molecule, and with its first single bond outside rings turned; None if it has no such bond."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    dihedral = molecule.GetSubstructMatch(Chem.MolFromSmarts("*~[!#1;!^1]-!@[!#1;!^1]~*"))
    geometry = next(iter(conformers(molecule, seed=1, count=1)), None)
    if not dihedral or geometry is None:
        return None
    molecule.AddConformer(Chem.Conformer(molecule.GetNumAtoms()))
    shape = molecule.GetConformer()
    shape.SetPositions(geometry.positions)
    before = GetDihedralDeg(shape, *dihedral)
    SetDihedralDeg(shape, *dihedral, before + degrees)
    return geometry, Atoms(geometry.symbols, shape.GetPositions())


def displaced(frames: Sequence[Atoms], copies: int, sigmas: Sequence[float], seed: int) -> list[Atoms]:
    """Gaussian displacements of all coordinates, the widths (A) in turn."""
    rng = np.random.default_rng(seed)
    found = []
    for atoms in frames:
        for k in range(copies):
            new = atoms.copy()
            new.positions += rng.normal(scale=sigmas[k % len(sigmas)], size=new.positions.shape)
            found.append(new)
    return found
