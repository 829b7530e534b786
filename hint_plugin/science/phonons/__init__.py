"""Phonons of crystals: force constants from exact products, bands, densities of states, double wells."""

from hint_plugin.science.phonons.band_figure import plot_bands
from hint_plugin.science.phonons.bands import BandPath, Bands, band_path, band_structure
from hint_plugin.science.phonons.force_constants import harmonic_phonons

__all__ = ["BandPath", "Bands", "band_path", "band_structure", "harmonic_phonons", "plot_bands"]
