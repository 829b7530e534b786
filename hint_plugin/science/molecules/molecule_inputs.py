"""The molecules that a run is given, in files or as ASE atoms, and their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from hint_plugin.data import read_frames
from hint_plugin.data.sets.patterns import expand
from hint_plugin.data.structures.constraints import (
    constraints_of,
    free_coordinates,
    held_atoms,
    other_constraints,
)
from hint_plugin.data.structures.electrons import known_electrons
from hint_plugin.errors import DataError

FAR = 10.0
"""A: atoms of one molecule, or of a complex, are nearer to the rest of it."""
Inputs = str | Path | Atoms | Sequence[str | Path | Atoms]


def given(inputs: Inputs) -> list[Path | Atoms]:
    """One or several: files, patterns of files (both have to be there), ASE atoms."""
    several = [inputs] if isinstance(inputs, str | Path | Atoms) else inputs
    found: list[Path | Atoms] = []
    for item in several:
        found += [item] if isinstance(item, Atoms) else expand([item])
    return found


def files_of(inputs: Sequence[Path | Atoms]) -> list[Path]:
    """Those that are files."""
    return [item for item in inputs if not isinstance(item, Atoms)]


def named_frames(inputs: Sequence[Path | Atoms]) -> Iterator[tuple[str, Atoms]]:
    """(name, structure); results go by these names, so no two are the same. See `no_molecule`.

    Frames go by the name of their file, ASE atoms by their formula; with a number where there are several.

    Raises:
        DataError: a file cannot be read, or has no frames.
    """
    for _, frames in named_groups(inputs):
        yield from frames


def named_groups(inputs: Sequence[Path | Atoms]) -> Iterator[tuple[str, list[tuple[str, Atoms]]]]:
    """(name, named frames) of each file; and of all ASE atoms together. See `named_frames`."""
    used: set[str] = set()
    for stem, frames in _named_sets(inputs):
        named = []
        for number, atoms in enumerate(frames):
            name = stem or atoms.get_chemical_formula()
            name = name if len(frames) == 1 else f"{name}-{number}"
            while name in used:  # a file that is given twice, or x-0.xyz beside the frames of x.xyz
                name += "_"
            used.add(name)
            named.append((name, atoms))
        yield stem or frames[0].get_chemical_formula(), named


def no_molecule(atoms: Any, held: bool = False) -> tuple[str, str] | None:
    """(kind, reason) why the verbs for molecules cannot treat a structure, a kind of `FAILURE_KINDS`; None if
    they can.

    Args:
        atoms: the structure.
        held: whether atoms may be held by FixAtoms and FixCartesian, as those of a surface; then the
            structure may be periodic.
    """
    if not len(atoms):
        return "geometry", "no atoms"
    if not np.isfinite(atoms.positions).all():
        return "geometry", "a position is NaN or infinite"
    if other := other_constraints(atoms):
        return "geometry", other
    free = free_coordinates(atoms)
    if held and free.none:
        return "geometry", f"all atoms are held ({held_atoms(atoms)}): there is nothing that could move"
    if held and not free.all:
        return None
    if atoms.pbc.any():
        surface = (
            "for a surface, hold atoms (FixAtoms, or the column move_mask)"
            if held
            else "this verb knows no surfaces"
        )
        way_out = (
            'set pbc="F F F" in its comment line if it is a molecule in a box; for crystals: hint phonons; '
            + surface
        )
        return "cell", f"periodic; these are verbs for molecules: {way_out}"
    if told := constraints_of(atoms):
        return "geometry", told
    return None


def far_parts(atoms: Atoms) -> str:
    """That a structure is several molecules too far from each other to be one; "" otherwise."""
    if len(atoms) < 2 or atoms.pbc.any() or no_molecule(atoms, held=True):
        return ""
    near = csr_matrix(atoms.get_all_distances() < FAR)
    parts = int(connected_components(near, directed=False)[0])
    if parts == 1:
        return ""
    return (
        f"{parts} parts that are {FAR:g} A and more apart: they count as one molecule, with the rotations "
        "and the entropy of one. Give each a frame of its own if they are several"
    )


def _named_sets(inputs: Sequence[Path | Atoms]) -> Iterator[tuple[str, list[Atoms]]]:
    """(name, frames) of each file; and of all ASE atoms together, where the first is."""
    files = files_of(inputs)
    stems, in_memory = iter(_stems(files)), [item for item in inputs if isinstance(item, Atoms)]
    for item in inputs:
        if isinstance(item, Atoms):
            if in_memory:
                yield "", in_memory
            in_memory = []
            continue
        frames = read_frames(item)
        if not frames:
            raise DataError(f"{item}: no frames")
        yield next(stems), frames


def _stems(inputs: list[Path]) -> list[str]:
    """Names of files without their suffix; where two are the same, with as much as tells them apart."""
    parts = [[*path.resolve().parts[1:-1], path.stem] for path in inputs]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        for suffixes in ([""] * len(inputs), [path.suffix.replace(".", "-") for path in inputs]):
            found = ["-".join(one[-depth:]) + end for one, end in zip(parts, suffixes, strict=True)]
            if len(set(found)) == len(found):
                return found
    return [path.stem for path in inputs]


def read_ends(reactant: Path | Atoms, product: Path | Atoms) -> list[Any]:
    """The two molecules of a reaction, of files or as they are.

    Raises:
        DataError: a file has none or several, one is no molecule, or their electrons are not the same.
    """
    ends = []
    for path in (reactant, product):
        frames = [path.copy()] if isinstance(path, Atoms) else read_frames(path)
        if len(frames) != 1:
            raise DataError(f"{path} has {len(frames)} frames; wanted one molecule")
        if wrong := no_molecule(frames[0], held=True):
            raise DataError(f"{path}: {wrong[1]}")
        ends.append(frames[0])
    electrons = [known_electrons(atoms.info) for atoms in ends]
    if electrons[0] != electrons[1]:
        told = " and ".join(f"charge {c}, multiplicity {m}" for c, m in electrons)
        raise DataError(
            f"{reactant} and {product} state different electrons ({told}); wanted the same for both: "
            "one surface joins them"
        )
    return ends
