"""Lattice thermal conductivity on one mesh, by phono3py, and what it consists of.

In the relaxation-time approximation, phonons of lifetime tau = 1/(4 pi gamma) carry

    kappa = 1/(N V) sum over q, s of C_qs v_qs v_qs tau_qs,

gamma being the half width of the line in frequency, from the scattering of three phonons and, if wanted,
from that of isotopes. The direct solution of the linearised Boltzmann equation drops the approximation
(L. Chaput, Phys. Rev. Lett. 110, 265506 (2013)). Wigner's term adds what two branches carry together
(M. Simoncelli, N. Marzari, F. Mauri, Nat. Phys. 15, 809 (2019)). phono3py does both (A. Togo, L. Chaput,
I. Tanaka, Phys. Rev. B 91, 094306 (2015)).

How far a model's kappa is from a reference's, mode by mode, is measured as in Matbench Discovery by

    SRME = 2 sum over q, s of |k_qs - k'_qs| / (kappa + kappa'),

k_qs being what a mode and its coherences with others add to kappa (B. Pota, P. Ahlawat, G. Csanyi, M.
Simoncelli, arXiv:2408.00755). It is 0 for the same phonons and at most 2; SRD = 2 (kappa - kappa') / (kappa +
kappa') lets the errors of modes cancel. All are averages over the three directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.file_io import replacing
from hint_plugin.data.structures.unit_cell import quiet
from hint_plugin.errors import DataError
from hint_plugin.science.phonons.crystals import CM_PER_THZ

COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
MICROMETRE = 1e4
"""A."""


@dataclass(frozen=True)
class Conduction:
    """kappa on one mesh at T temperatures; Q points of the irreducible part, B branches.

    Attributes:
        mesh: of q points.
        temperatures: [T], K.
        rta: [T, 6], W/m/K, in the relaxation-time approximation; components as `COMPONENTS`.
        direct: [T, 6], of the direct solution; None where it was not wanted.
        coherences: [T, 6], Wigner's term; None where it was not wanted.
        qpoints: [Q, 3], fractional. weights: [Q], how many points of the mesh each stands for.
        frequencies: [Q, B], THz.
        velocities: [Q, B, 3], THz A.
        gamma: [T, Q, B], THz, half widths, by isotopes too.
        modes: [T, Q, B, 6], W/m/K, what the modes add to `total`, all points of their star together.
    """

    mesh: tuple[int, int, int]
    temperatures: NDArray
    rta: NDArray
    direct: NDArray | None
    coherences: NDArray | None
    qpoints: NDArray
    weights: NDArray
    frequencies: NDArray
    velocities: NDArray
    gamma: NDArray
    modes: NDArray

    @property
    def total(self) -> NDArray:
        """[T, 6]: the direct solution, or else that of relaxation times, with the coherences."""
        found = self.rta if self.direct is None else self.direct
        return found if self.coherences is None else found + self.coherences

    def kept(self) -> dict[str, Any]:
        """For a journal."""
        return {name: value for name, value in self.__dict__.items() if value is not None}

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Conduction:
        """Of `kept`."""
        arrays = {
            name: np.asarray(kept[name]) if name in kept else None
            for name in cls.__dataclass_fields__
            if name != "mesh"
        }
        first, second, third = (int(n) for n in kept["mesh"])
        return cls(mesh=(first, second, third), **arrays)  # type: ignore[arg-type]

    def at(self, temperature: float) -> int:
        """The number of the nearest temperature."""
        return int(np.abs(self.temperatures - temperature).argmin())

    def mean_free_paths(self) -> NDArray:
        """[T, Q, B], micrometres; infinite where nothing scatters."""
        speed = np.linalg.norm(self.velocities, axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(self.gamma > 0, speed / (4 * np.pi * self.gamma), np.inf)
        return found / MICROMETRE

    def by_frequency(self, temperature: float, points: int = 200) -> tuple[NDArray, NDArray]:
        """(frequencies in cm^-1, kappa of all modes up to there in W/m/K, mean of the directions)."""
        return _cumulative(CM_PER_THZ * self.frequencies, self._mean(temperature), points, linear=True)

    def by_mean_free_path(self, temperature: float, points: int = 200) -> tuple[NDArray, NDArray]:
        """(mean free paths in micrometres, kappa of all modes up to there in W/m/K)."""
        paths = self.mean_free_paths()[self.at(temperature)]
        return _cumulative(paths, self._mean(temperature), points, linear=False)

    def _mean(self, temperature: float) -> NDArray:
        return np.asarray(self.modes[self.at(temperature), :, :, :3].mean(axis=-1))


def conduct(
    crystal: Any,
    mesh: Sequence[int],
    temperatures: Sequence[float],
    *,
    direct: bool = False,
    isotopes: bool = False,
    wigner: bool = True,
    boundary: float | None = None,
) -> Conduction:
    """kappa of a `phono3py.Phono3py` with force constants.

    Args:
        mesh: of q points, three numbers.
        temperatures: K.
        direct: solve the linearised Boltzmann equation, too.
        isotopes: scatter at the isotopes of natural abundance.
        wigner: add the coherences.
        boundary: micrometres, a mean free path that ends at walls.

    Raises:
        DataError: a conductivity that is not finite.
    """
    with quiet():
        crystal.mesh_numbers = [int(n) for n in mesh]
        crystal.init_phph_interaction()
        crystal.run_thermal_conductivity(
            is_LBTE=direct,
            temperatures=[float(t) for t in temperatures],
            is_isotope=isotopes,
            boundary_mfp=boundary,
            transport_type="SMM19" if wigner else None,
            log_level=0,
        )
    found = crystal.thermal_conductivity
    grid = float(np.prod(np.asarray(found.mesh_numbers)))
    gamma = np.array(found.gamma[0], dtype=float)
    if isotopes and found.gamma_isotope is not None:
        gamma += np.asarray(found.gamma_isotope[0])
    rta = np.array((found.kappa_RTA if direct else found.kappa_intra if wigner else found.kappa)[0])
    modes, between = _modes(found, direct, wigner)
    result = Conduction(
        mesh=tuple(int(n) for n in found.mesh_numbers),  # type: ignore[arg-type]
        temperatures=np.array(found.temperatures, dtype=float),
        rta=rta,
        direct=np.array((found.kappa_intra_exact if wigner else found.kappa)[0]) if direct else None,
        coherences=np.array(found.kappa_inter[0]) if wigner else None,
        qpoints=np.array(found.qpoints, dtype=float),
        weights=np.array(found.grid_weights, dtype=int),
        frequencies=np.array(found.frequencies, dtype=float)[: len(found.grid_points)],
        velocities=np.array(found.group_velocities, dtype=float),
        gamma=gamma,
        modes=(modes if between is None else modes + between) / grid,
    )
    if not np.isfinite(result.total).all():
        raise DataError(f"mesh {' '.join(map(str, mesh))}: a conductivity is NaN or infinite")
    return result


def _modes(found: Any, direct: bool, wigner: bool) -> tuple[NDArray, NDArray | None]:
    """Of all modes: their own part, and that of coherences; both [T, Q, B, 6], times the number of points."""
    if not wigner:
        return np.real(found.mode_kappa[0]), None
    matrix = np.real(np.asarray(found.mode_kappa_matrix[0]))  # [T, Q, B, B, 6]
    own = np.moveaxis(np.diagonal(matrix, axis1=2, axis2=3), -1, 2)
    return (np.real(found.mode_kappa[0]) if direct else own), matrix.sum(axis=3) - own


def _cumulative(values: NDArray, parts: NDArray, points: int, linear: bool) -> tuple[NDArray, NDArray]:
    """The sum of `parts` with values up to each of some values."""
    values, parts = values.ravel(), parts.ravel()
    order = np.argsort(values)
    values, sums = values[order], np.cumsum(parts[order])
    counts = np.isfinite(values) & (parts[order] != 0)
    if not counts.any():
        return np.zeros(0), np.zeros(0)
    low, high = values[counts].min(), values[counts].max()
    places = np.linspace(0.0, high, points) if linear else np.geomspace(max(low, 1e-6 * high), high, points)
    before = np.searchsorted(values, places * (1 + 1e-12), side="right")
    return places, np.concatenate([[0.0], sums])[before]


def write_modes(found: Conduction, path: Path) -> None:
    """In the names and units of phono3py's kappa-*.hdf5."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as handle:
        handle["mesh"] = np.asarray(found.mesh)
        handle["temperature"] = found.temperatures
        handle["kappa"] = found.total
        handle["kappa_RTA"] = found.rta
        if found.direct is not None:
            handle["kappa_direct"] = found.direct
        if found.coherences is not None:
            handle["kappa_inter"] = found.coherences
        handle["qpoint"] = found.qpoints
        handle["weight"] = found.weights
        handle["frequency"] = found.frequencies
        handle["group_velocity"] = found.velocities
        handle["gamma"] = found.gamma
        handle["mode_kappa"] = found.modes * float(np.prod(found.mesh))


