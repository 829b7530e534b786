"""Internal energy, entropy and free energy of atoms on a surface: harmonic oscillators, all of them.

An adsorbate has no free translation and rotation: each of the n modes of its free coordinates is a
vibration (T. L. Hill, An Introduction to Statistical Thermodynamics (1960), ch. 5; the numbers are ASE's
`HarmonicThermo`):

    U = E + sum_k [e_k / 2 + e_k / (exp(e_k/kT) - 1)],    e_k = h c nu_k
    S = k sum_k [e_k/kT / (exp(e_k/kT) - 1) - ln(1 - exp(-e_k/kT))],    F = U - T S

With `Hindered` the three softest modes are two hindered translations along the surface and one hindered
rotation about its normal, and the entropy has a part for the sites (L. H. Sprowl, C. T. Campbell, L.
Arnadottir, J. Phys. Chem. C 120, 9719 (2016); ASE's `HinderedThermo`).

| symbol | variable | unit |
|---|---|---|
| E, potential energy | `energy` | eV |
| zero-point energy | `zero_point_energy` | eV |
| U(T) | `internal_energy` | eV |
| S(T), its parts | `entropy`, `entropy_parts` | eV/K |
| F = U - T S | `helmholtz_energy` | eV |
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.geometry import find_mic
from numpy.typing import NDArray

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.molecules.modes import NormalModes
from hint_plugin.science.molecules.remarks import is_stationary, kind_of
from hint_plugin.science.molecules.thermochemistry import TEMPERATURE, real_modes
from hint_plugin.settings import option

_TURNS = 0.01
"""amu A^2, the moment of inertia about the normal: what has less does not turn. A hydrogen atom that is 0.3
A off the axis has 0.09."""


@dataclass(frozen=True, kw_only=True)
class Hindered:
    """What a hindered translator and rotor needs. The adsorbate is all that moves: hold the surface."""

    translation: float = option("barrier between two sites of the surface, eV")
    rotation: float = option("barrier of the turn about the normal of the surface, eV")
    sites: float = option("number of sites per cm^2: 1.77e15 of one per atom on Cu(111)")
    minima: int = option("equivalent minima in a full turn")
    symmetry: int = option("symmetry number of the adsorbate", 1)


@dataclass(frozen=True)
class AdsorbateThermochemistry:
    """Atoms on a surface at one temperature; units in the table of this module.

    `kind` and `stationary` as in `Thermochemistry`; `model` is "harmonic" or "hindered". `imaginary` is the
    mode of a transition state, which is left out; `inverted` are frequencies of modes that are imaginary by
    less than 10 cm^-1: their absolute values count.
    """

    kind: str
    model: str
    energy: float
    zero_point_energy: float
    internal_energy: float
    entropy: float
    helmholtz_energy: float
    entropy_parts: dict[str, float]
    temperature: float
    free_atoms: list[int]
    imaginary: list[float]
    inverted: list[float]
    stationary: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Under the names of a gas, too: the volume of an adsorbate is neglected, so that
        `enthalpy` is U, `gibbs_energy` F and `gibbs_correction` F - E."""
        alike = {
            "enthalpy": self.internal_energy,
            "gibbs_energy": self.helmholtz_energy,
            "gibbs_correction": self.helmholtz_energy - self.energy,
        }
        return asdict(self) | alike


