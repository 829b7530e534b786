"""Densities of states and harmonic thermodynamics of a crystal, by phonopy on a mesh of q points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from numpy.typing import NDArray

from hint_plugin.data.structures.unit_cell import quiet
from hint_plugin.errors import OptionsError
from hint_plugin.science.phonons.crystals import CM_PER_THZ
from hint_plugin.science.phonons.differences import IMAGINARY

if TYPE_CHECKING:
    from phonopy import Phonopy

MESH = 60.0
"""A: as many q points along an axis as this length has lattice vectors; phonopy's `mesh`."""


@dataclass(frozen=True)
class DensityOfStates:
    """Of a primitive cell: `frequencies` [K], cm^-1; `total` [K] and those of the elements, states per cm^-1.
    The integral is three times the number of atoms."""

    frequencies: NDArray
    total: NDArray
    elements: dict[str, NDArray]

    def rows(self) -> list[dict[str, float]]:
        """For a table."""
        columns = {"frequency": self.frequencies, "total": self.total, **self.elements}
        return [
            dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)
        ]


@dataclass(frozen=True)
class Thermodynamics:
    """Of a primitive cell at `temperatures` (K): Helmholtz `free_energy` with the zero-point energy (eV),
    `entropy` and `heat_capacity` at constant volume (eV/K); `imaginary`: the part of the modes that are
    imaginary and left out. With any, the numbers mean little."""

    temperatures: NDArray
    free_energy: NDArray
    entropy: NDArray
    heat_capacity: NDArray
    imaginary: float

    def rows(self) -> list[dict[str, float]]:
        """For a table."""
        columns = {
            "temperature": self.temperatures,
            "free_energy": self.free_energy,
            "entropy": self.entropy,
            "heat_capacity": self.heat_capacity,
        }
        return [
            dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)
        ]


def density_of_states(phonon: Phonopy, mesh: float | Sequence[int] = MESH) -> DensityOfStates:
    """Linear tetrahedra on a mesh of q points.

    Args:
        phonon: with force constants.
        mesh: a length in A, or three numbers of points.

    Raises:
        OptionsError: a mesh that cannot be.
    """
    run: Any = phonon
    with quiet():
        run.run_mesh(_mesh(mesh), with_eigenvectors=True, is_mesh_symmetry=False)
        lowest, highest = np.min(run.mesh.frequencies), np.max(run.mesh.frequencies)
        margin = 0.02 * (highest - lowest)
        pitch = max(0.005, (highest - lowest) / 300)
        run.run_projected_dos(freq_min=lowest - margin, freq_max=highest + margin, freq_pitch=pitch)
    found = run.projected_dos
    frequencies = CM_PER_THZ * np.asarray(found.frequency_points)
    by_atom = np.asarray(found.projected_dos) / CM_PER_THZ
    symbols = np.array(phonon.primitive.symbols)
    elements = {s: by_atom[symbols == s].sum(axis=0) for s in dict.fromkeys(symbols.tolist())}
    return DensityOfStates(frequencies, by_atom.sum(axis=0), elements)


def thermodynamics(
    phonon: Phonopy,
    temperatures: Sequence[float] | NDArray,
    mesh: float | Sequence[int] = MESH,
    *,
    gamma_centred: bool = False,
    lowest: float = 0.0,
) -> Thermodynamics:
    """Sums over the harmonic oscillators of a mesh of q points; imaginary modes are left out.

    Args:
        phonon: with force constants.
        temperatures: K.
        mesh: a length in A, of which the mesh has Gamma; or three numbers of points.
        gamma_centred: the mesh of three numbers has Gamma, too.
        lowest: cm^-1; modes of this frequency and below are left out.

    Raises:
        OptionsError: a mesh that cannot be, or a negative temperature.
    """
    wanted = np.asarray(temperatures, dtype=float)
    if not wanted.size or wanted.min() < 0:
        raise OptionsError("temperatures: wanted numbers of 0 K or more")
    run: Any = phonon
    with quiet():
        run.run_mesh(_mesh(mesh), is_gamma_center=gamma_centred)
        run.run_thermal_properties(temperatures=wanted, cutoff_frequency=lowest / CM_PER_THZ)
        found: dict[str, Any] = run.get_thermal_properties_dict()
    weights = np.repeat(np.asarray(run.mesh.weights, dtype=float)[:, None], 3 * len(phonon.primitive), axis=1)
    low = CM_PER_THZ * np.asarray(run.mesh.frequencies) < IMAGINARY
    per_kj = units.kJ / units.mol
    return Thermodynamics(
        temperatures=np.asarray(found["temperatures"], dtype=float),
        free_energy=per_kj * np.asarray(found["free_energy"], dtype=float),
        entropy=1e-3 * per_kj * np.asarray(found["entropy"], dtype=float),
        heat_capacity=1e-3 * per_kj * np.asarray(found["heat_capacity"], dtype=float),
        imaginary=float((weights * low).sum() / weights.sum()),
    )


def _mesh(mesh: float | Sequence[int]) -> Any:
    given = np.asarray(mesh, dtype=float)
    if given.size not in (1, 3) or not np.isfinite(given).all() or given.min() <= 0:
        raise OptionsError(f"mesh {mesh}; wanted a length in A, or three whole numbers")
    return float(given) if given.size == 1 else [int(n) for n in given]
