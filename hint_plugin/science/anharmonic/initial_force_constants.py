"""What an SSCHA begins with: harmonic force constants from a file or a model, symmetric and positive.

Imaginary modes are no obstacle: what structures are drawn with only has to be positive, and the populations
make it the right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from ase.data import atomic_numbers

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
from hint_plugin.science.anharmonic.dynamical_matrix_files import from_phonopy, to_phonopy
from hint_plugin.science.anharmonic.supercell_force_constants import AXES, ForceConstants
from hint_plugin.science.lattice_units import CM_PER_EV, HBAR

SOFTEST = 1.0
"""cm^-1: below, a mode is neither real nor imaginary, and its amplitude without bound."""


def with_masses(constants: ForceConstants, masses: Mapping[str, float]) -> ForceConstants:
    """The same crystal with other isotopes: element -> amu.

    Raises:
        OptionsError: an element that is not in the crystal, or a mass that cannot be.
    """
    atoms = constants.atoms.copy()
    found = atoms.get_masses()
    for symbol, mass in masses.items():
        if symbol not in atomic_numbers or symbol not in atoms.get_chemical_symbols():
            raise OptionsError(f"mass of {symbol}: the crystal is {atoms.symbols}")
        if not 0 < mass < 400:
            raise OptionsError(
                f"mass of {symbol}: {mass} amu; wanted one above 0 (H: 1.008, D: 2.014, T: 3.016)"
            )
        found[atoms.symbols == symbol] = mass
    atoms.set_masses(found)
    return replace(constants, atoms=atoms)


def positive(constants: ForceConstants, group: SpaceGroup) -> ForceConstants:
    """Symmetric, and every w^2 replaced by |w^2|: something that structures can be drawn from.

    Raises:
        DataError: a supercell of one atom; or a mode that is not a translation is within `SOFTEST` of
            0 cm^-1.
    """
    symmetric = constants.with_blocks(group.symmetric(constants.blocks))
    modes = symmetric.modes()
    if modes.rigid.all():
        raise DataError(
            f"{constants.atoms.symbols}: a supercell of one atom only moves as a whole, and has no "
            f"vibration. "
            "Take a larger --supercell, as 4 4 4"
        )
    root = np.sqrt(modes.masses)
    eigenvalues = np.where(modes.rigid, 0.0, (modes.energies / HBAR) ** 2)
    softest = CM_PER_EV * abs(modes.energies[~modes.rigid]).min()
    if softest < SOFTEST:
        raise DataError(
            f"a mode at {softest:.2f} cm^-1, which is no translation of the crystal: its amplitude has no "
            "bound. Is this a molecule or a layer in a box, or are the force constants too short in range?"
        )
    matrices = (modes.vectors * eigenvalues[:, None, :]) @ modes.vectors.conj().transpose(0, 2, 1)
    shape = constants.blocks.shape
    blocks = np.fft.fftn((matrices * np.outer(root, root)).reshape(shape), axes=AXES, norm="forward").real
    return constants.with_blocks(group.symmetric(blocks))


def interpolated(constants: ForceConstants, repeats: tuple[int, int, int]) -> ForceConstants:
    """On another supercell, by Fourier interpolation (phonopy's, with the nearest images)."""
    if constants.repeats == repeats:
        return constants
    return from_phonopy(to_phonopy(constants), repeats)
