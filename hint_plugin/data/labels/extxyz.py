"""Labels in `atoms.info` and `atoms.arrays`, as extxyz keeps them: read, write, check."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.labels.frame_labels import drop_ase_labels, frame_labels, malformed
from hint_plugin.data.labels.gate import examine
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.data.labels.label_keys import LabelKeys, near_misses, near_names
from hint_plugin.data.labels.real_numbers import real_numbers
from hint_plugin.data.labels.telltales import unusual
from hint_plugin.data.labels.thresholds import Thresholds, remarks
from hint_plugin.errors import LabelError, LabelWarning

DEFAULT_KEYS = LabelKeys()


def read_label(
    atoms: Atoms,
    keys: LabelKeys = DEFAULT_KEYS,
    *,
    source: str | Path = "file",
    frame: int | None = 0,
    limits: Thresholds | None = None,
    told: Told | None = None,
) -> HessianLabel | None:
    """The Hessian label of a structure, checked; None where there is none, which is normal.

    When several kinds are present, the most complete one is taken: full, then rows, then projected. All of
    them have to be well-formed.

    Args:
        atoms: the structure.
        keys: where the label is stored.
        source: file name, for the error's text.
        frame: index in the file, for the error's text; None where it is not known.
        limits: when asymmetry and size are too much.
        told: warnings of the set that the frame is from; a set of many frames warns a few times of a kind.

    Raises:
        LabelError: wrong shape, NaN, half of a pair of keys, or a label that breaks the laws of
        `gate.examine`. The
            message names file, frame, formula, what was got, what was wanted, what to do. A value above 1e4
            eV/A^2 only warns (`LabelWarning`).
    """
    number = "" if frame is None else f", frame {frame}"
    where = f"{source}{number} ({atoms.get_chemical_formula()})"
    label, found, notes, _ = _examine(atoms, keys, limits)
    if found:
        raise LabelError(f"{where}: {_sentence(found[0])}")
    for note in notes:
        more = "" if told is None else told.ending(note)
        if more is not None:
            warnings.warn(f"{where}: {note}.{more}", LabelWarning, stacklevel=2)
    return label


class Told:
    """The warnings that a set of frames has given: of each kind the first few are, the others are not.

    Args:
        limit: how many of a kind are given.
    """

    def __init__(self, limit: int = 3) -> None:
        self._limit, self._given = limit, Counter[str]()

    def ending(self, note: str) -> str | None:
        """What to add to a warning; None where it is not to be given any more."""
        kind = re.sub(r"\d+", "", note.partition(" holds ")[0])
        self._given[kind] += 1
        if self._given[kind] > self._limit:
            return None
        last = self._given[kind] == self._limit
        return " Other frames with the same are not named: `hint dataset check` counts them." if last else ""


def write_label(atoms: Atoms, label: HessianLabel | None, keys: LabelKeys = DEFAULT_KEYS) -> None:
    """Put a label into `atoms.info` and `atoms.arrays`, in place of any Hessian label that was there.

    Args:
        atoms: changed in place.
        label: None only removes.
        keys: where to put it.

    Raises:
        LabelError: the label belongs to another number of atoms.
    """
    if label is not None and label.n_atoms != len(atoms):
        raise LabelError(f"a label of {label.n_atoms} atoms cannot go to {atoms.get_chemical_formula()}")
    for name in keys.hessian_info:
        atoms.info.pop(name, None)
    for name in keys.hessian_arrays:
        atoms.arrays.pop(name, None)
    if label is None:
        return
    if label.kind == "full":
        atoms.info[keys.hessian] = label.hessian
    elif label.kind == "rows":
        atoms.info[keys.rows] = label.hessian
        atoms.arrays[keys.mask] = np.isin(np.arange(len(atoms)), np.asarray(label.atoms))
    else:
        atoms.arrays[keys.probes] = _to_columns(label.probes)
        atoms.arrays[keys.hvp] = _to_columns(label.hvp)
    if label.noise is not None:
        atoms.info[keys.noise] = label.noise
    if label.weight != 1.0:
        atoms.info[keys.weight] = label.weight
    for name, value in label.provenance.items():
        atoms.info[keys.prefix + name] = value


def clear_labels(atoms: Atoms, keys: LabelKeys = DEFAULT_KEYS) -> None:
    """Remove energy, forces, stress (under ASE's names, too), the Hessian label and every `hint_*` key."""
    write_label(atoms, None, keys)
    for name in [name for name in atoms.info if name.startswith(keys.prefix)]:
        del atoms.info[name]
    for name in (keys.energy, keys.stress):
        atoms.info.pop(name, None)
    atoms.arrays.pop(keys.forces, None)
    drop_ase_labels(atoms)


@dataclass(frozen=True)
class FrameProblem:
    """One malformed (or, in `FrameReport.remarks`, unusual) frame."""

    source: str
    frame: int
    formula: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}, frame {self.frame} ({self.formula}): {_sentence(self.message)}"


