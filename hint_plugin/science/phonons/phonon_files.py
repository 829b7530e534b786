"""How large a supercell is unless told, and the results of a phonon run for phonopy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from hint_plugin.data.file_io import replacing
from hint_plugin.data.structures.unit_cell import quiet
from hint_plugin.science.phonons.crystals import in_a_box

if TYPE_CHECKING:
    from phonopy import Phonopy

WIDTH = 10.0
"""A: how wide a supercell is at least if none is asked for."""


def default_supercell(atoms: Atoms, width: float = WIDTH) -> list[int]:
    """How often each lattice vector is repeated for opposite faces to be `width` (A) apart, or more;
    once where a layer is not periodic."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(in_a_box(atoms).cell.array), axis=0)
    times = [max(1, int(np.ceil(width / height - 1e-6))) for height in heights]
    return [n if periodic else 1 for n, periodic in zip(times, atoms.pbc, strict=True)]


def write_phonopy(phonon: Phonopy, folder: Path) -> None:
    """phonopy.yaml (Born charges too) and FORCE_CONSTANTS, compact: `phonopy-load` reads them."""
    from phonopy.file_IO import write_FORCE_CONSTANTS

    with quiet():
        with replacing(folder / "phonopy.yaml") as temporary:
            phonon.save(
                temporary, settings={"force_sets": False, "displacements": False, "force_constants": False}
            )
        with replacing(folder / "FORCE_CONSTANTS") as temporary:
            write_FORCE_CONSTANTS(
                np.asarray(phonon.force_constants), filename=str(temporary), p2s_map=phonon.primitive.p2s_map
            )
