"""The quasi-harmonic approximation: free energies on a grid of volumes and temperatures, and what follows.

    F(V, T) = E(V) + F_ph(V, T)                          energy of the crystal, and of its phonons at V
    G(T, p) = min over V of F(V, T) + p V                at each T, by an equation of state; at V(T)

    symbol     meaning                                    here
    alpha      (1/V) dV/dT at p, of the volume            `thermal_expansion`, 1/K
    B_T        V d2F/dV2 at the minimum                   `bulk_modulus`, GPa
    C_V, S     of the phonons, at V(T)                    `heat_capacity_v`, `entropy`, eV/K
    C_p        C_V + T (dV/dT) (dS/dV)                    `heat_capacity_p`, eV/K
    gamma      V alpha B_T / C_V                          `gruneisen`

The fits and alpha, B_T, C_p and gamma are phonopy's (Togo, Chaput, Tanaka and Hug, Phys. Rev. B 81, 174301
(2010)). The equation of state is that of Vinet, Ferrante, Rose and Smith (J. Geophys. Res. 92, 9319 (1987))
unless another is asked for. Everything is per formula unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from ase import units
from numpy.typing import NDArray

from hint_plugin.data.structures.unit_cell import need_phonopy, quiet
from hint_plugin.errors import DataError, OptionsError

EQUATIONS_OF_STATE = ("vinet", "birch_murnaghan", "murnaghan")
FEWEST = 5
"""Volumes: the polynomials in V of phonopy, of degree 4, need as many."""
FEWEST_TEMPERATURES = 3
"""One after another: phonopy differentiates by the temperature with both neighbours."""

_KJ = units.kJ / units.mol  # eV of a kJ/mol
_J = 1e-3 * _KJ


@dataclass(frozen=True)
class FreeEnergies:
    """Of a formula unit, at volumes [K] (A^3, ascending) and temperatures [M] (K, ascending).

    `energies` [K] eV of the crystal at rest; of its phonons `free_energy` [M, K] eV with the zero-point
    energy, `entropy` and `heat_capacity` [M, K] eV/K at constant volume.
    """

    volumes: NDArray
    energies: NDArray
    temperatures: NDArray
    free_energy: NDArray
    entropy: NDArray
    heat_capacity: NDArray

    @property
    def total(self) -> NDArray:
        """F(V, T) [M, K], eV."""
        return self.energies + self.free_energy


@dataclass(frozen=True)
class Equilibrium:
    """What holds at the minimum of G, for each of `temperatures` [M], K: of a formula unit.

    Attributes:
        volume: A^3.
        thermal_expansion: of the volume, 1/K.
        bulk_modulus: isothermal, GPa.
        heat_capacity_p, heat_capacity_v, entropy: eV/K.
        gruneisen: thermodynamic Grueneisen parameter; NaN at 0 K, where it is 0/0.
        gibbs_energy: eV.
        residual: eV, the largest distance of F(V) + p V from the equation of state.
        left_out: temperatures, and why there is nothing at them.
    """

    temperatures: NDArray
    volume: NDArray
    thermal_expansion: NDArray
    bulk_modulus: NDArray
    heat_capacity_p: NDArray
    heat_capacity_v: NDArray
    entropy: NDArray
    gruneisen: NDArray
    gibbs_energy: NDArray
    residual: NDArray
    left_out: tuple[tuple[float, str], ...] = ()

    @property
    def identity(self) -> NDArray:
        """C_p - C_V - T V alpha^2 B_T [M], eV/K: zero, but for the fits and differences."""
        modulus = self.bulk_modulus * units.GPa
        product = self.temperatures * self.volume * self.thermal_expansion**2 * modulus
        return self.heat_capacity_p - self.heat_capacity_v - product

    def columns(self) -> dict[str, NDArray]:
        """By name, without what is left out."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "left_out"}

    def at(self, temperature: float) -> dict[str, float]:
        """The columns at the nearest of the temperatures; that one is `temperature`."""
        k = int(np.abs(self.temperatures - temperature).argmin())
        found = {name: float(values[k]) for name, values in self.columns().items()}
        return {"temperature": found.pop("temperatures"), **found}


@dataclass(frozen=True)
class Crossing:
    """Two phases of the same Gibbs energy.

    Attributes:
        phases: the stable one below `temperature`, and the one above.
        temperature: K.
        entropy: eV/K, of the second less that of the first.
        spread: K: what the residuals of both fits may move it by.
        stable: no third phase is lower there.
    """

    phases: tuple[str, str]
    temperature: float
    entropy: float
    spread: float
    stable: bool = True

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.__dict__, "phases": list(self.phases)}


