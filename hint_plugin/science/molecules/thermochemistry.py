"""Enthalpy, entropy and Gibbs energy of a molecule: rigid rotor, harmonic oscillators, Grimme's blend.

Translation, rotation, vibration and electronic degeneracy are those of an ideal gas (D. A. McQuarrie,
Statistical Mechanics (1976), ch. 8; the numbers are ASE's `IdealGasThermo`). With `cutoff` nu_0 the entropy
of a soft mode goes over into that of a rotor (S. Grimme, Chem. Eur. J. 18, 9955 (2012), Eq. 3-8):

    S_k = w S_k(harmonic) + (1 - w) S_k(rotor),    w = 1 / (1 + (nu_0 / nu_k)^4)

| symbol | variable | unit |
|---|---|---|
| E, potential energy | `energy` | eV |
| zero-point energy | `zero_point_energy` | eV |
| H(T) = E + ZPE + int C_v dT + kT | `enthalpy` | eV |
| S(T, p), its parts | `entropy`, `entropy_parts` | eV/K |
| G = H - T S | `gibbs_energy` | eV |
| C_p = dH/dT, of harmonic oscillators as H | `heat_capacity` | eV/K |
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.molecules.modes import NormalModes
from hint_plugin.science.molecules.remarks import is_stationary, kind_of
from hint_plugin.science.molecules.rotational_symmetry import symmetry_number as find_symmetry_number

Geometry = Literal["monatomic", "linear", "nonlinear"]
TEMPERATURE = 298.15
PRESSURE = 101325.0
_FREE = 1e-2  # cm^-1
GRIMME_CUTOFF = 100.0
"""cm^-1: Grimme's own value."""


@dataclass(frozen=True)
class Thermochemistry:
    """One molecule at one temperature and pressure; units in the table of this module.

    `kind` is "minimum", or "transition state", whose imaginary mode is left out; or "not stationary", where
    the largest force is above 0.05 eV/A: then the numbers are those of no state. `stationary` is None where
    the forces are not known. `inverted` are frequencies of modes that are imaginary by less than 10 cm^-1,
    noise of a flat torsion: their absolute values count. `treated_as_linear`: it is slightly bent
    (`modes.is_bent_rod`).
    """

    kind: str
    energy: float
    zero_point_energy: float
    enthalpy: float
    entropy: float
    gibbs_energy: float
    entropy_parts: dict[str, float]
    temperature: float
    pressure: float
    symmetry_number: int
    multiplicity: int
    linear: bool
    cutoff: float | None
    imaginary: list[float]
    inverted: list[float]
    treated_as_linear: bool = False
    stationary: bool | None = None
    heat_capacity: float = 0.0

    @property
    def gibbs_correction(self) -> float:
        """G - E, eV."""
        return self.gibbs_energy - self.energy

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "gibbs_correction": self.gibbs_correction}


def thermochemistry(
    modes: NormalModes,
    energy: float = 0.0,
    *,
    temperature: float = TEMPERATURE,
    pressure: float = PRESSURE,
    symmetry_number: int | None = None,
    multiplicity: int = 1,
    cutoff: float | None = GRIMME_CUTOFF,
    largest_force: float | None = None,
) -> Thermochemistry:
    """Of a minimum, or of a transition state if one mode is imaginary and the force is small.

    Args:
        modes: of `normal_modes`, of a molecule that is free (`adsorbate_thermochemistry` for held atoms).
        energy: E of the geometry, eV.
        temperature: K.
        pressure: Pa.
        symmetry_number: found from the geometry if None.
        multiplicity: 2S + 1.
        cutoff: nu_0 in cm^-1 of Grimme's blend; None or 0 for plain harmonic oscillators.
        largest_force: eV/A, on an atom: it says whether the structure is stationary; None: nobody knows.

    Raises:
        DataError: more than one imaginary mode: neither a minimum nor a transition state; or atoms are held.
        OptionsError: temperature, pressure, symmetry number or multiplicity that cannot be.
    """
    _check(temperature, pressure, symmetry_number, multiplicity)
    if modes.free is not None:
        raise DataError(
            f"atoms of {modes.atoms.symbols} are held: it is no gas, see `adsorbate_thermochemistry`"
        )
    real, inverted = real_modes(modes)
    sigma = symmetry_number
    if sigma is None:
        sigma = find_symmetry_number(modes.atoms, linear=modes.linear)
    gas = _Gas(modes.atoms, real, _geometry(len(modes.atoms), len(modes.frequencies)), sigma, multiplicity)
    enthalpy = energy + gas.enthalpy(temperature)
    entropies = gas.entropies(temperature, pressure, cutoff)
    entropy = sum(entropies.values())
    return Thermochemistry(
        kind=kind_of(modes, largest_force),
        energy=energy,
        zero_point_energy=float(0.5 * units.invcm * real.sum()),
        enthalpy=enthalpy,
        entropy=entropy,
        gibbs_energy=enthalpy - temperature * entropy,
        entropy_parts=entropies,
        temperature=temperature,
        pressure=pressure,
        symmetry_number=sigma,
        multiplicity=multiplicity,
        linear=gas.geometry == "linear",
        cutoff=cutoff or None,
        imaginary=modes.imaginary.tolist(),
        inverted=inverted.tolist(),
        treated_as_linear=modes.bent,
        stationary=is_stationary(largest_force),
        heat_capacity=gas.heat_capacity(temperature),
    )


