"""Transition1x: nudged-elastic-band paths of 10k organic reactions, wB97X/6-31G(d), energies and forces.

Layout (M. Schreiner et al., Sci. Data 9, 779 (2022), and its loader): split/formula/reaction holds
`atomic_numbers` [N], `positions` [frames, N, 3] in A, `wB97x_6-31G(d).energy` [frames] in eV and
`wB97x_6-31G(d).forces` [frames, N, 3] in eV/A, and the groups `reactant`, `transition_state` and `product`
with one frame each of the same. The split `data` is all of it; `train`, `val`, `test` are its parts, divided
by formula.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms

from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.errors import DataError, OptionsError

ENERGY = "wB97x_6-31G(d).energy"
FORCES = "wB97x_6-31G(d).forces"
SPLITS = ("train", "val", "test")
ENDS = ("reactant", "transition_state", "product")
IMAGES = ("all", "ends")
_BLOCK = 64


def recognise(path: Path) -> bool:
    """HDF5 with a group of splits, and reactions two levels below."""
    try:
        with h5py.File(path, "r") as file:
            for split in (*SPLITS, "data"):
                for formula in file.get(split, {}).values():
                    return any(ENERGY in reaction for reaction in formula.values())
    except (OSError, AttributeError, TypeError):
        return False
    return False


def read(path: Path, *, split: str | None = None, images: str = "all") -> Iterator[Atoms]:
    """Frames of all reactions, reaction by reaction.

    `info` gets `formula`, `reaction` (formula and reaction together name it), `split` and `image`: "path",
    "reactant", "transition_state" or "product"; a split by `formula` or `reaction` leaks nothing.

    Args:
        path: the file.
        split: "train", "val", "test" or "data"; None: the three parts, or "data" where they are not there.
        images: "all": reactant, product, then all frames of the path; "ends": reactant, transition state,
            product only.

    Raises:
        DataError: truncated, another layout, a frame of a wrong shape.
        OptionsError: no such split, or unknown `images`.
    """
    if images not in IMAGES:
        raise OptionsError(f"images is '{images}'; wanted one of {', '.join(IMAGES)}")
    with reading(path):
        file = h5py.File(path, "r")
    with file:
        there = [name for name in SPLITS if name in file] or [name for name in ("data",) if name in file]
        if split is not None and split not in file:
            raise OptionsError(f"{path}: no split '{split}'; it has {', '.join(file)}")
        number = 0
        for part in there if split is None else [split]:
            for formula, reactions in file[part].items():
                for name, reaction in reactions.items():
                    info = {"split": part, "formula": formula, "reaction": name}
                    for image, group in _images(path, reaction, images):
                        for atoms in _frames(path, group, number):
                            atoms.info.update(info, image=image)
                            number += 1
                            yield atoms


def _images(path: Path, reaction: h5py.Group, images: str) -> list[tuple[str, h5py.Group]]:
    ends = ENDS if images == "ends" else ("reactant", "product")
    for end in ends:
        if end not in reaction:
            raise DataError(f"{path}, {reaction.name}: it lacks the group '{end}'")
    path_itself = [] if images == "ends" else [("path", reaction)]
    return [(end, reaction[end]) for end in ends] + path_itself


def _frames(path: Path, group: h5py.Group, first: int) -> Iterator[Atoms]:
    with reading(path, first, f"the layout of Transition1x in {group.name}"):
        numbers = np.asarray(group["atomic_numbers"]).reshape(-1)
        count = len(group["positions"])
        if len(group[ENERGY]) != count or len(group[FORCES]) != count:
            raise ValueError(f"{count} positions, {len(group[ENERGY])} energies, {len(group[FORCES])} forces")
    for start in range(0, count, _BLOCK):
        with reading(path, first + start, f"the layout of Transition1x in {group.name}"):
            block: Any = [group[key][start : start + _BLOCK] for key in ("positions", ENERGY, FORCES)]
        for index, (positions, energy, forces) in enumerate(zip(*block, strict=True)):
            with reading(path, first + start + index):
                atoms = Atoms(numbers, positions)
                labelled(atoms, "transition1x", energy=energy, forces=forces, method="wB97X/6-31G(d)")
            yield atoms
