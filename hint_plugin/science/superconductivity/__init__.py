"""Superconducting Tc from the electron-phonon coupling: a2F, formulas, isotropic Eliashberg equations.

    matrices = read_matrices(Path("elph_dir"), broadening=0.02)            # the electrons of ph.x
    atoms, alat, c = read_force_constants(Path("pdh.dyn0"), matrices.q)    # or C(q) of an SSCHA, eV/A^2
    spectrum = matrices.couplings(c, atoms.get_masses()).spectrum()        # a2F
    equations = Eliashberg(spectrum, mu_star=0.10, cutoff=10 * spectrum.omega_max)
    equations.tc                                                           # K

Of several trainings, matrices, interpolations: `read_sources`, `rows_of`, `spreads`.

Energies are in eV, temperatures in K, masses in amu.
"""

from hint_plugin.science.superconductivity.allen_dynes import FormulaTc, formula_tc, spectrum_tc
from hint_plugin.science.superconductivity.coupling_matrices import ElectronPhononMatrices, mode_couplings
from hint_plugin.science.superconductivity.eliashberg import Eliashberg, Gap, NotConvergedError
from hint_plugin.science.superconductivity.isotopes import isotope_exponent
from hint_plugin.science.superconductivity.mode_couplings import ModeCouplings, UnstableError
from hint_plugin.science.superconductivity.mu_star import rescale
from hint_plugin.science.superconductivity.ph_x_files import broadenings, read_force_constants, read_matrices
from hint_plugin.science.superconductivity.readers import read_a2f
from hint_plugin.science.superconductivity.real_axis import continue_gap, gap_edge
from hint_plugin.science.superconductivity.several import rows_of, spreads
from hint_plugin.science.superconductivity.sources import Source, SourceOptions, read_sources
from hint_plugin.science.superconductivity.spectral import Spectrum
from hint_plugin.science.superconductivity.spread import Moved, Spread, moved_by, spread_of

__all__ = [
    "ElectronPhononMatrices",
    "Eliashberg",
    "FormulaTc",
    "Gap",
    "ModeCouplings",
    "Moved",
    "NotConvergedError",
    "Source",
    "SourceOptions",
    "Spectrum",
    "Spread",
    "UnstableError",
    "broadenings",
    "continue_gap",
    "formula_tc",
    "gap_edge",
    "isotope_exponent",
    "mode_couplings",
    "moved_by",
    "read_a2f",
    "read_force_constants",
    "read_matrices",
    "read_sources",
    "rescale",
    "rows_of",
    "spectrum_tc",
    "spread_of",
    "spreads",
]
