"""What `hint conductivity` finds, as an object, as JSON and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.file_io import files_of, remove_earlier, write_csv, write_json
from hint_plugin.science.phonons.conductivity_figure import plot_conductivity
from hint_plugin.science.phonons.heat_conduction import COMPONENTS, Conduction, write_modes

ROOM = 300.0
"""K: what modes carry is told at the temperature nearest to this one."""
LARGE_COHERENCES = 0.5
"""Part of kappa: above, a note says so."""


@dataclass(frozen=True)
class Conductivity:
    """Lattice thermal conductivity of a crystal.

    Attributes:
        name: for the title of the figure.
        meshes: kappa on each mesh, from the coarsest to the finest.
        tolerance: how far the last two meshes may be apart, relative.
        about: what went in and how it was computed, for JSON.
        force_notes: of the force constants.
        errors: SRD and SRME against a reference, at each temperature; empty without one.
        compared: on which mesh that was.
    """

    name: str
    meshes: tuple[Conduction, ...]
    tolerance: float
    about: Mapping[str, Any]
    force_notes: tuple[str, ...] = ()
    errors: tuple[Mapping[str, float], ...] = ()
    compared: tuple[int, int, int] | None = None

    @property
    def finest(self) -> Conduction:
        """On the finest mesh."""
        return self.meshes[-1]

    @property
    def convergence(self) -> float | None:
        """The largest relative change of kappa from the mesh before to the finest, at any temperature; None
        of one mesh."""
        if len(self.meshes) < 2:
            return None
        last, before = (_mean(one.total) for one in (self.meshes[-1], self.meshes[-2]))
        return float(np.abs(before / last - 1).max())

    @property
    def complete(self) -> bool:
        """Whether the meshes agree; of one mesh that is not known, and not asked."""
        return self.convergence is None or self.convergence <= self.tolerance

    @property
    def temperature(self) -> float:
        """That at which modes are told, K."""
        return float(self.finest.temperatures[self.finest.at(ROOM)])

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know."""
        found = [*self.force_notes]
        nothing = self.finest.temperatures[_mean(self.finest.total) <= 0]
        if len(nothing):
            found.append(
                f"kappa is 0 at {', '.join(f'{t:g}' for t in nothing)} K: no mode of this mesh is excited "
                "there, or none is scattered. Give higher temperatures or finer meshes"
            )
        change = self.convergence
        if change is None:
            found.append("one mesh alone: how far kappa is from that of a dense mesh is not known")
        elif not self.complete:
            found.append(
                f"not converged: from mesh {_words(self.meshes[-2])} to {_words(self.finest)} kappa changes "
                f"by {100 * change:.1f} % (more than {100 * self.tolerance:g} %). Give finer meshes (--mesh)"
            )
        if self.finest.coherences is not None:
            part = _mean(self.finest.coherences) / _mean(self.finest.total)
            if part.max() > LARGE_COHERENCES:
                found.append(
                    f"coherences carry {100 * part.max():.0f} % of the heat: "
                    "phonons are hardly particles here"
                )
        return found

    def half(self) -> tuple[float, float]:
        """(cm^-1, micrometres) below which modes carry half of kappa, at `temperature`; NaN of no modes."""
        found = []
        for x, kappa in (
            self.finest.by_frequency(self.temperature, 2000),
            self.finest.by_mean_free_path(self.temperature, 2000),
        ):
            some = len(kappa) > 0 and kappa[-1] > 0
            half = np.flatnonzero(kappa >= 0.5 * kappa[-1])[:1] if some else np.zeros(0, dtype=int)
            found.append(float(x[half[0]]) if len(half) else float("nan"))
        return found[0], found[1]

    def as_dict(self) -> dict[str, Any]:
        """What conductivity.json holds: W/m/K, K, cm^-1, micrometres."""
        frequency, path = self.half()
        return {
            **self.about,
            "components": list(COMPONENTS),
            "temperatures": self.finest.temperatures.tolist(),
            "kappa": _mean(self.finest.total).tolist(),
            "meshes": [_of_mesh(one) for one in self.meshes],
            "convergence": self.convergence,
            "converged": None if self.convergence is None else self.complete,
            "half_of_kappa": {
                "temperature": self.temperature,
                "below_frequency": None if np.isnan(frequency) else frequency,
                "below_mean_free_path": None if np.isnan(path) else path,
            },
            **({} if not self.errors else {"errors": [dict(row) for row in self.errors]}),
            "compared_on": None if self.compared is None else list(self.compared),
            "notes": self.notes,
        }

    def rows(self) -> list[dict[str, Any]]:
        """For a table."""
        return [
            {
                "mesh": _words(one),
                "temperature": float(one.temperatures[k]),
                "kappa": float(_mean(one.total)[k]),
                **{name: float(x) for name, x in zip(COMPONENTS, one.total[k], strict=True)},
                "rta": float(_mean(one.rta)[k]),
                "direct": None if one.direct is None else float(_mean(one.direct)[k]),
                "coherences": None if one.coherences is None else float(_mean(one.coherences)[k]),
            }
            for one in self.meshes
            for k in range(len(one.temperatures))
        ]

    def cumulative_rows(self) -> list[dict[str, Any]]:
        """kappa of all modes up to a frequency (cm^-1) and up to a mean free path (micrometres)."""
        rows = []
        for kind, (x, kappa) in (
            ("frequency", self.finest.by_frequency(self.temperature)),
            ("mean_free_path", self.finest.by_mean_free_path(self.temperature)),
        ):
            rows += [
                {"by": kind, "up_to": float(a), "kappa": float(b)} for a, b in zip(x, kappa, strict=True)
            ]
        return rows

    def write(self, folder: str | Path) -> None:
        """conductivity.csv, cumulative.csv, modes.hdf5, conductivity.json; conductivity.png last."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        own = (r"(conductivity|cumulative)\.csv", r"modes\.hdf5", r"conductivity\.png")
        remove_earlier(folder, "conductivity.json", own, (), files_of(self.about.get("provenance", {})))
        write_csv(folder / "conductivity.csv", self.rows())
        write_csv(folder / "cumulative.csv", self.cumulative_rows(), ("by", "up_to", "kappa"))
        write_modes(self.finest, folder / "modes.hdf5")
        write_json(folder / "conductivity.json", self.as_dict())
        self.plot(folder / "conductivity.png")

    def plot(self, path: Path) -> bool:
        """kappa by temperature and by mesh, and what modes carry. False, and nothing, without matplotlib."""
        return plot_conductivity(path, self.meshes, self.temperature, self.name)


def _mean(kappa: NDArray) -> NDArray:
    """Over the three directions."""
    return np.asarray(kappa[:, :3].mean(axis=1))


def _words(one: Conduction) -> str:
    return " ".join(map(str, one.mesh))


def _of_mesh(one: Conduction) -> dict[str, Any]:
    return {
        "mesh": list(one.mesh),
        "total": one.total.tolist(),
        "rta": one.rta.tolist(),
        "direct": None if one.direct is None else one.direct.tolist(),
        "coherences": None if one.coherences is None else one.coherences.tolist(),
    }


def sequence_of(values: float | Sequence[float]) -> list[float]:
    """One number or several, as a list."""
    return [float(values)] if isinstance(values, int | float) else [float(x) for x in values]