def temperature_grid(highest: float, step: float) -> NDArray:
    """From 0 K to one step beyond `highest`, which is used up by the differences.

    Raises:
        OptionsError: a step of nothing, or one with which there are fewer than three temperatures.
    """
    if not (np.isfinite(highest) and np.isfinite(step) and step > 0 and highest >= step):
        raise OptionsError(
            f"temperatures up to {highest:g} K in steps of {step:g} K; wanted a step above 0, and a highest "
            "temperature of at least one step"
        )
    return step * np.arange(int(highest / step + 1e-9) + 2, dtype=float)


def equilibrium(grid: FreeEnergies, pressure: float = 0.0, eos: str = "vinet") -> Equilibrium:
    """Minimise F + p V at each temperature, and differentiate.

    A temperature is left out, and named in `left_out`, if the minimum lies outside of the volumes, or if no
    equation of state fits; and so is a last one, whose derivatives need its neighbour.

    Args:
        grid: at least five volumes.
        pressure: GPa.
        eos: of `EQUATIONS_OF_STATE`.

    Raises:
        OptionsError: fewer volumes, or another equation of state. DataError: nothing is left.
        MissingDependencyError: no phonopy.
    """
    if eos not in EQUATIONS_OF_STATE:
        raise OptionsError(f"equation of state {eos!r}; wanted {', '.join(EQUATIONS_OF_STATE)}")
    if len(grid.volumes) < FEWEST:
        raise OptionsError(f"{len(grid.volumes)} volumes; wanted {FEWEST} or more")
    need_phonopy()
    fits, why = _fits(grid, pressure, eos)
    blocks = [block for block in _runs(why) if len(block) >= FEWEST_TEMPERATURES]
    parts = [_block(grid, fits[block], block, pressure, eos) for block in blocks]
    if not parts:
        raise DataError(
            f"no temperature has a minimum of the free energy between the volumes "
            f"{_ends(grid.volumes)} A^3 of a formula unit, or fewer than {FEWEST_TEMPERATURES} in a row have "
            f"one ({next(filter(None, why), 'all have one')}). Take another range of volumes (--strain)"
        )
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    kept = set(found["temperatures"].tolist())
    left_out = tuple(
        (float(t), text or "its neighbours have none, which the derivatives need")
        for t, text in zip(grid.temperatures[:-1], why[:-1], strict=True)
        if float(t) not in kept
    )
    return Equilibrium(**found, left_out=left_out)


def crossings(phases: Sequence[tuple[str, Equilibrium]]) -> list[Crossing]:
    """Where the Gibbs energies of two phases of one composition are equal, between the temperatures.

    Only temperatures that both phases have are compared. Two phases whose energies never differ by more than
    the residuals of their fits do not cross: they are one.
    """
    found = []
    for k, (name, one) in enumerate(phases):
        for other_name, other in phases[k + 1 :]:
            for crossing in _of_two(name, one, other_name, other):
                rivals = [third for label, third in phases if label not in crossing.phases]
                found.append(_with_rivals(crossing, dict(phases)[crossing.phases[0]], rivals))
    return sorted(found, key=lambda crossing: crossing.temperature)


def _fits(grid: FreeEnergies, pressure: float, eos: str) -> tuple[NDArray, list[str]]:
    """E, B, B', V [M, 4] at each temperature; and why it is of no use, "" where it is."""
    from phonopy.qha.eos import fit_to_eos, get_eos

    curve, fits, why = get_eos(eos), [], []
    for energies in grid.total + pressure * units.GPa * grid.volumes:
        try:
            fit = np.asarray(fit_to_eos(grid.volumes, energies, curve), dtype=float)
        except (RuntimeError, TypeError):
            fit = np.full(4, np.nan)
        fits.append(fit)
        why.append(_unusable(fit, grid.volumes))
    return np.array(fits), why


def _unusable(fit: NDArray, volumes: NDArray) -> str:
    if not np.isfinite(fit).all() or fit[1] <= 0:
        return "no equation of state fits"
    if not volumes[0] <= fit[3] <= volumes[-1]:
        where = "below" if fit[3] < volumes[0] else "above"
        return f"the minimum of the free energy is {where} the volumes, {_ends(volumes)} A^3"
    return ""


