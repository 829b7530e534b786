"""Conformers: whether two geometries are one, whether two structures are of one molecule, and new ones.

Two geometries are one conformer if their energies differ by less than `SAME_ENERGY` and, after the best
rotation, their atoms by less than `SAME_RMSD`. Identical atoms may change places: a methyl group that has
turned by a third is the same. Each geometry stands for all that differ by such a change, and its symmetry
number counts them.

A mirror image is the same conformer, of degeneracy 2, where the molecule can turn into it without breaking
bonds (gauche butane). Where atoms with four different neighbours make the molecule itself chiral, the mirror
image is another molecule, and counts neither as a conformer nor in the degeneracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.core.point_group import is_linear, partners, rotations_onto
from hint_plugin.data.structures.bonds import bonds, environments
from hint_plugin.data.structures.electrons import ELECTRON_INFO
from hint_plugin.errors import DataError
from hint_plugin.optional import load
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.molecules.rotational_symmetry import is_chiral, kinds_of
from hint_plugin.science.same_structure import molecule_difference

SAME_ENERGY = 2e-3
"""eV: 0.05 kcal/mol, and with `SAME_RMSD` the value of CREST (P. Pracht, F. Bohle, S. Grimme, Phys. Chem.
Chem. Phys. 22, 7169 (2020)). Searches to 0.01 eV/A end within a tenth of it."""
SAME_RMSD = 0.125
"""A. See `SAME_ENERGY`."""
PRUNE = 0.2
"""A: new conformers that are nearer to one before are left out (`apart`)."""
_PYRAMIDS = (15, 16, 33, 34)
"""P, S, As, Se keep their configuration with three neighbours; N turns inside out."""


@dataclass(frozen=True)
class Configuration:
    """The handedness of the atoms of a molecule that have different neighbours.

    Attributes:
        centres: how often an atom of this kind (a number of `_classes`) has this sign.
    """

    centres: Counter[tuple[int, int]]

    @property
    def mirrored(self) -> Configuration:
        """Of the mirror image."""
        return Configuration(Counter({(kind, -sign): count for (kind, sign), count in self.centres.items()}))

    @property
    def chiral(self) -> bool:
        """Whether the mirror image is another molecule."""
        return self.centres != self.mirrored.centres


def configuration(atoms: Atoms, bonded: NDArray | None = None) -> Configuration:
    """The configuration of a geometry.

    An atom counts if its four neighbours (of P, S, As and Se also three) are of four kinds, by the bonds of
    the whole molecule. Its sign is that of the volume that they span, in the order of their kinds.

    Args:
        atoms: a geometry.
        bonded: [N, N], which atoms are bonded; None: by the distances. Of geometries that are compared it has
            to be the same.
    """
    bonded = bonds(atoms) if bonded is None else bonded
    kinds = _environments(atoms, bonded)
    found: Counter[tuple[int, int]] = Counter()
    for centre, row in enumerate(bonded):
        near = np.flatnonzero(row)
        if len(near) != 4 and not (len(near) == 3 and atoms.numbers[centre] in _PYRAMIDS):
            continue
        if len(set(kinds[near].tolist())) < len(near):
            continue
        ordered = atoms.positions[near[np.argsort(kinds[near])]]
        start = ordered[3] if len(near) == 4 else atoms.positions[centre]
        volume = np.linalg.det(ordered[:3] - start)
        found[int(kinds[centre]), 1 if volume > 0 else -1] += 1
    return Configuration(found)


def _environments(atoms: Atoms, bonded: NDArray) -> NDArray:
    """[N]: what the graph of the bonds tells apart, by element and mass."""
    pairs = zip(atoms.numbers.tolist(), atoms.get_masses().tolist(), strict=True)
    return environments([hash((z, round(1000 * mass))) for z, mass in pairs], bonded)


def difference(reference: Atoms, other: Atoms) -> str:
    """What makes `other` no conformer of `reference`, in words; "" for one: elements in the same order,
    bonds, configuration (or its mirror image). Double bonds are not looked at: E and Z are told apart by
    nothing but their bonds to other atoms."""
    if words := molecule_difference(reference, other):
        return words
    bonded = bonds(reference)
    if sorted(_environments(reference, bonded)) != sorted(_environments(other, bonded)):
        return "it has other isotopes (masses), or has them at other places"
    mine, theirs = configuration(reference, bonded), configuration(other, bonded)
    if theirs.centres in (mine.centres, mine.mirrored.centres):
        return ""
    return "it is another stereoisomer: an atom with four different neighbours has the other configuration"


def degeneracy(atoms: Atoms, chiral_molecule: bool) -> int:
    """g: 2 of a conformer whose mirror image is another one of the same molecule, else 1."""
    return 2 if not chiral_molecule and is_chiral(atoms) else 1


def apart(first: Atoms, second: Atoms, limit: float = SAME_RMSD) -> float:
    """A: the root mean square distance of two geometries after the best rotation or reflection, identical
    atoms changing places; infinity where an atom is farther from its partner than three times `limit`."""
    a, b = (one.positions - one.positions.mean(axis=0) for one in (first, second))
    if len(a) < 3 or is_linear(a) or is_linear(b):
        return rmsd(first, second, permute=True)
    kinds, best = kinds_of(first), float("inf")
    for target in (b, -b):
        for rotation in rotations_onto(a, target, kinds, 3 * limit):
            chosen = partners(target, moved := a @ rotation.T, kinds, 3 * limit)
            if chosen is not None:
                best = min(best, float(np.sqrt(((target[chosen] - moved) ** 2).sum(axis=1).mean())))
    return best


def distinct(structures: Sequence[Atoms], energies: Sequence[float]) -> list[list[int]]:
    """Numbers of structures that are one conformer, the lowest first; conformers by ascending energy."""
    found: list[list[int]] = []
    for number in np.argsort(np.asarray(energies, dtype=float), kind="stable").tolist():
        for group in reversed(found):
            if energies[number] - energies[group[0]] > SAME_ENERGY:
                continue
            if apart(structures[group[0]], structures[number]) <= SAME_RMSD:
                group.append(number)
                break
        else:
            found.append([number])
    return found


def make_conformers(
    atoms: Atoms, count: int, *, seed: int = 0, prune: float = PRUNE, charge: int = 0
) -> list[Atoms]:
    """At most `count` new conformers of a structure, by RDKit's distance geometry (ETKDG version 3).

    S. Riniker, G. A. Landrum, J. Chem. Inf. Model. 55, 2562 (2015). Bonds and their orders are found from the
    geometry (Y. Kim, W. Y. Kim, Bull. Korean Chem. Soc. 36, 1769 (2015)), and stereochemistry is kept.

    Args:
        atoms: a molecule; masses and `info` go to the conformers.
        count: geometries that are tried.
        seed: of the random numbers, 0 or more.
        prune: A; those that are nearer to one before (`apart`) are left out. 0: none is.
        charge: of the molecule, e.

    Raises:
        MissingDependencyError: RDKit is not installed.
        DataError: RDKit finds no bonds that explain the structure, or no geometry.
    """
    chem: Any = load("rdkit.Chem", "conformers", "making conformers needs RDKit")
    orders: Any = load("rdkit.Chem.rdDetermineBonds", "conformers", "making conformers needs RDKit")
    geometry: Any = load("rdkit.Chem.rdDistGeom", "conformers", "making conformers needs RDKit")
    rd_base: Any = load("rdkit.rdBase", "conformers", "making conformers needs RDKit")
    instead = "Give conformers of your own in a file with --ensemble"
    with rd_base.BlockLogs():
        molecule = _as_rdkit(chem, atoms)
        try:
            orders.DetermineBonds(molecule, charge=charge, embedChiral=True)
        except ValueError as error:
            reason = str(error).splitlines()[0] if str(error) else "no reason given"
            raise DataError(
                f"{atoms.symbols}: RDKit finds no bonds that fit its geometry and the charge {charge:+d} "
                f"({reason}). {instead}, or state the charge (--charge, or charge=... in the comment line)"
            ) from None
        if (pieces := len(chem.GetMolFrags(molecule))) > 1:
            raise DataError(f"{atoms.symbols}: {pieces} molecules, which RDKit would put anywhere. {instead}")
        options = geometry.ETKDGv3()
        options.randomSeed = seed + 1  # of 0 it makes the same geometry each time
        numbers = list(geometry.EmbedMultipleConfs(molecule, count, options))
    if not numbers:
        raise DataError(f"{atoms.symbols}: RDKit makes no geometry of it. {instead}")
    found: list[Atoms] = []
    for number in numbers:
        made = Atoms(atoms.numbers, molecule.GetConformer(number).GetPositions())
        made.set_masses(atoms.get_masses())
        made.info |= {key: value for key, value in atoms.info.items() if key in ELECTRON_INFO}
        if not prune or all(apart(known, made, prune) > prune for known in found):
            found.append(made)
    return found


def _as_rdkit(chem: Any, atoms: Atoms) -> Any:
    molecule = chem.RWMol()
    for number in atoms.numbers:
        atom = chem.Atom(int(number))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    shape = chem.Conformer(len(atoms))
    shape.SetPositions(np.ascontiguousarray(atoms.positions, dtype=float))
    molecule.AddConformer(shape, assignId=True)
    return molecule
