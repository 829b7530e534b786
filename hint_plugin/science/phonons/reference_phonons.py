"""Phonons of others to compare with: crystals with a Hessian in any format, tables of frequencies.

A table is a CSV with the columns qx, qy, qz (fractional coordinates of the reciprocal lattice of the
primitive cell) and one or more columns that begin with "frequency", in cm^-1: what `hint phonons` writes as
bands.csv, or points measured by neutron scattering, a row for each.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.formats import describe, get_format, is_there, phonopy_files, recognise
from hint_plugin.data.formats.common import reading
from hint_plugin.data.formats.phonopy_search import find_sources
from hint_plugin.data.formats.qe_set import is_dyn
from hint_plugin.data.labels.extxyz import read_label
from hint_plugin.data.sets.frames import iter_frames
from hint_plugin.data.structures.unit_cell import in_angstrom, need_phonopy, quiet, to_ase
from hint_plugin.errors import DataError
from hint_plugin.science.phonons.bands import (
    BandPath,
    Bands,
    band_path,
    band_structure,
    frequencies_at,
    path_between,
)
from hint_plugin.science.phonons.born import with_stored_born
from hint_plugin.science.phonons.crystals import phonopy_from_hessian
from hint_plugin.science.phonons.differences import Differences, compare_bands, differences
from hint_plugin.science.phonons.rows import phonopy_from_rows
from hint_plugin.science.phonons.same_crystal import (
    check_reference,
    in_boxes,
    placing_of,
    primitive_of,
    same_modes,
)
from hint_plugin.science.same_structure import placing

if TYPE_CHECKING:
    from phonopy import Phonopy

_SUM_RULE = 1.0  # cm^-1: with less, a reference counts as obeying the acoustic sum rule
_ON_PATH = 1e-3  # of a reciprocal lattice vector


@dataclass(frozen=True)
class Table:
    """Frequencies at single q.

    Attributes:
        points: [K, 3], fractional.
        frequencies: of each, ascending, cm^-1, one or many.
        crystal: whose they are: the primitive cell of the phonopy.yaml beside `bands.csv` of `hint phonons`;
            None where nothing tells.
        corners: of bands, (from, to, q, q) of each segment; () of single points.
    """

    points: NDArray
    frequencies: tuple[NDArray, ...]
    crystal: Atoms | None = None
    corners: tuple[tuple[str, str, NDArray, NDArray], ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Errors in cm^-1. `along`: at all points of the bands; `commensurate`: at the q that fit into the
    reference's supercell, where its frequencies are exact; `sum_rule`: there, after the acoustic sum rule has
    been imposed on a reference that breaks it; `table`: of single points. `note`: what could not be compared,
    and why. `strain`: between the lattices."""

    along: Differences | None = None
    commensurate: Differences | None = None
    sum_rule: Differences | None = None
    table: Differences | None = None
    note: str = ""
    strain: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        parts = {
            "bands": self.along,
            "commensurate": self.commensurate,
            "sum_rule": self.sum_rule,
            "table": self.table,
        }
        found: dict[str, Any] = {name: part.as_dict() for name, part in parts.items() if part is not None}
        found |= {"note": self.note} if self.note else {}
        return found | ({} if self.strain is None else {"strain": self.strain})


def read_reference(path: Path, only_this_file: bool = False) -> Phonopy | Table:
    """A `Phonopy` with force constants, or a table, by what the file is.

    Args:
        path: a CSV, or whatever `iter_frames` reads that has a crystal with a Hessian (docs/formats.md):
            files and folders of phonopy, ph.x's dynamical matrices, q2r.x's force constants, vasprun.xml,
            OUTCAR, a labelled supercell. The first frame with a Hessian counts.
        only_this_file: of a set of dynamical matrices, the Gamma point in this file alone.

    Raises:
        DataError: nothing of these, missing, or damaged. MissingDependencyError: no phonopy.
    """
    if not is_there(path):
        raise DataError(f"{path}: no such file")
    if path.suffix.lower() == ".csv":
        return _read_table(path)
    if phonopy_files.recognise(path) and find_sources(path).yaml is not None:
        return _read_phonopy(path)
    try:
        kind = get_format("qe-dyn") if is_dyn(path) else recognise(path)
    except DataError as error:
        raise DataError(
            f"{path} is no reference for phonons; wanted a CSV with qx, qy, qz, frequency, or a crystal "
            f"with a Hessian in a format that hint dataset convert reads:\n{describe()}"
        ) from error
    return _from_frames(path, kind.name, {"only_this_file": True} if only_this_file else {})


