"""Everything that is wrong with files of frames, found in one pass: labels, damage, duplicates, leakage."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.labels.contents import SetContents
from hint_plugin.data.labels.extxyz import FrameProblem, check_frames
from hint_plugin.data.labels.frame_labels import frame_labels
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.levels import LevelCount
from hint_plugin.data.labels.thresholds import Thresholds
from hint_plugin.data.sets.frames import iter_frames
from hint_plugin.data.sets.splits import Overlap
from hint_plugin.data.stores.hdf5 import FrameStore, is_store
from hint_plugin.data.stores.shards import files_of
from hint_plugin.data.structures.electrons import remarks_on_electrons
from hint_plugin.data.structures.identity import nearest_distance, structure_keys
from hint_plugin.data.structures.lengths import LengthCheck
from hint_plugin.errors import DataError, LabelError

CLOSE = 0.4  # A: nearer than any two nuclei of a molecule are (H2: 0.74)
LEAKAGE = ("formula", "molecule", "structure", "reaction")


@dataclass
class Audit:
    """What `audit` has found.

    Attributes:
        files: of each file, the number of frames of each kind of label.
        labels: of each file, the number of frames with energy, forces, stress.
        ase_names: of a file whose labels have ASE's own names, the number of frames with each.
        problems: what has to be corrected.
        remarks: what is unusual.
        duplicates: a frame that is the same structure as an earlier one: (file, frame, file, frame).
        leakage: respect -> pair of files -> values that both have; empty where it was not asked for.
        mixtures: labels of several levels, structures of several charges: sentences with counts.
        untested: (test of a label, reason) -> number of labels for which it could not be made.
    """

    files: dict[str, dict[str, int]] = field(default_factory=dict)
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    ase_names: dict[str, Counter[str]] = field(default_factory=dict)
    problems: list[FrameProblem] = field(default_factory=list)
    remarks: list[FrameProblem] = field(default_factory=list)
    duplicates: list[tuple[str, int, str, int]] = field(default_factory=list)
    leakage: dict[str, dict[str, int]] = field(default_factory=dict)
    mixtures: list[str] = field(default_factory=list)
    untested: dict[tuple[str, str], int] = field(default_factory=dict)


def audit(
    paths: Sequence[str | Path],
    keys: LabelKeys | None = None,
    *,
    leakage: bool = False,
    report: Callable[[str, int], Any] = lambda name, frames: None,
) -> Audit:
    """Look at every frame of every file, and collect all that is wrong.

    A file that cannot be read on is a problem at the frame where it stops; the next file follows. A store
    goes on behind its damaged frames.

    Args:
        paths: files, folders, patterns.
        keys: where labels are stored.
        leakage: compare the files with each other: formulas, molecules, structures, reactions.
        report: called with the name of the file and the number of its frames that are done.
    """
    found = Audit()
    names = [str(path) for path in paths]
    shared = Overlap(names)
    seen: dict[int, tuple[str, int]] = {}
    contents = SetContents(LevelCount(keys=keys or LabelKeys()))
    for name in names:
        counts = dict.fromkeys(
            ("frames", "full", "rows", "projected", "unlabelled", "malformed", "damaged"), 0
        )
        found.files[name], found.labels[name] = counts, Counter()
        lengths: LengthCheck[tuple[str, int]] = LengthCheck()
        for source, number, atoms in _frames(name):
            counts["frames"] += 1
            report(name, counts["frames"])
            if isinstance(atoms, DataError):
                counts["damaged"] += 1
                found.problems.append(FrameProblem(source, number, "?", _bare(atoms, source, number)))
                continue
            contents.add(atoms, source)
            _count_labels(found, name, source, number, atoms, keys or LabelKeys())
            if not _look(found, counts, source, number, atoms, keys):
                continue
            lengths.add(atoms, (source, number))
            values = [hash(key) for key in structure_keys(atoms)]
            earlier = next((seen[value] for value in values if value in seen), None)
            if earlier is not None:
                found.duplicates.append((source, number, *earlier))
            for value in values:
                seen.setdefault(value, (source, number))
            if leakage:
                shared.add(name, atoms, number, source)
        for (source, number), formula, text in lengths.findings():
            found.remarks.append(FrameProblem(source, number, formula, text))
        if not counts["frames"]:
            found.problems.append(FrameProblem(name, 0, "?", "no frames in it. Remove the file"))
    found.mixtures = contents.mixtures()
    if leakage:
        found.leakage = shared.counts()
    return found


def _count_labels(found: Audit, name: str, source: str, number: int, atoms: Atoms, keys: LabelKeys) -> None:
    try:
        known = frame_labels(atoms, keys)
    except LabelError:
        return  # a problem, found again with all others
    values = (("energy", known.energy), ("forces", known.forces), ("stress", known.stress))
    found.labels[name].update(what for what, value in values if value is not None)
    if known.ase:
        found.ase_names.setdefault(name, Counter()).update(known.ase)
    if known.other_energy is not None:
        text = (
            f"the energy is free_energy, {known.energy:.6f} eV, whose derivative the forces are; not energy, "
            f"{known.other_energy:.6f} eV"
        )
        found.remarks.append(FrameProblem(source, number, atoms.get_chemical_formula(), text))
    if known.ignored:
        text = f"{', '.join(known.ignored)} under ASE's own names do not count beside {keys.energy}, ..."
        found.remarks.append(FrameProblem(source, number, atoms.get_chemical_formula(), text))


def _look(
    found: Audit, counts: dict[str, int], source: str, number: int, atoms: Atoms, keys: LabelKeys | None
) -> bool:
    """Look at one frame; False if it has no geometry that could be compared."""
    formula = atoms.get_chemical_formula()

    def problem(text: str) -> None:
        found.problems.append(FrameProblem(source, number, formula, text))

    if not len(atoms):
        problem("the frame has no atoms. Remove it")
        counts["malformed"] += 1
        return False
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        problem("positions or cell hold NaN or infinity. Remove the frame")
        counts["malformed"] += 1
        return False
    if atoms.numbers.min() < 1 or atoms.numbers.max() > 118:
        problem(f"atomic numbers reach from {atoms.numbers.min()} to {atoms.numbers.max()}; wanted 1 to 118")
    vectors = np.linalg.norm(atoms.cell.array, axis=1)[atoms.pbc]
    has_cell = not vectors.size or (vectors.min() > 0 and abs(np.linalg.det(atoms.cell.complete())) > 1e-6)
    if not has_cell:
        problem("periodic, but the cell has no volume. Set the cell, or pbc to false")
    near = nearest_distance(atoms) if has_cell else 0.0
    if has_cell:
        if near < 1e-3:
            problem(f"two atoms lie upon each other ({near:.2g} A). Remove the frame")
        elif near < CLOSE:
            found.remarks.append(
                FrameProblem(source, number, formula, f"two atoms are {near:.2f} A apart: are these A?")
            )
    found.remarks += [FrameProblem(source, number, formula, text) for text in remarks_on_electrons(atoms)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limits = Thresholds(physics=near >= 1e-3)  # of a broken geometry, physics says nothing
        report = check_frames([atoms], keys or LabelKeys(), source=source, limits=limits)
    for new, kept in ((report.problems, found.problems), (report.remarks, found.remarks)):
        kept += [FrameProblem(p.source, number, p.formula, p.message) for p in new]
    for kind in ("full", "rows", "projected", "unlabelled", "malformed"):
        counts[kind] += report.counts[kind]
    for what, count in report.untested.items():
        found.untested[what] = found.untested.get(what, 0) + count
    return bool(has_cell)


def _frames(name: str) -> Iterator[tuple[str, int, Atoms | DataError]]:
    """(file, frame, atoms or what is wrong); goes on as long as it can."""
    try:
        files = [str(path) for path in files_of(name)]
    except DataError as error:
        yield name, 0, error
        return
    for file in files:
        number = -1
        try:
            if is_store(Path(file)):
                with FrameStore.open(file) as store:
                    for number, atoms in store.scan():
                        yield file, number, atoms
            else:
                for number, atoms in enumerate(iter_frames(file)):
                    yield file, number, atoms
        except DataError as error:
            yield file, number + 1, error


def _bare(error: DataError, source: str, number: int) -> str:
    """The message without the file and frame that it begins with: they are told anyway."""
    text = str(error).removeprefix(f"{source}: ").removeprefix(f"frame {number} is ")
    return text.removesuffix(".")
