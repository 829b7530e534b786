"""The Hessian of the free energy, which tells whether a crystal is stable.

    d2F / dR dR = Phi + Phi3 Lambda [1 - Phi4 Lambda]^-1 Phi3

(Bianco, Errea, Paulatto, Calandra, Mauri, Phys. Rev. B 96, 014111 (2017)), from the last population, by
python-sscha. The auxiliary Phi of the SSCHA is positive by construction; this matrix need not be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.anharmonic.ensemble import Population
from hint_plugin.science.anharmonic.python_sscha import (
    cellconstructor,
    ensemble_class,
    from_cellconstructor,
    quiet,
    to_cellconstructor,
)
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants
from hint_plugin.science.phonons.carried_properties import lowering, magnetism_lowers
from hint_plugin.science.phonons.crystals import same_atoms

MEMORY = 8e9
"""Bytes that the fourth-order tensor may take."""


def library_ensemble(population: Population, constants: ForceConstants) -> Any:
    """`sscha.Ensemble.Ensemble` of a population, its weights those of `constants`.

    Raises:
        DataError: the cell of `constants` is not the population's. MissingDependencyError: no python-sscha.
    """
    if not np.allclose(population.origin.atoms.cell.array, constants.atoms.cell.array, atol=1e-10):
        raise DataError("the cell was strained after the last population: relax it to the end first")
    units = cellconstructor().Units
    first, last = to_cellconstructor(population.origin), to_cellconstructor(constants)
    with quiet():
        ensemble = ensemble_class()(first, population.temperature)
        large = first.structure.generate_supercell(first.GetSupercell())
    theirs = Atoms(large.atoms, large.coords, cell=large.unit_cell)
    order = same_atoms(theirs, population.origin.supercell())
    structures = []
    for u in population.displacements.reshape(len(population.displacements), -1, 3)[:, order]:
        moved = large.copy()
        moved.coords = large.coords + u
        structures.append(moved)
    with quiet():
        ensemble.init_from_structures(structures)
    ensemble.energies = population.found.energies / units.RY_TO_EV
    ensemble.forces = population.found.forces[:, order] / units.RY_TO_EV
    ensemble.force_computed[:] = True
    ensemble.has_stress = population.found.stresses is not None
    if population.found.stresses is not None:
        ensemble.stresses = -population.found.stresses / units.RY_PER_BOHR3_TO_EV_PER_A3
        ensemble.stress_computed[:] = True
    with quiet():
        ensemble.init()
        ensemble.update_weights(last, population.temperature)
    return ensemble


def free_energy_hessian(
    population: Population, constants: ForceConstants, fourth_order: bool = False
) -> ForceConstants:
    """d2F / dR dR on the supercell, eV/A^2.

    Args:
        population: drawn near `constants`; a larger one than for Phi is wanted, as the noise is larger.
        constants: Phi and R at the minimum.
        fourth_order: with Phi4, whose (3M)^4 numbers for M atoms in the supercell limit it to some 50 atoms.

    Raises:
        OptionsError: `fourth_order` would need more than `MEMORY` bytes.
        DataError, MissingDependencyError: see `library_ensemble`.
    """
    size = 3 * len(constants.atoms) * constants.cells
    if fourth_order and 8.0 * size**4 > MEMORY:
        raise OptionsError(
            f"the fourth-order tensor of {size // 3} atoms takes {8e-9 * size**4:.0f} GB; go without it, "
            "or to a smaller supercell"
        )
    ensemble = library_ensemble(population, constants)
    atoms = constants.atoms  # CellConstructor knows elements and places only
    whole = not (lowering(atoms) or magnetism_lowers(atoms))
    with quiet():
        found = ensemble.get_free_energy_hessian(include_v4=fourth_order, use_symmetries=whole)
    return from_cellconstructor(found)
