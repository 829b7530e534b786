"""Reactions of small molecules, both ends minima on GFN2-xTB: a set for comparisons of searches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from ase import Atoms
from rdkit import Chem

from hint_plugin.errors import HintError
from hint_plugin.science.reactions.limits import BROKEN_NUMBERS
from reactive.calculator import GFN2
from reactive.edits import products, smiles_of
from reactive.geometries import Dropped, minimum, product_of
from reactive.molecules import molecules

SMALLEST, LARGEST = 3, 5  #: atoms of C, N, O
_MOLECULES = 400
_PRODUCTS = 4  # that are tried for a molecule


def reactions(count: int, seed: int, largest: int = LARGEST) -> Iterator[tuple[str, Atoms, Atoms]]:
    """(name, reactant, product), at most ``count``; one reaction of a molecule, the same for the same seed.

    No search is asked which of them it can do: what counts is that both ends are minima with their bonds.
    """
    calculator, made = GFN2(), 0
    for number, smiles in enumerate(molecules(_MOLECULES, largest, seed)):
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        if molecule.GetNumHeavyAtoms() < SMALLEST:
            continue
        ends = _ends(molecule, number, seed, calculator)
        if ends is not None:
            yield (f"g{made:02d} {ends[0]}", *ends[1:])
            made += 1
        if made == count:
            return


def _ends(molecule: Chem.Mol, number: int, seed: int, calculator: GFN2) -> tuple[str, Atoms, Atoms] | None:
    """The first of its products that is a minimum; None if there is none."""
    choice = random.Random(f"{seed} {number}")
    try:
        start = minimum(molecule, 1 + number, calculator)
    except (Dropped, HintError, *BROKEN_NUMBERS):
        return None
    for k, product in enumerate(islice(products(molecule, choice), _PRODUCTS)):
        try:
            end = product_of(start, product, 1 + number + 100_000 * k, calculator)
        except (Dropped, HintError, *BROKEN_NUMBERS):
            continue
        name = f"{smiles_of(molecule)}>{smiles_of(product)}"
        return name, *(Atoms(a.symbols, a.positions) for a in (start, end))
    return None