def add_born(phonon: Phonopy, path: Path) -> None:
    """Born charges and the dielectric tensor from phonopy's BORN file, for the splitting near Gamma.

    Raises:
        DataError: no such file, or not of this crystal.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; wanted phonopy's BORN (dielectric tensor and Born charges)")
    from phonopy.file_IO import parse_BORN
    from phonopy.interface.calculator import get_calculator_physical_units

    with quiet():
        try:
            found = parse_BORN(phonon.primitive, symprec=phonon.symmetry.tolerance, filename=str(path))
        except (ValueError, IndexError, RuntimeError, TypeError, SystemExit) as error:
            raise DataError(
                f"{path}: cannot be read as phonopy's BORN for {len(phonon.primitive)} atoms ({error})"
            ) from error
    if found is None:
        raise DataError(
            f"{path}: no Born charges for the {len(phonon.primitive)} atoms of the primitive cell"
        )
    if found.get("factor") is None:
        found["factor"] = get_calculator_physical_units(phonon.calculator).nac_factor
    phonon.nac_params = found


def compare(phonon: Phonopy, bands: Bands, reference: Phonopy) -> tuple[Bands, Comparison]:
    """The reference's bands along its own path, and the errors of `bands` against them.

    Raises:
        DataError: another crystal (`same_crystal`), or another path.
    """
    across = bands.path.across
    strain = same_modes(phonon, reference, across)
    points = len(bands.path.points[0])
    found_placing = placing_of(phonon, reference, across)
    if found_placing is None:
        theirs = band_structure(reference, band_path(reference, points, across))
        along = compare_bands(bands, theirs)
        note = "no operation brings the atoms of the reference onto these: bands along its own path only"
        return theirs, Comparison(along, note=note, strain=strain)
    turn = found_placing.basis
    theirs = band_structure(reference, _same_path(reference, bands.path, np.linalg.inv(turn)))
    along = compare_bands(bands, theirs)
    from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

    repeats = np.rint(np.linalg.inv(reference.primitive.cell.T) @ reference.supercell.cell.T).astype(int)
    q = np.asarray(get_commensurate_points(repeats))
    found, wanted = frequencies_at(phonon, q @ turn), frequencies_at(reference, q)
    corrected = frequencies_at(with_sum_rule(reference), q)
    breaks_it = abs(corrected - wanted).max() > _SUM_RULE
    sum_rule = differences(found, corrected) if breaks_it else None
    return theirs, Comparison(along, differences(found, wanted), sum_rule, strain=strain)


def with_sum_rule(phonon: Phonopy) -> Phonopy:
    """A copy whose force constants are the nearest ones (least squares) that no translation strains,

        Phi' = (1 - P) Phi (1 - P),     P = 1/N on all pairs of atoms, for each axis.

    Of all q that fit into the supercell only Gamma changes. No potential energy can agree with matrices that
    break the rule by more than this leaves of it: a DFPT calculation breaks it by its finite cutoff and grid.
    """
    from phonopy.harmonic.force_constants import compact_fc_to_full_fc

    found = phonon.copy()
    full = np.array(phonon.force_constants, dtype=float)
    if full.shape[0] != full.shape[1]:
        full = compact_fc_to_full_fc(phonon.primitive, full)
    full = full - full.mean(axis=0, keepdims=True)
    found.force_constants = full - full.mean(axis=1, keepdims=True)
    found.nac_params = phonon.nac_params
    return found


def compare_table(phonon: Phonopy, table: Table, across: int | None = None) -> Comparison:
    """Errors at the points of a table; single frequencies against the mode that is nearest to them.

    Args:
        across: of a layer, the lattice vector along which it is not periodic.

    Raises:
        DataError: it is of another crystal, as far as that can be told; bands along another path, or with
            another number of modes.
    """
    strain, note = None, ""
    if table.crystal is not None:
        strain = check_reference(primitive_of(phonon), table, across)
    else:
        note = (
            "whether the table is of this crystal could not be told: no phonopy.yaml beside it says whose it "
            "is; its q are taken as those of this primitive cell"
        )
        _check_corners(phonon, table)
    points = points_here(phonon, table, across)
    modes = 3 * len(phonon.primitive)
    if table.corners and (counts := {len(values) for values in table.frequencies}) != {modes}:
        raise DataError(
            f"the reference's bands have {', '.join(map(str, sorted(counts)))} modes at a q point; this "
            f"crystal has {modes}. Is it another crystal?"
        )
    mine = frequencies_at(phonon, points)
    found: list[float] = []
    wanted: list[float] = []
    for modes, values in zip(mine, table.frequencies, strict=True):
        nearest = modes if len(values) == len(modes) else modes[abs(modes - values[:, None]).argmin(axis=1)]
        found.extend(nearest)
        wanted.extend(values)
    return Comparison(table=differences(np.array([found]), np.array([wanted])), note=note, strain=strain)


def _check_corners(phonon: Phonopy, table: Table) -> None:
    """Raises DataError where the path of a table of bands is not that of this crystal."""
    if not table.corners:
        return
    path = band_path(phonon, 2)
    own = {
        label: q
        for labels, points in zip(path.labels, path.points, strict=True)
        for label, q in zip(labels, (points[0], points[-1]), strict=True)
    }
    for start, end, *places in table.corners:
        for label, q in zip((start, end), places, strict=True):
            if label not in own or np.abs(own[label] - q).max() > _ON_PATH:
                here = f"at {np.round(own[label], 4)}" if label in own else "not on it"
                raise DataError(
                    f"the reference's path has {label} at q = {np.round(q, 4)}, and {label} of this crystal "
                    f"is {here}: another crystal, or another cell of it. phonopy.yaml beside the table tells"
                )


def points_here(phonon: Phonopy, table: Table, across: int | None = None) -> NDArray:
    """q [K, 3] of a table in the reciprocal lattice of this primitive cell, where it knows its own crystal.

    Raises:
        DataError: no operation brings the atoms of the one onto those of the other.
    """
    if table.crystal is None:
        return table.points
    found = placing(*in_boxes(primitive_of(phonon), table.crystal, across))
    if found is None:
        raise DataError(
            "no operation brings the atoms of the reference onto these: its q points cannot be found here"
        )
    here: NDArray = table.points @ found.basis
    return here


def along_path(table: Table, path: BandPath, phonon: Phonopy | None = None) -> tuple[NDArray, NDArray]:
    """(distances, frequencies) of those points of a table that lie on the path of `phonon`, for a figure."""
    places, values = [], []
    here = table.points if phonon is None else points_here(phonon, table, path.across)
    for q, frequencies in zip(here, table.frequencies, strict=True):
        for points, distances in zip(path.points, path.distances, strict=True):
            step = points[-1] - points[0]
            t = float(np.clip((q - points[0]) @ step / (step @ step), 0, 1))
            if np.abs(points[0] + t * step - q).max() < _ON_PATH:
                places += [distances[0] + t * (distances[-1] - distances[0])] * len(frequencies)
                values += list(frequencies)
                break
    return np.array(places), np.array(values)


def _same_path(reference: Phonopy, path: BandPath, turn: NDArray) -> BandPath:
    """The corners of `path` in the vectors of the reference: the same modes, whatever it calls them."""
    segments = [
        (start, end, points[0] @ turn, points[-1] @ turn)
        for (start, end), points in zip(path.labels, path.points, strict=True)
    ]
    found = path_between(reference, segments, len(path.points[0]))
    return replace(found, across=path.across)


def _read_phonopy(path: Path) -> Phonopy:
    need_phonopy()
    import phonopy
    import yaml

    sources = find_sources(path)
    files: dict[str, Any] = {}
    if sources.constants is not None:
        files["force_constants_filename"] = str(sources.constants)
    elif sources.sets is not None:
        files["force_sets_filename"] = str(sources.sets)
    with quiet():
        try:
            phonon = phonopy.load(str(sources.yaml), is_nac=False, is_compact_fc=True, log_level=0, **files)
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError, OSError, yaml.YAMLError) as error:
            raise DataError(
                f"{path}: cannot be read as phonopy's ({type(error).__name__}: {error})"
            ) from error
    if phonon.force_constants is None:
        raise DataError(f"{path}: no force constants and no forces, in it or beside it")
    return phonon if sources.yaml is None else with_stored_born(phonon, sources.yaml)


def _from_frames(path: Path, kind: str, options: dict[str, Any]) -> Phonopy:
    """From the first frame with a Hessian: of its own primitive cell, or of the one that symmetry finds."""
    need_phonopy()
    label, number = None, -1
    for number, large in enumerate(iter_frames(path, kind, **options)):
        label = read_label(large, source=path, frame=number)
        if label is not None:
            break
    if label is None:
        raise DataError(
            f"{path}: {number + 1} frames and no Hessian in them, which a reference needs. Forces of "
            "displaced supercells: make FORCE_SETS of them by phonopy -f, beside phonopy_disp.yaml"
        )
    if not large.pbc.all() or label.hessian is None:
        what = "a molecule" if not large.pbc.all() else f"a {label.kind} label"
        raise DataError(f"{path}: {what}; a reference wants a crystal with its Hessian, or rows of it")
    if label.kind == "rows":
        return phonopy_from_rows(large, label.hessian, np.asarray(label.atoms))
    if "q_grid" not in label.provenance:
        return phonopy_from_hessian(large, 1, large, label.hessian)
    grid = _whole_numbers(label.provenance["q_grid"])
    if len(grid) != 3 or len(large) % int(np.prod(grid)):
        raise DataError(f"{path}: {len(large)} atoms and hint_q_grid {grid}, which do not belong together")
    unit = large[: len(large) // int(np.prod(grid))]
    unit.set_cell(large.cell.array / np.array(grid)[:, None])
    return phonopy_from_hessian(unit, grid, large, label.hessian, primitive="P")


def _whole_numbers(value: Any) -> list[int]:
    """Of "2 2 2", or of the array that xyz makes of it."""
    words = value.split() if isinstance(value, str) else np.ravel(value)
    return [int(word) for word in words]


def _read_table(path: Path) -> Table:
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        names = [name for name in (rows[0] if rows else {}) if name and name.startswith("frequency")]
        points = np.array([[float(row[axis]) for axis in ("qx", "qy", "qz")] for row in rows])
        values = tuple(np.sort([float(row[name]) for name in names if row[name]]) for row in rows)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); wanted the columns qx, qy, qz, frequency"
        ) from error
    if not len(points) or not names or not all(len(row) and np.isfinite(row).all() for row in values):
        raise DataError(f"{path}: no frequencies, or some that are no numbers; wanted qx, qy, qz, frequency")
    segments = [row.get("segment") for row in rows]
    corners = []
    for number in dict.fromkeys(segments if "distance" in rows[0] and None not in segments else []):
        mine = [k for k, segment in enumerate(segments) if segment == number]
        first, last = rows[mine[0]], points[mine[-1]]
        corners.append((str(first["from"]), str(first["to"]), points[mine[0]], last))
    crystal = _crystal_beside(path) if corners else None
    return Table(points, values, crystal, tuple(corners))


def _crystal_beside(path: Path) -> Atoms | None:
    """The primitive cell of the phonopy.yaml that `hint phonons` has written with its bands.csv."""
    beside = path.with_name("phonopy.yaml")
    if not (path.name == "bands.csv" and beside.is_file() and path.with_name("phonons.json").is_file()):
        return None
    need_phonopy()
    from phonopy.interface.phonopy_yaml import read_phonopy_yaml

    with reading(beside, wanted="the crystal of the bands beside it, as phonopy writes it"), quiet():
        file = read_phonopy_yaml(str(beside))
        cell = file.unitcell if file.primitive is None else file.primitive
        return in_angstrom(to_ase(cell), file.calculator)