@dataclass
class FrameReport:
    """What `check_frames` saw: how many frames of which kind, everything that is wrong, and what it could
    not test:
    (test, reason) -> number of frames."""

    counts: dict[str, int] = field(default_factory=dict)
    problems: list[FrameProblem] = field(default_factory=list)
    remarks: list[FrameProblem] = field(default_factory=list)
    untested: dict[tuple[str, str], int] = field(default_factory=dict)

    def raise_if_bad(self, show: int = 20) -> None:
        """Raise one LabelError that lists the first `show` problems."""
        if self.problems:
            lines = [str(problem) for problem in self.problems[:show]]
            if len(self.problems) > show:
                lines.append(f"... and {len(self.problems) - show} more")
            count = len(self.problems)
            head = "1 malformed label:" if count == 1 else f"{count} malformed labels:"
            raise LabelError("\n".join([head, *lines]))


def check_frames(
    frames: Iterable[Atoms],
    keys: LabelKeys = DEFAULT_KEYS,
    *,
    source: str | Path = "frames",
    limits: Thresholds | None = None,
) -> FrameReport:
    """Look at every frame in one pass and collect all problems, not only the first.

    Args:
        frames: structures; an iterator (`iter_frames`) keeps the memory constant.
        keys: where labels are stored.
        source: file name, for the messages.
        limits: when asymmetry and size are too much.
    """
    report = FrameReport(dict.fromkeys(("frames", "full", "rows", "projected", "unlabelled", "malformed"), 0))
    for number, atoms in enumerate(frames):
        label, found, notes, untested = _examine(atoms, keys, limits)
        for test, reason in untested.items():
            report.untested[test, reason] = report.untested.get((test, reason), 0) + 1
        formula = atoms.get_chemical_formula()
        report.problems += [FrameProblem(str(source), number, formula, text) for text in found]
        report.remarks += [FrameProblem(str(source), number, formula, text) for text in notes]
        kind = "malformed" if found else "unlabelled" if label is None else label.kind
        report.counts[kind] += 1
        report.counts["frames"] += 1
    return report


def _sentence(text: str) -> str:
    return text if text.endswith(("?", ".")) else f"{text}."


def _examine(
    atoms: Atoms, keys: LabelKeys, limits: Thresholds | None
) -> tuple[HessianLabel | None, list[str], list[str], dict[str, str]]:
    """(label, problems, remarks, tests that could not be made) of one frame; looks at everything, raises
    nothing."""
    found: list[str] = []
    untested: dict[str, str] = {}
    labels: list[HessianLabel] = []
    found += malformed(atoms, keys)
    for read in (_read_full, _read_rows, _read_projected):
        try:
            label = read(atoms, keys)
        except LabelError as error:
            found.append(str(error))
            continue
        if label is not None:
            labels.append(label)
    for label in labels:
        verdict = examine(label, atoms, _forces(atoms, keys), limits)
        found += [f"{_main_key(label, keys)}: {text}" for text in verdict.problems]
        untested |= verdict.untested
    notes = [f"{_main_key(label, keys)}: {text}" for label in labels for text in remarks(label, limits)]
    notes += unusual(atoms, labels[0] if labels else None, keys)
    notes += near_names(atoms, keys)
    if not labels:
        notes += near_misses(atoms, keys)
    return (labels[0] if labels else None), found, notes, untested


