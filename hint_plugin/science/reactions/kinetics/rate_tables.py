"""Rates, fits and isotope effects of an elementary reaction over temperatures, as tables for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hint_plugin.science.reactions.kinetics.arrhenius import arrhenius_fit
from hint_plugin.science.reactions.kinetics.channel import Channel, rates_at
from hint_plugin.science.reactions.kinetics.found_reaction import Paths
from hint_plugin.science.reactions.kinetics.isotope_effects import isotope_effects_at
from hint_plugin.science.reactions.kinetics.isotopes import Isotopologue, principal_masses


def channel_table(
    channel: Channel, kelvin: Sequence[float], isotopes: Sequence[Isotopologue], paths: Paths
) -> dict[str, Any]:
    """One elementary reaction for JSON: rows, fits, isotope effects, and what could not be computed."""
    rows, notes = [rates_at(channel, t) for t in kelvin], _notes(channel, kelvin)
    found: dict[str, Any] = {"name": channel.name}
    for direction, one in (("forward", channel), ("reverse", channel.reversed())):
        if direction not in rows[0]:
            missing = f"{one.reactants.molecularity} molecules would have to meet; no rate is given"
            notes.append(f"{direction}: {missing}")
            continue
        found[direction] = _about(one) | {
            "arrhenius": arrhenius_fit(kelvin, [np.log(10) * row[direction]["log10_k"] for row in rows])
        }
    found["rows"] = rows
    found["notes"] = notes
    found["isotope_effects"] = [_isotope_effect(channel, one, kelvin, paths) for one in isotopes]
    return found


def _about(channel: Channel) -> dict[str, Any]:
    reactants, saddle = channel.reactants, channel.saddle
    return {
        "molecularity": reactants.molecularity,
        "reactants": [str(one.atoms.symbols) for one in reactants.species],
        "barrier_eV": channel.barrier,
        "barrier_with_zero_point_eV": channel.ground_barrier,
        "symmetry_numbers": {
            "reactants": [one.symmetry_number for one in reactants.species],
            "transition_state": saddle.symmetry_number,
        },
        "enantiomers": {
            "reactants": [one.enantiomers for one in reactants.species],
            "transition_state": saddle.enantiomers,
        },
        "path_degeneracy": channel.degeneracy,
    }


def _notes(channel: Channel, kelvin: Sequence[float]) -> list[str]:
    """What a method could not do."""
    found = []
    if "eckart" in channel.methods and isinstance(channel.eckart, str):
        found.append(f"no Eckart tunnelling: {channel.eckart}")
    if "sct" in channel.methods:
        if isinstance(channel.curved, str):
            found.append(f"no small-curvature tunnelling: {channel.curved}")
        elif channel.curved[0].reached > 0:
            found.append(
                f"the path ends {channel.curved[0].reached:.3f} eV above the lowest energy of both sides: "
                "tunnelling below that is left out of the small-curvature numbers"
            )
    necks = [channel.bottleneck(t) for t in kelvin]
    if channel.variational and channel.path is not None and None in necks:
        found.append(
            "no variational theory: next to the saddle there are fewer than four points without an imaginary "
            "mode across the path"
        )
    if any(neck is not None and neck.at_the_end for neck in necks):
        found.append(
            "the best dividing surface is the last one that could be used (upper half of the barrier, no "
            "imaginary mode across the path): Gamma is an upper bound"
        )
    if any(neck is not None and neck.recrossing < 0.1 for neck in necks):
        found.append("Gamma is below 0.1: the saddle is a poor bottleneck, and the path should be looked at")
    return found


def _isotope_effect(
    channel: Channel, isotopologue: Isotopologue, kelvin: Sequence[float], paths: Paths
) -> dict[str, Any]:
    masses = principal_masses(channel.saddle.atoms)
    pair = []
    for each in (masses, isotopologue.of(masses)):
        pair.append(channel.with_masses(each, paths.of(each) if channel.path is not None else None))
    return {
        "isotopologue": isotopologue.name,
        "masses_amu": {str(number): mass for number, mass in isotopologue.masses.items()},
        "rows": [isotope_effects_at(pair[0], pair[1], t) for t in kelvin],
        "notes": [note for one in pair for note in _notes(one, kelvin)],
    }


def path_table(channel: Channel) -> dict[str, Any] | None:
    """The path for JSON and figure: arrays with their units in the names."""
    path = channel.path
    if path is None:
        return None
    zero = channel.reactants
    found = {
        "s_A_amu_half": path.s.tolist(),
        "energy_eV": (path.energies - zero.energy).tolist(),
        "adiabatic_ground_state_eV": (path.adiabatic - zero.ground_energy).tolist(),
        "curvature_per_A_amu_half": path.curvature.tolist() if path.bends.any() else None,
        "zero": "the reactants, for the adiabatic energy with their zero-point energy",
    }
    if not isinstance(channel.curved, str):
        curved = channel.curved[1]
        found["effective_mass_ratio"] = np.interp(path.s, curved.s, curved.mass).tolist()
    return found
