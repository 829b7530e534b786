"""A molecule at a stationary point as a rate constant sees it: partition functions of rotor and oscillators.

Rigid rotor, harmonic oscillators, ideal gas (D. A. McQuarrie, Statistical Mechanics (1976), ch. 8). The zero
of the energy is the bottom of the well, so that q_vib holds the zero-point energy:

    q_trans / V = (m k T / (2 pi hbar^2))^(3/2)
    q_rot = sqrt(pi) / sigma prod_k (2 I_k k T / hbar^2)^(1/2), of a linear molecule 2 I k T / (sigma hbar^2)
    q_vib = prod_m exp(-u_m / 2) / (1 - exp(-u_m)),    u_m = hbar omega_m / (k T)

| symbol | variable | unit |
|---|---|---|
| ln of q_trans / V, q_rot, q_vib | `log_translation`, `log_rotation`, `log_vibration` | V in A^3 |
| hbar omega_m | `quanta` [M] | eV |
| hbar | `HBAR` | A (eV amu)^(1/2) |
| k | `BOLTZMANN` | eV/K |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from hint_plugin.core.spectra import EV_PER_WAVENUMBER, WAVENUMBER
from hint_plugin.errors import DataError
from hint_plugin.science.molecules.modes import NormalModes, normal_modes
from hint_plugin.science.molecules.rotational_symmetry import is_chiral, symmetry_number
from hint_plugin.science.molecules.thermochemistry import real_modes

BOLTZMANN = float(units.kB)
HBAR = EV_PER_WAVENUMBER * WAVENUMBER
"""hbar omega in eV is this times sqrt(lambda), lambda in eV/(A^2 amu); so it is hbar in A (eV amu)^(1/2)."""
PLANCK_SECONDS = EV_PER_WAVENUMBER / 29979245800.0
"""h in eV s: k T / h is a frequency in s^-1."""
CM3_PER_A3 = 1e-24
_ON_THE_WAY = 0.3
"""A, of the atom that moves most: more than the tolerance of symmetry numbers."""


@dataclass(frozen=True)
class Species:
    """A minimum or a transition state.

    Attributes:
        name: "reactant", "transition state", ...
        atoms: the geometry; its own masses count, so an isotopologue has others.
        energy: of the geometry, eV.
        hessian: [3N, 3N], eV/A^2.
        multiplicity: 2S + 1.
        scale: factor on all harmonic frequencies.
        bent: see `normal_modes`; None: found from the geometry.
    """

    name: str
    atoms: Atoms
    energy: float
    hessian: NDArray
    multiplicity: int = 1
    scale: float = 1.0
    bent: bool | None = None

    def with_masses(self, masses: Sequence[float] | NDArray) -> Species:
        """The isotopologue: the same geometry, energy and Hessian with other masses [N], amu."""
        atoms = self.atoms.copy()
        atoms.set_masses(masses)
        return replace(self, atoms=atoms, bent=self.modes.bent)

    @cached_property
    def modes(self) -> NormalModes:
        """Raises DataError as `normal_modes`."""
        return normal_modes(self.atoms, self.hessian, self.bent)

    @cached_property
    def quanta(self) -> NDArray:
        """[M], eV: hbar omega of the modes that count, without the imaginary one of a transition state.

        Raises:
            DataError: more than one imaginary mode, or one of no frequency.
        """
        return np.asarray(self.scale * EV_PER_WAVENUMBER * real_modes(self.modes)[0])

    @property
    def barrier_quantum(self) -> float:
        """hbar |omega| of the imaginary mode, eV; 0 of a minimum."""
        imaginary = self.modes.imaginary
        return float(self.scale * EV_PER_WAVENUMBER * abs(imaginary[0])) if len(imaginary) else 0.0

    @property
    def zero_point_energy(self) -> float:
        """eV."""
        return float(0.5 * self.quanta.sum())

    @property
    def ground_energy(self) -> float:
        """Energy with the zero-point energy, eV."""
        return self.energy + self.zero_point_energy

    @cached_property
    def symmetry_number(self) -> int:
        """sigma of the rotations, found from geometry and masses.

        Of a transition state those rotations count that keep the direction of the reaction: one that turns
        the reactant's side into the product's, as in H + H2, is no symmetry of the way across.
        """
        return symmetry_number(self._counted, linear=self.modes.linear)

    @cached_property
    def enantiomers(self) -> int:
        """2 of a chiral structure, whose mirror image counts as well; else 1."""
        return 1 + int(is_chiral(self._counted))

    @property
    def _counted(self) -> Atoms:
        """The geometry; a transition state a bit on its way, so that both directions differ."""
        if not len(self.modes.imaginary):
            return self.atoms
        atoms, mode = self.atoms.copy(), self.modes.displacements[0]
        atoms.positions += _ON_THE_WAY * mode / np.linalg.norm(mode, axis=1).max()
        return atoms

    def log_partition_function(self, temperature: float, *, symmetry: bool = True) -> float:
        """ln of (q / V) exp(-E / kT), V in A^3, E the electronic energy; without `symmetry`, sigma and
        enantiomers count 1."""
        found = self.log_translation(temperature) + self.log_internal(temperature, symmetry=symmetry)
        return found - self.energy / (BOLTZMANN * temperature)

    def log_internal(self, temperature: float, *, symmetry: bool = True) -> float:
        """ln of q_rot q_vib q_el, with the statistical factors if `symmetry`."""
        found = log_rotation(self.moments, temperature) + log_vibration(self.quanta, temperature)
        if symmetry:
            found += np.log(self.enantiomers / self.symmetry_number)
        return float(found + np.log(self.multiplicity))

    def log_translation(self, temperature: float) -> float:
        """ln of q_trans / V, V in A^3."""
        mass = float(self.atoms.get_masses().sum())
        return float(1.5 * np.log(mass * BOLTZMANN * temperature / (2 * np.pi * HBAR**2)))

    @property
    def moments(self) -> NDArray:
        """Those that count, amu A^2: three, of a linear molecule one, of an atom none."""
        if len(self.atoms) == 1:
            return np.zeros(0)
        moments = np.asarray(self.atoms.get_moments_of_inertia())
        return moments[-1:] if self.modes.linear else moments


def log_rotation(moments: NDArray, temperature: float) -> float:
    """ln of q_rot for sigma = 1: three moments (amu A^2), one of a linear molecule, none of an atom."""
    reduced = 2 * np.asarray(moments) * BOLTZMANN * temperature / HBAR**2
    if len(reduced) == 3:
        return float(0.5 * np.log(np.pi) + 0.5 * np.log(reduced).sum())
    return float(np.log(reduced).sum())


def log_vibration(quanta: NDArray, temperature: float) -> float:
    """ln of q_vib, zero-point energies included, of `quanta` [M] in eV."""
    u = np.asarray(quanta) / (BOLTZMANN * temperature)
    return float((-0.5 * u - np.log(-np.expm1(-u))).sum())


def check_kind(species: Species, order: int) -> None:
    """Raise DataError unless a stationary point has `order` imaginary modes (0 a minimum, 1 a saddle)."""
    found = len(species.modes.imaginary)
    if found != order:
        wanted = ("a minimum (no imaginary mode)", "a transition state (one imaginary mode)")[order]
        listed = ", ".join(f"{nu:.0f}" for nu in species.modes.imaginary)
        raise DataError(
            f"the {species.name} has {found} imaginary modes{f' ({listed} cm^-1)' if found else ''}; wanted "
            f"{wanted}. Search again with a smaller --fmax, or with another potential"
        )
