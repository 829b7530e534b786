"""The molecules that a reactant or a product consists of, each alone at its own minimum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from hint_plugin.data.structures.bonds import bonds
from hint_plugin.data.structures.electrons import ELECTRON_KEYS
from hint_plugin.errors import DataError
from hint_plugin.science.molecules import optimize
from hint_plugin.science.reactions.kinetics.species import Species


@dataclass(frozen=True)
class Part:
    """One molecule of several: the numbers of its atoms in the whole, and what it is alone."""

    atoms: list[int]
    species: Species


def parts_of(atoms: Atoms) -> list[list[int]]:
    """Numbers of the atoms of each molecule in a frame, by its bonds."""
    count, labels = connected_components(csr_matrix(bonds(atoms)), directed=False)
    return [np.flatnonzero(labels == k).tolist() for k in range(count)]


def separate(
    whole: Species, calculator: Any, charge: int, fmax: float, say: Callable[[str], Any]
) -> list[Part]:
    """Each molecule of a frame alone: optimised by itself, with its Hessian.

    Its electrons follow from the whole: neutral, and with the lowest multiplicity that they allow. That is
    only so where the whole is neutral, and its multiplicity fits.

    Args:
        whole: the frame with all of them, and its multiplicity.
        calculator: of ASE, with `get_hessian`.
        charge: of the whole, e.
        fmax: eV/A, of the optimisations.
        say: told what is being done.

    Raises:
        DataError: the electrons of the parts are not known, or a part has no minimum.
        Whatever `optimize` raises.
    """
    groups = parts_of(whole.atoms)
    odd = [int(whole.atoms.numbers[group].sum()) % 2 for group in groups]
    if charge:
        raise DataError(f"the {whole.name} has the charge {charge}, and nobody says which part carries it")
    allowed = {0: (1,), 1: (2,), 2: (1, 3)}.get(sum(odd), ())
    if whole.multiplicity not in allowed:
        raise DataError(
            f"the {whole.name} has the multiplicity {whole.multiplicity}, and nobody says those of its parts"
        )
    found = []
    for number, (group, unpaired) in enumerate(zip(groups, odd, strict=True), start=1):
        part = whole.atoms[group]
        part.info = {}
        if any(key in whole.atoms.info for key in ELECTRON_KEYS):
            part.info = {"charge": 0, "spin": 1 + unpaired}
        part.calc = calculator
        name = f"{part.symbols} of the {whole.name}"
        say(f"{name} alone")
        at = optimize(part, fmax=fmax)
        if at.kind != "minimum" or at.doubt or at.hessian is None:
            raise DataError(f"{name} has no minimum of its own: {at.doubt or at.kind}")
        if len(parts_of(at.atoms)) != 1:
            raise DataError(f"{name}, molecule {number}, falls apart when it is alone")
        alone = at.atoms.copy()
        found.append(Part(group, Species(name, alone, at.energy, at.hessian, 1 + unpaired, whole.scale)))
    return found
