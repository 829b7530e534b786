"""Labelled structures from files or from memory, as `evaluation` wants them: one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.labels.extxyz import Told, read_label
from hint_plugin.data.labels.frame_labels import frame_labels
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.sets.frames import iter_frames

GROUP_KEYS = ("group", "config_type")
"""Info keys that name a frame's group; the first one present counts."""
Sources = Mapping[str, Iterable[Atoms]]


@dataclass(frozen=True)
class FrameFile:
    """The frames of a file, read anew at every iteration."""

    path: Path

    def __iter__(self) -> Iterator[Atoms]:
        return iter_frames(self.path)


@dataclass(frozen=True)
class Reference:
    """A structure and what is known about it.

    `energy` eV (total), `forces` [N, 3] eV/A, `stress` [6] eV/A^3 in ASE's Voigt order and sign, `label`:
    each None where there is none. `source` and `frame` say where it comes from.
    """

    atoms: Atoms
    source: str
    frame: int
    energy: float | None
    forces: NDArray[np.float64] | None
    stress: NDArray[np.float64] | None
    label: HessianLabel | None

    @property
    def is_labelled(self) -> bool:
        """Whether there is anything to compare with."""
        found = (self.energy, self.forces, self.stress, self.label)
        return any(value is not None for value in found)

    @property
    def group(self) -> str:
        """The frame's `group` or `config_type`, "Default" without."""
        return next((str(self.atoms.info[key]) for key in GROUP_KEYS if key in self.atoms.info), "Default")

    @property
    def is_isolated_atom(self) -> bool:
        """Whether MACE would read this as an atomic energy, not as a structure."""
        return len(self.atoms) == 1 and self.atoms.info.get("config_type") == "IsolatedAtom"

    def row(self) -> dict[str, Any]:
        """The first columns of frames.csv."""
        return {
            "source": self.source,
            "frame": self.frame,
            "formula": self.atoms.get_chemical_formula(),
            "atoms": len(self.atoms),
            "group": self.group,
            "label": self.label.kind if self.label else "",
        }


def read_reference(
    atoms: Atoms, keys: LabelKeys, source: str, frame: int, told: Told | None = None
) -> Reference:
    """Energy, forces, stress and Hessian label of a structure; stress only if all directions are periodic.

    All but the Hessian are what `frame_labels` says: those of ASE's own names count if there are none
    under `keys`. Raises LabelError, with source and frame, if a label is malformed.
    """
    label = read_label(atoms, keys, source=source, frame=frame, told=told)
    known = frame_labels(atoms, keys)
    stress = known.stress if atoms.pbc.all() else None
    return Reference(atoms, source, frame, known.energy, known.forces, stress, label)


def read_references(
    sources: Sources, keys: LabelKeys, max_hessians: int | None = None
) -> Iterator[Reference]:
    """All structures of all sources, labelled or not, but for isolated atoms.

    With `max_hessians`, the other Hessian labels are dropped: those that stay are spread evenly over the
    labelled frames. This reads the sources twice, so that they must not be iterators.
    """
    chosen = None if max_hessians is None else _evenly(_count_labels(sources, keys), max_hessians)
    labels = 0
    for source, frames in sources.items():
        told = Told()
        for number, atoms in enumerate(frames):
            reference = read_reference(atoms, keys, source, number, told)
            if reference.label is not None:
                if chosen is not None and labels not in chosen:
                    reference = replace(reference, label=None)
                labels += 1
            if not reference.is_isolated_atom:
                yield reference


def _count_labels(sources: Sources, keys: LabelKeys) -> int:
    marks = (keys.hessian, keys.rows, keys.probes)
    return sum(
        any(mark in atoms.info or mark in atoms.arrays for mark in marks)
        for frames in sources.values()
        for atoms in frames
    )


def _evenly(count: int, wanted: int) -> set[int]:
    """`wanted` of the indices 0 .. count-1, the first and the last among them."""
    return set(np.linspace(0, max(count - 1, 0), min(wanted, count)).round().astype(int).tolist())
