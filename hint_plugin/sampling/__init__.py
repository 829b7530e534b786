"""Choosing what to label and to train on: weighted local density, energies, displacements, and baselines."""

from hint_plugin.data.structures.displaced import DisplaceSettings, displaced_copies
from hint_plugin.sampling.budget import chosen_count, hessian_count
from hint_plugin.sampling.extract import Extract, extract
from hint_plugin.sampling.methods import (
    Budget,
    FeatureSettings,
    Sample,
    features_of,
    sample_density,
    sample_energy,
    sample_farthest,
    sample_random,
)
from hint_plugin.sampling.neighbours import Neighbourhoods, mean_neighbour_distance
from hint_plugin.sampling.population import Population, survey
from hint_plugin.sampling.soap import SoapFeatures, SoapSettings

__all__ = [
    "Budget",
    "DisplaceSettings",
    "Extract",
    "FeatureSettings",
    "Neighbourhoods",
    "Population",
    "Sample",
    "SoapFeatures",
    "SoapSettings",
    "chosen_count",
    "displaced_copies",
    "extract",
    "features_of",
    "hessian_count",
    "mean_neighbour_distance",
    "sample_density",
    "sample_energy",
    "sample_farthest",
    "sample_random",
    "survey",
]
