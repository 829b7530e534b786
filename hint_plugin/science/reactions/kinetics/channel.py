"""Rate constants of one elementary reaction at one temperature: transition-state theory and its corrections.

    k_TST(T) = kT/h (q_TS / V) / prod_k (q_k / V) exp(-(E_TS - E_R) / kT)
    k(T) = Gamma(T) kappa(T) k_TST(T)

with Gamma of canonical variational theory and kappa of tunnelling (H. Eyring, J. Chem. Phys. 3, 107 (1935)).
Symmetry numbers and enantiomers are in the partition functions, so that k holds the degeneracy of the path,
(m_TS / sigma_TS) / (m_R / sigma_R) (A. Fernandez-Ramos, B. A. Ellingson, R. Meana-Paneda, J. M. C. Marques,
D. G. Truhlar, Theor. Chem. Acc. 118, 813 (2007)). Forward and reverse have the same transition state, Gamma
and kappa, so that k_f / k_r is the equilibrium constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import DataError
from hint_plugin.science.molecules.thermochemistry import PRESSURE
from hint_plugin.science.reactions.kinetics.reaction_path import ReactionPath
from hint_plugin.science.reactions.kinetics.separate_parts import Part
from hint_plugin.science.reactions.kinetics.small_curvature import (
    AdiabaticTunnelling,
    small_curvature,
    zero_curvature,
)
from hint_plugin.science.reactions.kinetics.species import (
    BOLTZMANN,
    CM3_PER_A3,
    PLANCK_SECONDS,
    Species,
)
from hint_plugin.science.reactions.kinetics.tunnelling import Eckart, wigner
from hint_plugin.science.reactions.kinetics.variational import Bottleneck, bottleneck

UNITS = {1: "per_s", 2: "cm3_per_molecule_per_s"}
"""By molecularity, as they stand in names."""
PASCAL_A3 = 6.241509074e-12
"""eV in one Pa A^3."""
TUNNELLING = ("wigner", "eckart", "sct")


@dataclass(frozen=True)
class Side:
    """Reactants or products: one molecule, or two apart."""

    parts: Sequence[Part]

    @property
    def species(self) -> list[Species]:
        """Of each molecule."""
        return [part.species for part in self.parts]

    @property
    def molecularity(self) -> int:
        """How many molecules."""
        return len(self.parts)

    @property
    def energy(self) -> float:
        """Electronic, eV."""
        return sum(one.energy for one in self.species)

    @property
    def ground_energy(self) -> float:
        """With zero-point energies, eV."""
        return sum(one.ground_energy for one in self.species)

    @property
    def statistical_factor(self) -> float:
        """prod m / sigma."""
        return float(np.prod([one.enantiomers / one.symmetry_number for one in self.species]))

    def log_partition_function(self, temperature: float, symmetry: bool = True) -> float:
        """Sum of `Species.log_partition_function`."""
        return sum(one.log_partition_function(temperature, symmetry=symmetry) for one in self.species)

    def with_masses(self, masses: NDArray) -> Side:
        """Isotopologues; `masses` [N] of all atoms of the reaction, amu."""
        return Side(
            [replace(part, species=part.species.with_masses(masses[part.atoms])) for part in self.parts]
        )


@dataclass(frozen=True)
class Channel:
    """One elementary reaction.

    Attributes:
        name: what its ends are.
        reactants, products, saddle: at stationary points.
        path: for variational theory and tunnelling along it; None: there is none.
        methods: of tunnelling, of `TUNNELLING`.
        variational: whether the dividing surface is varied.
    """

    name: str
    reactants: Side
    products: Side
    saddle: Species
    path: ReactionPath | None = None
    methods: Sequence[str] = TUNNELLING
    variational: bool = True

    def with_masses(self, masses: NDArray, path: ReactionPath | None) -> Channel:
        """The reaction of an isotopologue; `masses` [N], amu, and its path."""
        return replace(
            self,
            reactants=self.reactants.with_masses(masses),
            products=self.products.with_masses(masses),
            saddle=self.saddle.with_masses(masses),
            path=path,
        )

    def reversed(self) -> Channel:
        """From products to reactants."""
        return replace(self, reactants=self.products, products=self.reactants)

    @property
    def barrier(self) -> float:
        """E_TS - E_R, eV, electronic."""
        return self.saddle.energy - self.reactants.energy

    @property
    def ground_barrier(self) -> float:
        """With zero-point energies, eV."""
        return self.saddle.ground_energy - self.reactants.ground_energy

    @property
    def degeneracy(self) -> float:
        """Of the path: (m_TS / sigma_TS) / prod (m_R / sigma_R)."""
        mine = self.saddle.enantiomers / self.saddle.symmetry_number
        return mine / self.reactants.statistical_factor

    def log_tst(self, temperature: float, symmetry: bool = True) -> float:
        """ln k_TST; k in s^-1 (cm^3)^(n - 1) molecule^(1 - n) for n molecules."""
        found = np.log(BOLTZMANN * temperature / PLANCK_SECONDS)
        found += self.saddle.log_partition_function(temperature, symmetry=symmetry)
        found -= self.reactants.log_partition_function(temperature, symmetry)
        return float(found + (self.reactants.molecularity - 1) * np.log(CM3_PER_A3))

    def log_equilibrium_constant(self, temperature: float) -> float:
        """ln K, in (molecules per cm^3)^(n_P - n_R)."""
        found = self.products.log_partition_function(temperature)
        found -= self.reactants.log_partition_function(temperature)
        more = self.products.molecularity - self.reactants.molecularity
        return float(found - more * np.log(CM3_PER_A3))

    def gibbs_energy_of_activation(self, temperature: float) -> float:
        """Delta G of Eyring's equation at 1 atm, eV: k_TST = kT/h (kT/p)^(n - 1) exp(-Delta G / kT)."""
        kt = BOLTZMANN * temperature
        volume = kt / (PRESSURE * PASCAL_A3) * CM3_PER_A3
        log_k = self.log_tst(temperature) - (self.reactants.molecularity - 1) * np.log(volume)
        return float(-kt * (log_k - np.log(kt / PLANCK_SECONDS)))

    @cached_property
    def eckart(self) -> Eckart | str:
        """The Eckart barrier between ends with zero-point energies; or why there is none."""
        reverse = self.saddle.ground_energy - self.products.ground_energy
        try:
            return Eckart(self.ground_barrier, reverse, self.saddle.barrier_quantum)
        except DataError as error:
            return str(error)

    @cached_property
    def curved(self) -> tuple[AdiabaticTunnelling, AdiabaticTunnelling] | str:
        """Zero-curvature and small-curvature tunnelling; or why there is none."""
        if self.path is None:
            return "there is no path with Hessians"
        threshold = max(self.reactants.ground_energy, self.products.ground_energy)
        try:
            found = zero_curvature(self.path, threshold), small_curvature(self.path, threshold)
            if found[0].depth <= 0:
                return "there is no barrier"
        except DataError as error:
            return str(error)
        return found

    def bottleneck(self, temperature: float) -> Bottleneck | None:
        """The variational transition state, if it is looked for."""
        if self.path is None or not self.variational:
            return None
        lower = min(self.barrier, self.saddle.energy - self.products.energy)
        return bottleneck(self.path, temperature, lower)

    def transmission(self, temperature: float) -> dict[str, float]:
        """Gamma and kappas at one temperature, of those that there are: `recrossing`, `s_star`, `wigner`,
        `eckart`, `zct`, `sct`."""
        found: dict[str, float] = {}
        neck = self.bottleneck(temperature)
        if neck is not None:
            found |= {"recrossing": neck.recrossing, "s_star": neck.s}
        if "wigner" in self.methods:
            found["wigner"] = wigner(self.saddle.barrier_quantum, temperature)
        if "eckart" in self.methods and isinstance(self.eckart, Eckart):
            found["eckart"] = self.eckart.transmission(temperature)
        if "sct" in self.methods and not isinstance(self.curved, str):
            at = self.saddle.ground_energy if neck is None else neck.adiabatic
            for name, along in zip(("zct", "sct"), self.curved, strict=True):
                found[name] = along.transmission(temperature, at)
        return found


