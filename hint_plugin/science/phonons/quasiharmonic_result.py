"""What `hint qha` finds, as objects, as JSON and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from hint_plugin.data import write_frames
from hint_plugin.data.file_io import files_of, remove_earlier, write_csv, write_json
from hint_plugin.science.phonons.force_constants import FORCE_TOLERANCE
from hint_plugin.science.phonons.mode_gruneisen import ModeGruneisen
from hint_plugin.science.phonons.qha_figure import plot_quasiharmonic
from hint_plugin.science.phonons.quasiharmonic import Crossing, Equilibrium, FreeEnergies

LARGE = 1e-3
"""eV of an atom: an error of the mesh, or a residual of the fit, that is told."""
UNEQUAL = 0.02
"""Of C_p: how far it may be from C_V + T V alpha^2 B_T before that is told."""


@dataclass(frozen=True)
class PhaseResult:
    """One crystal at the minimum of its Gibbs energy, per formula unit.

    Attributes:
        name: of the phase.
        structure: where it is from.
        atoms: the unit cell at V0, which the strains are measured by.
        formula: of the formula unit.
        units: formula units in the cell.
        supercell: [3, 3].
        mesh: q points along the axes.
        mesh_error: eV: how far a mesh 1.5 times as fine moves the free energy at the highest temperature.
        volumes: rows for JSON; one that is left out says why (`left_out`).
        cells: the relaxed cells, of the volumes that have a result.
        grid: free energies at the volumes that are used.
        equilibrium: at each temperature.
        modes: Grueneisen parameters of the modes, near the volume of 300 K; None where no three volumes that
            are used follow one another.
        relaxation: of `atoms`, for JSON; None without one.
    """

    name: str
    structure: str
    atoms: Atoms
    formula: str
    units: int
    supercell: NDArray
    mesh: tuple[int, ...]
    mesh_error: float
    volumes: tuple[Mapping[str, Any], ...]
    cells: tuple[Atoms, ...]
    grid: FreeEnergies
    equilibrium: Equilibrium
    modes: ModeGruneisen | None = None
    relaxation: Mapping[str, Any] | None = None

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know."""
        found, atoms = [], len(self.atoms) / self.units
        if self.relaxation is not None and "note" in self.relaxation:
            found.append(str(self.relaxation["note"]))
        for row in self.volumes:
            if "left_out" in row:
                found.append(f"{row['name']} ({row['volume']:.3f} A^3) is left out: {row['left_out']}")
        force = max(float(row.get("largest_force", 0.0)) for row in self.volumes)
        if force > FORCE_TOLERANCE:
            found.append(f"{self.name}: not at rest: up to {force:.3f} eV/A on an atom")
        groups = list(dict.fromkeys(row["space_group"] for row in self.volumes if "space_group" in row))
        if len(groups) > 1:
            found.append(f"{self.name}: the space group changes with the volume: {', '.join(groups)}")
        found += [f"{self.name}: {text}" for text in _in_ranges(self.equilibrium.left_out)]
        if self.mesh_error > LARGE * atoms:
            found.append(
                f"{self.name}: a finer mesh moves the free energy by {1e3 * self.mesh_error:.1f} meV; "
                "give a longer --mesh"
            )
        residual = float(self.equilibrium.residual.max())
        if residual > LARGE * atoms:
            found.append(
                f"{self.name}: the equation of state misses a free energy by {1e3 * residual:.1f} meV; "
                "take a narrower --strain"
            )
        if (unequal := self.inconsistency) > UNEQUAL:
            found.append(
                f"{self.name}: C_p and C_V + T V alpha^2 B_T differ by up to {100 * unequal:.1f} % of C_p; "
                "take more --volumes"
            )
        return found

    @property
    def complete(self) -> bool:
        """Whether no volume and no temperature is left out."""
        return not self.equilibrium.left_out and not any("left_out" in row for row in self.volumes)

    def some_temperatures(self, count: int = 7) -> list[float]:
        """A few for the screen: 0 K, 300 K and others that are far apart."""
        known = self.equilibrium.temperatures
        chosen = np.linspace(known[0], known[-1], count - 1)
        rows = {int(np.abs(known - t).argmin()) for t in (*chosen, 300.0)}
        return [float(known[k]) for k in sorted(rows)]

    @property
    def inconsistency(self) -> float:
        """The largest |C_p - C_V - T V alpha^2 B_T| / C_p above 100 K, or of all where none is above."""
        found = self.equilibrium
        warm = found.temperatures > 100.0
        chosen = warm if warm.any() else found.temperatures > 0
        if not chosen.any():
            return 0.0
        return float(np.abs(found.identity[chosen] / found.heat_capacity_p[chosen]).max())

    def as_dict(self) -> dict[str, Any]:
        """For JSON: columns of `Equilibrium`, NaN as null."""
        found = self.equilibrium
        return {
            "name": self.name,
            "structure": self.structure,
            "formula": self.formula,
            "formula_units": self.units,
            "supercell": np.asarray(self.supercell).tolist(),
            "relaxation": None if self.relaxation is None else dict(self.relaxation),
            "mesh": list(self.mesh),
            "mesh_error": self.mesh_error,
            "fit_residual": float(found.residual.max()),
            "inconsistency": self.inconsistency,
            "mode_gruneisen": None if self.modes is None else self.modes.as_dict(),
            "volumes": [dict(row) for row in self.volumes],
            **{name: _numbers(values) for name, values in found.columns().items()},
            "left_out": [{"temperature": t, "reason": why} for t, why in found.left_out],
        }

    def rows(self) -> list[dict[str, Any]]:
        """For a table; what is not known is empty."""
        columns = {name: _numbers(values) for name, values in self.equilibrium.columns().items()}
        columns = {"temperature": columns.pop("temperatures"), **columns}
        return [
            {"phase": self.name, **dict(zip(columns, row, strict=True))}
            for row in zip(*columns.values(), strict=True)
        ]

    def free_energy_rows(self) -> list[dict[str, Any]]:
        """F(V, T) of the volumes that are used, for a table."""
        grid = self.grid
        return [
            {
                "phase": self.name,
                "temperature": float(t),
                "volume": float(v),
                "energy": float(grid.energies[k]),
                "free_energy": float(grid.free_energy[m, k]),
                "entropy": float(grid.entropy[m, k]),
                "heat_capacity": float(grid.heat_capacity[m, k]),
            }
            for m, t in enumerate(grid.temperatures)
            for k, v in enumerate(grid.volumes)
        ]