def _ends(volumes: NDArray) -> str:
    return f"{volumes[0]:.3f} to {volumes[-1]:.3f}"


def _runs(why: Sequence[str]) -> Iterator[NDArray]:
    """Indices of temperatures that can be used, one after another."""
    usable = np.flatnonzero([not text for text in why])
    yield from np.split(usable, np.flatnonzero(np.diff(usable) > 1) + 1)


def _block(grid: FreeEnergies, fits: NDArray, rows: NDArray, pressure: float, eos: str) -> dict[str, NDArray]:
    """phonopy's results for temperatures in a row; none at an end that lacks a neighbour."""
    from phonopy.qha.core import QHA
    from phonopy.qha.eos import get_eos

    enthalpies = grid.energies + pressure * units.GPa * grid.volumes
    with quiet():
        run: Any = QHA(
            grid.volumes,
            enthalpies,
            grid.temperatures[rows],
            grid.heat_capacity[rows] / _J,
            grid.entropy[rows] / _J,
            grid.free_energy[rows] / _KJ,
            eos=eos,
        )
        run.run()
    first = 0 if grid.temperatures[rows[0]] == 0.0 else 1  # phonopy's first row is that of 0 K
    kept = slice(first, len(rows) - 1)
    inner, volumes = rows[kept], np.asarray(run.volume_temperature)[kept]
    gruneisen = np.array(run.gruneisen_temperature[kept], dtype=float)
    gruneisen[grid.temperatures[inner] == 0.0] = np.nan
    curve = get_eos(eos)
    fitted = np.array([curve(grid.volumes, fit) for fit in fits[kept]])
    return {
        "temperatures": grid.temperatures[inner],
        "volume": volumes,
        "thermal_expansion": np.asarray(run.thermal_expansion)[kept],
        "bulk_modulus": np.asarray(run.bulk_modulus_temperature)[kept],
        "heat_capacity_p": _J * np.asarray(run.heat_capacity_P_polyfit)[kept],
        "heat_capacity_v": _at(grid.volumes, grid.heat_capacity[inner], volumes),
        "entropy": _at(grid.volumes, grid.entropy[inner], volumes),
        "gruneisen": gruneisen,
        "gibbs_energy": np.asarray(run.gibbs_temperature)[kept],
        "residual": np.abs(fitted - grid.free_energy[inner] - enthalpies).max(axis=1),
    }


def _at(volumes: NDArray, values: NDArray, places: NDArray) -> NDArray:
    """Polynomials of degree 4 through `values` [M, K], at `places` [M]."""
    fit = np.polynomial.Polynomial.fit
    return np.array([fit(volumes, row, 4)(v) for row, v in zip(values, places, strict=True)])


def _of_two(name: str, one: Equilibrium, other_name: str, other: Equilibrium) -> Iterator[Crossing]:
    common, mine, theirs = np.intersect1d(one.temperatures, other.temperatures, return_indices=True)
    if len(common) < 2:
        return
    apart = one.gibbs_energy[mine] - other.gibbs_energy[theirs]
    residual = one.residual[mine] + other.residual[theirs]
    if (np.abs(apart) <= residual).all():
        return
    entropy = other.entropy[theirs] - one.entropy[mine]
    sign = np.where(apart > 0, 1, -1)
    for k in np.flatnonzero(np.diff(sign)):
        part = apart[k] / (apart[k] - apart[k + 1])
        change = entropy[k] + part * (entropy[k + 1] - entropy[k])
        yield Crossing(
            phases=(name, other_name) if apart[k] < apart[k + 1] else (other_name, name),
            temperature=float(common[k] + part * (common[k + 1] - common[k])),
            entropy=float(change if apart[k] < apart[k + 1] else -change),
            spread=float(residual[k : k + 2].max() / abs(change)) if change else float("inf"),
        )


def _with_rivals(crossing: Crossing, phase: Equilibrium, rivals: Sequence[Equilibrium]) -> Crossing:
    """`stable`, as the other phases have it, where they have the temperature."""
    here = np.interp(crossing.temperature, phase.temperatures, phase.gibbs_energy)
    for rival in rivals:
        inside = rival.temperatures[0] <= crossing.temperature <= rival.temperatures[-1]
        if inside and np.interp(crossing.temperature, rival.temperatures, rival.gibbs_energy) < here:
            return Crossing(**{**crossing.__dict__, "stable": False})
    return crossing
