"""Bands along the path that seekpath proposes.

The path: Hinuma, Pizzi, Kumagai, Oba, Tanaka, Comput. Mater. Sci. 128, 140 (2017). Frequencies are in cm^-1,
imaginary ones as negative numbers; q are fractional coordinates of the reciprocal lattice of the phonopy
object's primitive cell, and distances along the path are in 1/A, with 2 pi.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.structures.unit_cell import quiet
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.optional import load
from hint_plugin.science.phonons.crystals import CM_PER_THZ

if TYPE_CHECKING:
    from phonopy import Phonopy


@dataclass(frozen=True)
class BandPath:
    """Straight segments through the Brillouin zone.

    `labels`: (from, to) of each segment; `points`: q [n, 3] of each, fractional, both ends included;
    `distances` [n] of each: along the whole path, 1/A; `across`: the lattice vector along which a
    layer is not periodic, and q is zero.
    """

    labels: tuple[tuple[str, str], ...]
    points: tuple[NDArray, ...]
    distances: tuple[NDArray, ...]
    across: int | None = None

    def words(self) -> str:
        """The segments, for messages."""
        return ", ".join(f"{start}-{end}" for start, end in self.labels)

    def ticks(self) -> tuple[list[float], list[str]]:
        """Where the corners are, and what they are called: "X|K" where the path jumps."""
        places: list[float] = []
        names: list[str] = []
        for (start, end), along in zip(self.labels, self.distances, strict=True):
            if not places:
                places.append(float(along[0]))
                names.append(start)
            elif names[-1] != start:
                names[-1] = f"{names[-1]}|{start}"
            places.append(float(along[-1]))
            names.append(end)
        return places, [name.replace("GAMMA", "\u0393") for name in names]


@dataclass(frozen=True)
class Bands:
    """Frequencies along a path: `frequencies` [n, M] of each segment, cm^-1; `group_velocities` [n, M, 3] of
    each, km/s, where asked for."""

    path: BandPath
    frequencies: tuple[NDArray, ...]
    group_velocities: tuple[NDArray, ...] | None = None

    @property
    def lowest(self) -> float:
        """cm^-1; below zero where the crystal is unstable."""
        return float(min(block.min() for block in self.frequencies))

    @property
    def highest(self) -> float:
        """cm^-1."""
        return float(max(block.max() for block in self.frequencies))

    def rows(self) -> list[dict[str, Any]]:
        """A row for each point, for a table: segment, from, to, distance, qx, qy, qz, frequency_1, ..."""
        found = []
        segments = zip(self.path.labels, self.path.points, self.path.distances, self.frequencies, strict=True)
        for number, ((start, end), points, along, frequencies) in enumerate(segments, start=1):
            for q, distance, values in zip(points, along, frequencies, strict=True):
                row: dict[str, Any] = {
                    "segment": number,
                    "from": start,
                    "to": end,
                    "distance": float(distance),
                }
                row |= dict(zip(("qx", "qy", "qz"), map(float, q), strict=True))
                found.append(row | {f"frequency_{k}": float(nu) for k, nu in enumerate(values, start=1)})
        return found


def band_path(phonon: Phonopy, points: int = 51, across: int | None = None) -> BandPath:
    """seekpath's path for the primitive cell, with so many points to a segment.

    Args:
        phonon: the crystal.
        points: to a segment.
        across: of a layer, the lattice vector along which it is not periodic: segments along it are left out.

    Raises:
        OptionsError: fewer than 2 points. MissingDependencyError: seekpath is not installed.
    """
    if points < 2:
        raise OptionsError(f"{points} points to a segment of the path; wanted 2 or more")
    seekpath = load("seekpath", "phonons", "the path of the bands needs seekpath")
    cell = phonon.primitive
    with quiet():
        found = seekpath.get_path_orig_cell(
            (cell.cell, cell.scaled_positions, cell.numbers), symprec=phonon.symmetry.tolerance
        )
    corners = found["point_coords"]
    segments = [
        (start, end, corners[start], corners[end])
        for start, end in found["path"]
        if across is None or max(abs(corners[start][across]), abs(corners[end][across])) < 1e-8
    ]
    return replace(path_between(phonon, segments, points), across=across)


def path_between(
    phonon: Phonopy, segments: Sequence[tuple[str, str, Any, Any]], points: int = 51
) -> BandPath:
    """A path of one's own: (from, to, q at the start, q at the end) for each segment."""
    reciprocal = 2 * np.pi * np.linalg.inv(phonon.primitive.cell).T
    all_points, distances, reached = [], [], 0.0
    for _, _, start, end in segments:
        q = np.linspace(np.asarray(start, dtype=float), np.asarray(end, dtype=float), points)
        length = float(np.linalg.norm((q[-1] - q[0]) @ reciprocal))
        all_points.append(q)
        distances.append(reached + np.linspace(0.0, length, points))
        reached += length
    return BandPath(tuple((start, end) for start, end, _, _ in segments), tuple(all_points), tuple(distances))


def band_structure(
    phonon: Phonopy, path: BandPath | None = None, points: int = 51, *, group_velocities: bool = False
) -> Bands:
    """Frequencies along a path.

    Args:
        phonon: with force constants; with `nac_params` the modes near Gamma split by direction.
        path: seekpath's if none is given.
        points: to a segment of that one.
        group_velocities: as well; they take a few times as long.

    Raises:
        DataError: no force constants. What `band_path` raises.
    """
    if phonon.force_constants is None:
        raise DataError("bands: the Phonopy object has no force constants")
    path = band_path(phonon, points) if path is None else path
    run: Any = phonon
    with quiet():
        run.run_band_structure(
            [points.copy() for points in path.points], with_group_velocities=group_velocities
        )
    found = run.band_structure
    velocities = None
    if group_velocities:
        velocities = tuple(0.1 * np.asarray(block) for block in found.group_velocities)  # A THz = 0.1 km/s
    return Bands(path, tuple(CM_PER_THZ * np.asarray(block) for block in found.frequencies), velocities)


def frequencies_at(phonon: Phonopy, points: NDArray) -> NDArray:
    """[K, M] cm^-1 at q [K, 3] (fractional), ascending."""
    run: Any = phonon
    with quiet():
        run.run_qpoints(np.asarray(points, dtype=float))
    return CM_PER_THZ * np.asarray(run.qpoints.frequencies)
