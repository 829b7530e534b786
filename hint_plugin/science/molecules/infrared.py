"""Infrared intensities, from the dipole moments of a calculator.

    A_k = N_A / (12 eps_0 c^2) |dmu/dQ_k|^2,    dmu/dQ_k = sum_i dmu/dx_i L_ik / sqrt(m_i)

in the double harmonic approximation (E. B. Wilson, J. C. Decius, P. C. Cross, Molecular Vibrations (1955),
ch. 7), in km/mol with |dmu/dQ|^2 in e^2/amu.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from numpy.typing import NDArray
from scipy import constants

from hint_plugin.core.spectra import AMU
from hint_plugin.data.structures.constraints import free_coordinates
from hint_plugin.science.molecules.modes import NormalModes

KM_PER_MOL = constants.N_A * constants.e**2 / (12 * constants.epsilon_0 * constants.c**2 * AMU) / 1000
"""km/mol for |dmu/dQ|^2 = 1 e^2/amu: 974.88."""
STEP = 0.005
"""A, of the central differences of dipole moments."""


def has_dipole(atoms: Atoms) -> bool:
    """Whether the calculator of `atoms` has a dipole moment for this very structure."""
    if atoms.calc is None or "dipole" not in atoms.calc.implemented_properties:
        return False
    try:
        atoms.get_dipole_moment()
    except PropertyNotImplementedError:
        return False
    return True


def dipole_derivatives(atoms: Atoms, step: float = STEP) -> NDArray:
    """d mu / d x [3N, 3] in e, by central differences: 6N evaluations of `atoms.calc`.

    Where coordinates are held, theirs are not computed, and zero.

    Raises what the calculator raises.
    """
    moved = atoms.copy()
    moved.calc = atoms.calc
    found = np.zeros((3 * len(atoms), 3))
    for k in free_coordinates(atoms).coordinates:
        both = []
        for sign in (1.0, -1.0):
            moved.positions = atoms.positions
            moved.positions[k // 3, k % 3] += sign * step
            both.append(moved.get_dipole_moment())
        found[k] = (both[0] - both[1]) / (2 * step)
    return found


def infrared_intensities(modes: NormalModes, derivatives: NDArray) -> NDArray:
    """A_k [M] in km/mol, from d mu / d x [3N, 3] in e."""
    root = np.sqrt(np.repeat(modes.atoms.get_masses(), 3))
    by_mode = (modes.mass_weighted / root) @ derivatives  # e / sqrt(amu)
    return KM_PER_MOL * (by_mode**2).sum(axis=1)