def best(log_tst: float, factors: dict[str, float]) -> tuple[str, float]:
    """(method, ln k) of the most complete theory for which there are numbers."""
    log_k, name = (
        log_tst + np.log(factors.get("recrossing", 1.0)),
        "CVT" if "recrossing" in factors else "TST",
    )
    for kappa in ("sct", "eckart", "wigner"):
        if kappa in factors:
            return f"{name}/{kappa.upper() if kappa == 'sct' else kappa.capitalize()}", log_k + np.log(
                factors[kappa]
            )
    return name, log_k


def rates_at(channel: Channel, temperature: float) -> dict[str, Any]:
    """Everything of both directions at one temperature, for JSON; units are in the names.

    `k_..._` of `forward` and `reverse`: `tst`, `tst_wigner`, `tst_eckart`, `cvt`, `cvt_zct`, `cvt_sct`, as
    far as there are; `k_` alone is the best one, and `method` names it.
    """
    factors = channel.transmission(temperature)
    row: dict[str, Any] = {"temperature_K": temperature}
    row |= {f"kappa_{name}": value for name, value in factors.items() if name not in ("recrossing", "s_star")}
    if "recrossing" in factors:
        row |= {"recrossing": factors["recrossing"], "s_star_A_amu_half": factors["s_star"]}
    for direction, one in (("forward", channel), ("reverse", channel.reversed())):
        unit = UNITS.get(one.reactants.molecularity)
        if unit is None:
            continue
        log_tst = one.log_tst(temperature)
        method, log_k = best(log_tst, factors)
        logs = {"tst": log_tst, **_combined(log_tst, factors)}
        row[direction] = {
            "gibbs_energy_of_activation_eV": one.gibbs_energy_of_activation(temperature),
            **{f"k_{name}_{unit}": float(np.exp(value)) for name, value in logs.items()},
            "method": method,
            f"k_{unit}": float(np.exp(log_k)),
            "log10_k": float(log_k / np.log(10)),
        }
    more = channel.products.molecularity - channel.reactants.molecularity
    name = {0: "equilibrium_constant", 1: "equilibrium_constant_molecules_per_cm3"}.get(
        more, "equilibrium_constant_cm3_per_molecule"
    )
    if abs(more) < 2:
        row[name] = float(np.exp(channel.log_equilibrium_constant(temperature)))
    return row


def _combined(log_tst: float, factors: dict[str, float]) -> dict[str, float]:
    found = {f"tst_{n}": log_tst + np.log(factors[n]) for n in ("wigner", "eckart") if n in factors}
    varied = log_tst + np.log(factors.get("recrossing", 1.0))
    label = "cvt" if "recrossing" in factors else "tst"
    if "recrossing" in factors:
        found["cvt"] = varied
    return found | {f"{label}_{n}": varied + np.log(factors[n]) for n in ("zct", "sct") if n in factors}
