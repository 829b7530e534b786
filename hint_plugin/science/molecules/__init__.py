"""Molecules: stationary points, vibrations, also anharmonic ones, thermochemistry.

Everything takes an ASE calculator with `get_hessian(atoms) -> [3N, 3N]` (eV/A^2): an exported model, a
checkpoint, GFN2-xTB, DFT. None of it knows which.
"""

from hint_plugin.science.molecules.adsorbate_thermochemistry import (
    AdsorbateThermochemistry,
    Hindered,
    adsorbate_thermochemistry,
)
from hint_plugin.science.molecules.anharmonic import anharmonic_vibrations
from hint_plugin.science.molecules.anharmonic_result import AnharmonicResult
from hint_plugin.science.molecules.infrared import dipole_derivatives, infrared_intensities
from hint_plugin.science.molecules.modes import NormalModes, normal_modes
from hint_plugin.science.molecules.optimization import Stationary, optimize
from hint_plugin.science.molecules.rotational_symmetry import symmetry_number
from hint_plugin.science.molecules.thermochemistry import Thermochemistry, thermochemistry

__all__ = [
    "AdsorbateThermochemistry",
    "AnharmonicResult",
    "Hindered",
    "NormalModes",
    "Stationary",
    "Thermochemistry",
    "adsorbate_thermochemistry",
    "anharmonic_vibrations",
    "dipole_derivatives",
    "infrared_intensities",
    "normal_modes",
    "optimize",
    "symmetry_number",
    "thermochemistry",
]
