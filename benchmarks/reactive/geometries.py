"""Geometries of graphs: conformers, minima on GFN2-xTB that keep the graph, products laid onto reactants."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.optimize import BFGS
from rdkit import Chem
from rdkit.Chem import AllChem

from hint_plugin.errors import EngineError
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.molecules.modes import largest_force
from hint_plugin.science.reactions import bonds

FORCE, STEPS = 0.01, 300  # eV/A, of minima; steps at most
_CONFORMERS = 6
_NOISE = 0.12  # A


class Dropped(Exception):
    """Something that could not be made; the text is the kind that is counted."""


def embedded(molecule: Chem.Mol, seed: int, count: int = 1) -> list[Atoms]:
    """Conformers of a molecule with its hydrogens, by UFF where it has parameters; at most ``count``."""
    work = Chem.Mol(molecule)
    found = AllChem.EmbedMultipleConfs(work, count, randomSeed=seed, maxAttempts=20)
    if found and AllChem.UFFHasAllMoleculeParams(work):
        AllChem.UFFOptimizeMoleculeConfs(work)
    return [_atoms(work, k) for k in found]


def pulled(molecule: Chem.Mol, start: Atoms) -> list[Atoms]:
    """The geometry that UFF makes of another isomer's: the way is short, and hands are kept; none or one."""
    work = Chem.Mol(molecule)
    if not AllChem.UFFHasAllMoleculeParams(work):
        return []
    shape = Chem.Conformer(len(start))
    shape.SetPositions(np.ascontiguousarray(start.positions))
    work.RemoveAllConformers()
    work.AddConformer(shape)
    AllChem.UFFOptimizeMolecule(work, maxIters=1000)
    found = _atoms(work, 0)
    return [found] if np.isfinite(found.positions).all() and has_graph(found, molecule) else []


def _atoms(molecule: Chem.Mol, conformer: int) -> Atoms:
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    return Atoms(symbols, molecule.GetConformer(conformer).GetPositions())


def has_graph(atoms: Atoms, molecule: Chem.Mol) -> bool:
    """Whether the atoms that are near to each other are those that are bonded."""
    wanted = Chem.GetAdjacencyMatrix(molecule).astype(bool)
    return bool((bonds(atoms) == wanted).all())


def relaxed(atoms: Atoms, calculator: Any) -> Atoms:
    """The minimum that quasi-Newton steps lead to. Raises Dropped.

    A little noise at the start leads away from symmetric saddles, as those of eclipsed methyl groups.
    """
    found = Atoms(atoms.symbols, atoms.positions, calculator=calculator)
    found.rattle(_NOISE, seed=len(atoms))
    try:
        BFGS(found, logfile=None, maxstep=0.1).run(fmax=FORCE, steps=STEPS)
        converged = largest_force(found.get_forces()) <= FORCE
    except EngineError:
        converged = False
    if not converged:
        raise Dropped("not relaxed")
    return found


def minimum(molecule: Chem.Mol, seed: int, calculator: Any) -> Atoms:
    """Of a molecule with its hydrogens. Raises Dropped."""
    found = embedded(molecule, seed)
    if not found:
        raise Dropped("not embedded")
    atoms = relaxed(found[0], calculator)
    if not has_graph(atoms, molecule):
        raise Dropped("molecule changed")
    return atoms


def product_of(reactant: Atoms, molecule: Chem.Mol, seed: int, calculator: Any) -> Atoms:
    """The minimum of an isomer that is most like the reactant, turned onto it. Raises Dropped."""
    found = pulled(molecule, reactant) or embedded(molecule, seed, _CONFORMERS)
    if not found:
        raise Dropped("product not embedded")
    atoms = relaxed(min(found, key=lambda a: rmsd(reactant, a)), calculator)
    if not has_graph(atoms, molecule):
        raise Dropped("product changed")
    minimize_rotation_and_translation(reactant, atoms)
    return atoms
