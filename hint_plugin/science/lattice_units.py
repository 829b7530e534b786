"""Units of lattice vibrations: eV, A, amu."""

from __future__ import annotations

import numpy as np
from ase import units

HBAR = float(units._hbar / units._e * np.sqrt(units._e * 1e20 / units._amu))
"""hbar sqrt(eV/A^2/amu) in eV, 0.0647: times the square root of an eigenvalue of the dynamical matrix."""
CM_PER_EV = 1.0 / units.invcm