def adsorbate_thermochemistry(
    modes: NormalModes,
    energy: float = 0.0,
    *,
    temperature: float = TEMPERATURE,
    hindered: Hindered | None = None,
    largest_force: float | None = None,
) -> AdsorbateThermochemistry:
    """Of a minimum, or of a transition state if one mode is imaginary and the force is small.

    Args:
        modes: of `normal_modes`, of a structure of which atoms are held.
        energy: E of the geometry, eV.
        temperature: K.
        hindered: the three softest modes are hindered translations and rotation; None: vibrations.
        largest_force: eV/A, on a free coordinate: it says whether the structure is stationary; None: nobody
            knows.

    Raises:
        DataError: no held atoms, or so few that the whole can still move; more than one imaginary mode, or a
            mode without stiffness; hindered: an imaginary mode, or what moves cannot turn.
        OptionsError: a temperature or options of `Hindered` that cannot be.
    """
    if temperature <= 0:
        raise OptionsError(f"{temperature} K; wanted a number above 0")
    if modes.free is None:
        raise DataError(f"{modes.atoms.symbols} has no held atoms: it is a molecule, see `thermochemistry`")
    if left := modes.rigid_motions:
        raise DataError(
            f"the held atoms of {modes.atoms.symbols} leave {left} rigid motion{'s' * (left != 1)} of the "
            "whole, which is no vibration; hold three atoms that are not in line, or none"
        )
    real, inverted = real_modes(modes)
    oscillators = _hindered(modes, real, hindered) if hindered is not None else _harmonic(real)
    internal = energy + float(oscillators.get_internal_energy(temperature, verbose=False))
    entropy = float(oscillators.get_entropy(temperature, verbose=False))
    vibration = float(_harmonic(_stiff(real, hindered)).get_entropy(temperature, verbose=False))
    parts = {"vibration": vibration}
    if hindered is not None:
        parts["hindered motion and sites"] = entropy - vibration
    zero = (
        oscillators.get_ZPE_correction()
        if hindered is None
        else oscillators.get_zero_point_energy(verbose=False)
    )
    return AdsorbateThermochemistry(
        kind=kind_of(modes, largest_force),
        model="harmonic" if hindered is None else "hindered",
        energy=energy,
        zero_point_energy=float(zero),
        internal_energy=internal,
        entropy=entropy,
        helmholtz_energy=internal - temperature * entropy,
        entropy_parts=parts,
        temperature=temperature,
        free_atoms=modes.free.atoms.tolist(),
        imaginary=modes.imaginary.tolist(),
        inverted=inverted.tolist(),
        stationary=is_stationary(largest_force),
    )


def _stiff(real: NDArray, hindered: Hindered | None) -> NDArray:
    """Wavenumbers of the modes that are vibrations."""
    return real if hindered is None else np.sort(real)[3:]


def _harmonic(wavenumbers: NDArray) -> Any:
    from ase.thermochemistry import HarmonicThermo

    return HarmonicThermo(vib_energies=(wavenumbers * units.invcm).tolist())


def _hindered(modes: NormalModes, real: NDArray, given: Hindered) -> Any:
    from ase.thermochemistry import HinderedThermo

    assert modes.free is not None
    values = (given.translation, given.rotation, given.sites)
    if not (np.isfinite(values).all() and min(values) > 0) or given.minima < 1 or given.symmetry < 1:
        raise OptionsError(
            f"hindered: barriers of {given.translation} and {given.rotation} eV, {given.sites} sites per "
            f"cm^2, {given.minima} minima, symmetry {given.symmetry}; wanted numbers above 0"
        )
    chosen = modes.free.atoms
    if len(modes.imaginary) or len(real) != 3 * len(chosen):
        raise DataError(
            f"hindered translations and rotations are for a minimum whose moving atoms have three free "
            f"coordinates each; {modes.atoms.symbols} has {len(modes.imaginary)} imaginary modes and "
            f"{len(real)} others of {len(chosen)} moving atoms"
        )
    masses = modes.atoms.get_masses()[chosen]
    inertia = inertia_about_normal(modes.atoms, chosen)
    if inertia < _TURNS:
        raise DataError(
            f"what moves on {modes.atoms.symbols} has a moment of inertia of {inertia:.2g} amu A^2 about "
            "the normal of the surface: it does not turn, so that its rotation cannot be hindered. Leave "
            "hindered out"
        )
    return HinderedThermo(
        vib_energies=(real * units.invcm).tolist(),
        trans_barrier_energy=given.translation,
        rot_barrier_energy=given.rotation,
        sitedensity=given.sites,
        rotationalminima=given.minima,
        symmetrynumber=given.symmetry,
        mass=float(masses.sum()),
        inertia=inertia,
    )


def inertia_about_normal(atoms: Atoms, chosen: NDArray) -> float:
    """Moment of inertia (amu A^2) of some atoms about the normal of the surface through their centre of mass.

    The normal is a x b of a cell that is periodic along a and b, else the z axis. Atoms count where they are
    nearest to the first of them.
    """
    apart = atoms.positions[chosen] - atoms.positions[chosen[0]]
    if atoms.pbc.any():
        apart = find_mic(apart, atoms.cell, atoms.pbc)[0]
    masses = atoms.get_masses()[chosen]
    normal = np.cross(atoms.cell[0], atoms.cell[1]) if atoms.pbc[:2].all() else np.array([0.0, 0.0, 1.0])
    normal = normal / np.linalg.norm(normal)
    arms = apart - masses @ apart / masses.sum()
    arms = arms - np.outer(arms @ normal, normal)
    return float(masses @ (arms**2).sum(axis=1))
