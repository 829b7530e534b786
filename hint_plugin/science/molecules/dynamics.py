"""The vibrational density of states of a molecule that moves: anharmonic, classical.

    D(nu) = sum_i m_i |FT v_i|^2(nu),    int D dnu = 3N - 6  (linear: 3N - 5)

Velocity Verlet runs a harmonic mode too fast: omega = (2/dt) sin(omega_Verlet dt/2). The axis is corrected
for it, by 19 cm^-1 at 3700 cm^-1 and 0.5 fs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray
from scipy import constants

from hint_plugin.errors import EngineError, OptionsError

TIMESTEP = 0.5  # fs
_PER_FS = constants.c * 100 * 1e-15
"""1/fs in one cm^-1."""


@dataclass(frozen=True)
class DensityOfStates:
    """`wavenumbers` [K] in cm^-1, `density` [K] in modes per cm^-1, `temperature` of the run in K."""

    wavenumbers: NDArray
    density: NDArray
    temperature: float


def power_spectrum(velocities: NDArray, masses: NDArray, timestep: float) -> tuple[NDArray, NDArray]:
    """The axis in cm^-1 and D(nu) with an area of 1, of velocities [T, N, 3] `timestep` fs apart.

    A Hann window keeps lines from leaking into each other.
    """
    window = np.hanning(len(velocities))[:, None, None]
    transformed = np.fft.rfft(velocities * window, axis=0)
    density = (masses[None, :, None] * np.abs(transformed) ** 2).sum(axis=(1, 2))
    seen = np.fft.rfftfreq(len(velocities), timestep)  # 1/fs
    true = np.sin(np.pi * seen * timestep) / (np.pi * timestep)
    wavenumbers = true / _PER_FS
    return wavenumbers, density / np.trapezoid(density, wavenumbers)


def vibrational_density(
    atoms: Atoms,
    *,
    time: float = 10.0,
    temperature: float = 300.0,
    timestep: float = TIMESTEP,
    seed: int = 0,
    report: Callable[[float], None] | None = None,
    modes: int | None = None,
) -> DensityOfStates:
    """From NVE dynamics that starts at a minimum, without translation and rotation.

    The kinetic energy at the start is twice that of `temperature`: half of it goes into the potential.

    Args:
        atoms: at a minimum, with a calculator; not changed.
        time: ps; a tenth of it is left out at the start. Lines are about 70/time cm^-1 wide.
        temperature: K.
        timestep: fs.
        seed: of the velocities.
        report: called with the time that has passed, ps.
        modes: how many vibrations there are; None: by the moments of inertia.

    Raises:
        OptionsError: times or temperatures that are not positive, or fewer than 200 steps.
        EngineError: the molecule flies apart. Whatever the calculator raises.
    """
    from ase.md.velocitydistribution import Stationary, ZeroRotation
    from ase.md.verlet import VelocityVerlet

    steps = int(1000 * time / timestep) if timestep > 0 else 0
    if temperature <= 0 or steps < 200:
        raise OptionsError(
            f"{time} ps in steps of {timestep} fs at {temperature} K; wanted 200 steps and heat"
        )
    moving = atoms.copy()
    moving.calc = atoms.calc
    thermalise(moving, 2 * temperature, np.random.default_rng(seed))
    Stationary(moving)
    ZeroRotation(moving)
    motion = VelocityVerlet(moving, timestep * units.fs)
    skipped, velocities, heat = steps // 10, [], []
    size = np.ptp(atoms.positions, axis=0).max() + 10.0
    for step in range(steps):
        motion.run(1)
        if step >= skipped:
            velocities.append(moving.get_velocities())
            heat.append(moving.get_kinetic_energy())
        if step % 200 == 0:
            if not np.ptp(moving.positions, axis=0).max() < size:
                raise EngineError(f"{atoms.symbols} flies apart at {temperature:g} K", "geometry")
            if report is not None:
                report(step * timestep / 1000)
    modes = _vibrations(atoms) if modes is None else modes
    wavenumbers, density = power_spectrum(np.array(velocities), moving.get_masses(), timestep)
    found = 2 * float(np.mean(heat)) / (max(1, modes) * units.kB)
    return DensityOfStates(wavenumbers, modes * density, found)


def _vibrations(atoms: Atoms) -> int:
    if len(atoms) == 1:
        return 0
    moments = atoms.get_moments_of_inertia()
    return 3 * len(atoms) - (5 if moments.min() < 1e-6 * moments.max() else 6)


def thermalise(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Give the atoms momenta of a Maxwell-Boltzmann distribution at a temperature, K."""
    from ase.md import velocitydistribution

    old = "MaxwellBoltzmannDistribution"  # the name before ASE 3.29
    draw = getattr(velocitydistribution, "thermalize_momenta", None) or getattr(velocitydistribution, old)
    draw(atoms, temperature_K=temperature, rng=rng)