def check_conditions(temperature: float, pressure: float) -> None:
    """Raises OptionsError: K and Pa that are not above 0."""
    if temperature <= 0 or pressure <= 0:
        raise OptionsError(f"{temperature} K and {pressure} Pa; wanted numbers above 0")


def _check(temperature: float, pressure: float, symmetry_number: int | None, multiplicity: int) -> None:
    check_conditions(temperature, pressure)
    if multiplicity < 1 or (symmetry_number is not None and symmetry_number < 1):
        raise OptionsError(
            f"multiplicity {multiplicity}, symmetry number {symmetry_number}; wanted at least 1"
        )


def real_modes(modes: NormalModes) -> tuple[NDArray, NDArray]:
    """Wavenumbers that count, all positive, without the mode of a transition state; and the inverted ones."""
    atoms, imaginary = modes.atoms, modes.imaginary
    if len(imaginary) > 1:
        listed = ", ".join(f"{nu:.0f}" for nu in imaginary)
        raise DataError(
            f"{atoms.symbols} has {len(imaginary)} imaginary modes ({listed} cm^-1): neither a minimum nor a "
            "transition state. Optimise it first (hint optimize)"
        )
    signed = modes.frequencies[len(imaginary) :]
    real = np.abs(signed)
    if len(real) and real.min() < _FREE:
        raise DataError(f"{atoms.symbols} has a mode of {real.min():.1g} cm^-1, which has no finite entropy")
    return real, signed[signed < 0]


@dataclass(frozen=True)
class _Gas:
    """One molecule of an ideal gas; `frequencies` in cm^-1."""

    atoms: Atoms
    frequencies: NDArray
    geometry: Geometry
    sigma: int
    multiplicity: int

    @property
    def _thermo(self) -> Any:
        from ase.thermochemistry import IdealGasThermo

        return IdealGasThermo(
            vib_energies=(self.frequencies * units.invcm).tolist(),
            geometry=self.geometry,
            potentialenergy=0.0,
            atoms=self.atoms,
            symmetrynumber=self.sigma,
            spin=0.5 * (self.multiplicity - 1),
            vib_selection="all",
        )

    def enthalpy(self, temperature: float) -> float:
        """H - E, eV."""
        return float(self._thermo.get_enthalpy(temperature, verbose=False))

    def heat_capacity(self, temperature: float) -> float:
        """C_p, eV/K: k (5/2 + 1 or 3/2 for rotations + sum x^2 / (4 sinh^2(x / 2))), x = h nu / kT."""
        half = 0.5 * self.frequencies * units.invcm / (units.kB * temperature)
        rotations = {"monatomic": 0.0, "linear": 1.0, "nonlinear": 1.5}[self.geometry]
        half = np.minimum(half, 300.0)  # beyond, nothing is left
        return float(units.kB * (2.5 + rotations + ((half / np.sinh(half)) ** 2).sum()))

    def entropies(self, temperature: float, pressure: float, cutoff: float | None) -> dict[str, float]:
        """Of each kind of motion, eV/K."""
        _, parts = self._thermo.get_ideal_entropy(
            temperature,
            translation=True,
            vibration=True,
            rotation=True,
            geometry=self.geometry,
            electronic=True,
            pressure=pressure,
            symmetrynumber=self.sigma,
        )
        return {
            "translation": float(parts["S_t"] + parts["S_p"]),
            "rotation": float(parts["S_r"]),
            "vibration": self._blended(temperature, cutoff) if cutoff else float(parts["S_v"]),
            "electronic": float(parts["S_e"]),
        }

    def _blended(self, temperature: float, cutoff: float) -> float:
        """Grimme's entropy of the vibrations, eV/K."""
        from ase.thermochemistry import RRHOMode

        inertia = float(np.mean(self.atoms.get_moments_of_inertia()))
        modes = [RRHOMode(nu * units.invcm, inertia, tau=cutoff) for nu in self.frequencies]
        return float(np.sum([mode.get_entropy(temperature, contributions=False) for mode in modes]))


def _geometry(atoms: int, modes: int) -> Geometry:
    if atoms == 1:
        return "monatomic"
    return "linear" if modes == 3 * atoms - 5 else "nonlinear"