@dataclass(frozen=True)
class Quasiharmonic:
    """One crystal, or several phases of one composition, in the quasi-harmonic approximation.

    Attributes:
        phases: in the order given.
        crossings: where the Gibbs energies of two phases are equal.
        about: what went in and how it was computed, for JSON: `pressure` in GPa, `displacement` in A.
        outside: how many cells are outside of what the model was trained on; "" if none.
    """

    phases: tuple[PhaseResult, ...]
    crossings: tuple[Crossing, ...]
    about: Mapping[str, Any]
    outside: str = ""

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know."""
        found = [note for phase in self.phases for note in phase.notes]
        found += [self.outside] if self.outside else []
        return found + self._without_crossing()

    @property
    def complete(self) -> bool:
        """Whether no volume and no temperature of any phase is left out."""
        return all(phase.complete for phase in self.phases)

    @property
    def lowest(self) -> str:
        """The phase of the lowest Gibbs energy at the lowest temperature that all have; "" of one phase."""
        common = self._common()
        if len(self.phases) < 2 or not len(common):
            return ""
        return min(self.phases, key=lambda one: one.equilibrium.at(common[0])["gibbs_energy"]).name

    def as_dict(self) -> dict[str, Any]:
        """What qha.json holds: eV, A, K, GPa, per formula unit."""
        return {
            **self.about,
            "phases": [phase.as_dict() for phase in self.phases],
            "stable_when_cold": self.lowest or None,
            "crossings": [crossing.as_dict() for crossing in self.crossings],
            "notes": self.notes,
        }

    def write(self, folder: str | Path) -> None:
        """qha.csv, volumes.csv, free_energies.csv, gruneisen.csv, volumes.xyz, qha.json; qha.png last."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        own = (r"(qha|volumes|free_energies|gruneisen)\.csv", r"volumes\.xyz", r"qha\.png")
        remove_earlier(folder, "qha.json", own, (), files_of(self.about.get("provenance", {})))
        write_csv(folder / "qha.csv", [row for phase in self.phases for row in phase.rows()])
        volumes = [dict(row) for phase in self.phases for row in phase.volumes]
        write_csv(folder / "volumes.csv", volumes, VOLUME_COLUMNS)
        grid = [row for phase in self.phases for row in phase.free_energy_rows()]
        write_csv(folder / "free_energies.csv", grid)
        modes = [
            {"phase": phase.name, **row}
            for phase in self.phases
            if phase.modes is not None
            for row in phase.modes.rows()
        ]
        if modes:
            write_csv(folder / "gruneisen.csv", modes)
        write_frames(folder / "volumes.xyz", [cell for phase in self.phases for cell in phase.cells])
        write_json(folder / "qha.json", self.as_dict())
        self.plot(folder / "qha.png")

    def plot(self, path: Path) -> bool:
        """Thermal expansion, bulk modulus, heat capacities; F(V), or Gibbs energies of several phases.

        False, and nothing, without matplotlib.
        """
        phases = [(one.name, one.grid, one.equilibrium) for one in self.phases]
        return plot_quasiharmonic(path, phases, float(self.about.get("pressure", 0.0)))

    def _common(self) -> NDArray:
        common = self.phases[0].equilibrium.temperatures
        for phase in self.phases[1:]:
            common = np.intersect1d(common, phase.equilibrium.temperatures)
        return common

    def _without_crossing(self) -> list[str]:
        """Of each two phases that do not cross, which is lower."""
        found = []
        for k, one in enumerate(self.phases):
            for other in self.phases[k + 1 :]:
                if any({one.name, other.name} == set(crossing.phases) for crossing in self.crossings):
                    continue
                found.append(_uncrossed(one, other))
        return found