def _forces(atoms: Atoms, keys: LabelKeys) -> np.ndarray | None:
    """Forces that belong to the label, as far as they are well-formed."""
    try:
        return frame_labels(atoms, keys).forces
    except LabelError:
        return None


def _read_full(atoms: Atoms, keys: LabelKeys) -> HessianLabel | None:
    if keys.hessian not in atoms.info:
        return None
    return _build(
        keys.hessian, HessianLabel.full, atoms.info[keys.hessian], n_atoms=len(atoms), **_about(atoms, keys)
    )


def _read_rows(atoms: Atoms, keys: LabelKeys) -> HessianLabel | None:
    if not _both(keys.rows in atoms.info, keys.mask in atoms.arrays, keys.rows, keys.mask):
        return None
    mask = np.asarray(atoms.arrays[keys.mask])
    if mask.shape != (len(atoms),) or mask.dtype.kind not in "biu" or not np.isin(mask, (0, 1)).all():
        raise LabelError(f"{keys.mask} is no column of T and F, one an atom. Relabel the frame")
    selected = np.flatnonzero(mask)
    about = _about(atoms, keys)
    return _build(keys.rows, HessianLabel.rows, atoms.info[keys.rows], selected, len(atoms), **about)


def _read_projected(atoms: Atoms, keys: LabelKeys) -> HessianLabel | None:
    if not _both(keys.probes in atoms.arrays, keys.hvp in atoms.arrays, keys.probes, keys.hvp):
        return None
    probes = _from_columns(atoms.arrays[keys.probes], keys.probes)
    hvp = _from_columns(atoms.arrays[keys.hvp], keys.hvp)
    return _build(f"{keys.probes} and {keys.hvp}", HessianLabel.projected, probes, hvp, **_about(atoms, keys))


def _build(key: str, constructor: Any, *values: Any, **about: Any) -> HessianLabel:
    try:
        return constructor(*values, **about)
    except LabelError as error:
        raise LabelError(
            f"{key}: {error}. Relabel the frame, or remove the key to use it without a Hessian"
        ) from error


def _both(first: bool, second: bool, first_key: str, second_key: str) -> bool:
    if first != second:
        have, lack = (first_key, second_key) if first else (second_key, first_key)
        raise LabelError(f"{have} without {lack}; wanted both or neither. Add {lack} or remove {have}")
    return first


def _about(atoms: Atoms, keys: LabelKeys) -> dict[str, Any]:
    about: dict[str, Any] = {"provenance": _provenance(atoms.info, keys)}
    for name, key, default in (("noise", keys.noise, None), ("weight", keys.weight, 1.0)):
        value = atoms.info.get(key, default)
        try:
            about[name] = default if value is None else float(real_numbers(value).reshape(()))
        except (TypeError, ValueError) as error:
            raise LabelError(f"{key} is {value!r}; wanted a number. Correct or remove it") from error
    return about


def _provenance(info: Mapping[str, Any], keys: LabelKeys) -> dict[str, Any]:
    start = len(keys.prefix)
    return {
        name[start:]: value.item() if isinstance(value, np.generic) else value
        for name, value in info.items()
        if isinstance(name, str) and name.startswith(keys.prefix) and name != keys.noise
    }


def _main_key(label: HessianLabel, keys: LabelKeys) -> str:
    return {"full": keys.hessian, "rows": keys.rows, "projected": keys.hvp}[label.kind]


def _to_columns(probes: np.ndarray | None) -> np.ndarray:
    if probes is None:
        raise LabelError("a projected label without probes")
    return np.ascontiguousarray(probes.transpose(1, 0, 2).reshape(probes.shape[1], -1))


def _from_columns(columns: Any, key: str) -> np.ndarray:
    try:
        array = real_numbers(columns)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{key} holds something else than numbers ({error})") from error
    if array.ndim != 2 or array.shape[1] == 0 or array.shape[1] % 3:
        raise LabelError(f"{key} has shape {array.shape}; wanted [N, 3K], column 3k + axis")
    return array.reshape(len(array), -1, 3).transpose(1, 0, 2)