@dataclass(frozen=True)
class ModeReference:
    """kappa of somebody else, by modes: of `hint conductivity`, or phono3py's kappa-*.hdf5.

    Attributes:
        mesh, temperatures, qpoints, frequencies, modes: as those of `Conduction`; qpoints may be None.
        total: [T, 6], W/m/K.
    """

    mesh: tuple[int, int, int]
    temperatures: NDArray
    qpoints: NDArray | None
    frequencies: NDArray
    modes: NDArray
    total: NDArray


def read_modes(path: Path) -> ModeReference:
    """Raises DataError: no such file, or one without modes at temperatures."""
    path = path / "modes.hdf5" if path.is_dir() else path
    try:
        with h5py.File(path, "r") as handle:
            mesh = np.asarray(handle["mesh"]).ravel().astype(int)
            modes = np.asarray(handle["mode_kappa"] if "mode_kappa" in handle else _wigners(handle))
            total = next(
                np.asarray(handle[name])
                for name in ("kappa", "kappa_TOT_RTA", "kappa_P_RTA")
                if name in handle
            )
            qpoints = np.asarray(handle["qpoint"]) if "qpoint" in handle else None
            temperatures = np.atleast_1d(np.asarray(handle["temperature"], dtype=float))
            frequencies = np.asarray(handle["frequency"])
    except (OSError, KeyError, StopIteration) as error:
        raise DataError(
            f"{path}: no mode conductivities in it ({error}); wanted the folder of a hint conductivity, its "
            "modes.hdf5, or phono3py's kappa-*.hdf5"
        ) from error
    if mesh.shape != (3,) or modes.ndim != 4 or modes.shape[0] != len(temperatures):
        raise DataError(f"{path}: mode_kappa of shape {modes.shape}; wanted [temperatures, q, branches, 6]")
    first, second, third = (int(n) for n in mesh)
    grid = float(first * second * third)
    return ModeReference((first, second, third), temperatures, qpoints, frequencies, modes / grid, total)