VOLUME_COLUMNS = (
    "phase",
    "name",
    "strain",
    "volume",
    "energy",
    "largest_force",
    "relaxation_steps",
    "products",
    "space_group",
    "lowest",
    "unstable",
    "left_out",
)


def _uncrossed(one: PhaseResult, other: PhaseResult) -> str:
    mine, theirs = one.equilibrium, other.equilibrium
    common, here, there = np.intersect1d(mine.temperatures, theirs.temperatures, return_indices=True)
    if not len(common):
        return f"{one.name} and {other.name} have no temperature in common, and are not compared"
    apart = mine.gibbs_energy[here] - theirs.gibbs_energy[there]
    between = f"between {common[0]:g} and {common[-1]:g} K"
    nearest = 1e3 * float(np.abs(apart).min())
    if (np.abs(apart) <= mine.residual[here] + theirs.residual[there]).all():
        return f"{one.name} and {other.name} have the same Gibbs energy within the fits, {between}"
    low, high = (one, other) if apart[0] < 0 else (other, one)
    lower = f"{low.name} is lower, by {nearest:.2f} meV or more"
    return f"{low.name} and {high.name} do not cross {between}: {lower}"


def _in_ranges(left_out: Sequence[tuple[float, str]]) -> list[str]:
    """One sentence for temperatures that follow one another, and have one reason."""
    found: list[tuple[float, float, str]] = []
    for temperature, why in left_out:
        if found and found[-1][2] == why:
            found[-1] = (found[-1][0], temperature, why)
        else:
            found.append((temperature, temperature, why))
    return [
        (f"nothing at {low:g} K: {why}" if low == high else f"nothing from {low:g} to {high:g} K: {why}")
        + ("; take other volumes with --strain" if "minimum" in why else "")
        for low, high, why in found
    ]


def _numbers(values: NDArray) -> list[float | None]:
    return [float(x) if np.isfinite(x) else None for x in values]


PER_MOL = units.mol / units.J
"""J/mol of an eV: for the screen."""