def _wigners(handle: Any) -> NDArray:
    """Of phono3py's files with two parts."""
    found = np.asarray(handle["mode_kappa_P_RTA"])
    return found + np.asarray(handle["mode_kappa_C"]).sum(axis=3) if "mode_kappa_C" in handle else found


def compare_modes(found: Conduction, reference: ModeReference) -> list[dict[str, float]]:
    """SRD and SRME at each temperature that both have.

    Raises:
        DataError: other meshes, q points or branches, or no temperature in common.
    """
    if found.mesh != reference.mesh or found.frequencies.shape != reference.frequencies.shape:
        raise DataError(
            f"mesh {found.mesh} with {found.frequencies.shape} modes, and {reference.mesh} with "
            f"{reference.frequencies.shape} of the reference; wanted the same crystal and mesh"
        )
    if reference.qpoints is not None:
        apart = found.qpoints - reference.qpoints
        if np.abs(apart - np.rint(apart)).max() > 1e-5:
            raise DataError("the reference has other q points: its primitive cell is another one")
    rows = []
    for k, temperature in enumerate(found.temperatures):
        m = int(np.abs(reference.temperatures - temperature).argmin())
        if abs(reference.temperatures[m] - temperature) > 1e-3:
            continue
        mine, theirs = found.modes[k, :, :, :3].mean(axis=2), reference.modes[m, :, :, :3].mean(axis=2)
        both = float(mine.sum() + theirs.sum())
        rows.append(
            {
                "temperature": float(temperature),
                "kappa": float(mine.sum()),
                "reference": float(theirs.sum()),
                "srd": 2 * float(mine.sum() - theirs.sum()) / both,
                "srme": 2 * float(np.abs(mine - theirs).sum()) / both,
            }
        )
    if not rows:
        told = ", ".join(f"{t:g}" for t in reference.temperatures[:10])
        raise DataError(f"the reference is of {told} K; wanted one of the temperatures of this run")
    return rows
