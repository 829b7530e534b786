"""OpenREACT-CHON-EFH: reactants, products, saddles, paths and displaced geometries with full DFT Hessians.

Layout (A. Rodriguez, J. S. Smith, J. L. Mendoza-Cortes, J. Chem. Theory Comput. 21, 6698 (2025); data:
doi 10.6084/m9.figshare.29189858), that of ANI's HDF5 files: a group for each molecule with

| data set | shape | unit |
|---|---|---|
| species | [N], symbols or atomic numbers | |
| coordinates | [frames, N, 3] | A |
| energies | [frames] | hartree, total |
| forces | [frames, N, 3] | hartree/A |
| hessian | [frames, 3N, 3N], also [frames, N, 3, N, 3] and [frames, 9 N^2] | hartree/A^2 |

and the attributes `crg` and `mult` where they are known. hippynn's example for this set converts all three
labels by one factor, hartree to kcal/mol, beside coordinates in A, as TorchANI does: the derivatives are per
A. Each file is held to that: where a molecule is turned by w, its forces turn with it,

    H (w x r) = - w x F,

which relates the unit of H to that of F. The first frame with forces to speak of is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms
from ase.units import Hartree

from hint_plugin.data.formats.common import as_text, labelled, reading
from hint_plugin.errors import DataError

LABELS = ("energies", "forces", "hessian")
TELLING = 0.3  # eV/A; below, the noise of a numerical Hessian shows
FITS = 0.2  # a factor 1.9 is what is looked for
_BLOCK = 32


def recognise(path: Path) -> bool:
    """HDF5 whose first molecule has species, coordinates and energies."""
    try:
        with h5py.File(path, "r") as file:
            return next(_molecules(file), None) is not None
    except OSError:
        return False


def read(path: Path) -> Iterator[Atoms]:
    """Frames of all molecules, group by group; `info` gets `molecule`, and `charge` and `spin` if known.

    Raises:
        DataError: truncated, another layout, a frame of a wrong shape.
    """
    with reading(path):
        file = h5py.File(path, "r")
    number, is_checked = 0, False
    with file:
        for group in _molecules(file):
            for atoms in _frames(path, group, number):
                is_checked = is_checked or _check_units(path, number, atoms)
                number += 1
                yield atoms


def _molecules(group: h5py.Group) -> Iterator[h5py.Group]:
    if {"species", "coordinates", "energies"} <= set(group):
        yield group
        return
    for child in group.values():
        if isinstance(child, h5py.Group):
            yield from _molecules(child)


def _frames(path: Path, group: h5py.Group, first: int) -> Iterator[Atoms]:
    with reading(path, first, f"the layout of OpenREACT in {group.name}"):
        symbols = _species(np.asarray(group["species"]).reshape(-1))
        count = len(group["coordinates"])
        keys = ["coordinates", *(key for key in LABELS if key in group)]
        for key in keys:
            if len(group[key]) != count:
                raise ValueError(f"{count} coordinates and {len(group[key])} {key}")
        about: dict[str, Any] = {"molecule": (group.name or "/").strip("/")}
        for key, name in (("crg", "charge"), ("mult", "spin")):
            if key in group.attrs:
                about[name] = int(np.asarray(group.attrs[key]).reshape(-1)[0])
    for start in range(0, count, _BLOCK):
        with reading(path, first + start):
            block = {key: np.asarray(group[key][start : start + _BLOCK], dtype=float) for key in keys}
        for index in range(len(block["coordinates"])):
            with reading(path, first + start + index, f"the layout of OpenREACT in {group.name}"):
                atoms = Atoms(symbols, block["coordinates"][index])
                values = {key: Hartree * block[key][index] for key in LABELS if key in block}
                labelled(
                    atoms,
                    "openreact",
                    energy=values.get("energies"),
                    forces=values.get("forces"),
                    hessian=values.get("hessian"),
                    method="wB97X-D/6-31G(d)",
                )
                atoms.info.update(about)
            yield atoms


def _check_units(path: Path, number: int, atoms: Atoms) -> bool:
    """Whether the frame could tell; forces and Hessian that do not turn together raise."""
    hessian, forces = atoms.info.get("REF_hessian"), atoms.arrays.get("REF_forces")
    if hessian is None or forces is None or np.abs(forces).max() < TELLING:
        return False
    axes = np.eye(3)
    turned = np.array([np.cross(axis, atoms.positions).ravel() @ hessian for axis in axes])
    wanted = np.array([-np.cross(axis, forces).ravel() for axis in axes])
    ratio = float((turned * wanted).sum() / (wanted**2).sum())
    if abs(ratio - 1) > FITS:
        raise DataError(
            f"{path}, frame {number} ({atoms.get_chemical_formula()}): forces and Hessian do not fit "
            f"together as hartree/A and hartree/A^2, factor {ratio:.2f} (0.53: they are per "
            "bohr). Convert them first"
        )
    return True


def _species(values: np.ndarray) -> Any:
    return values.astype(int) if values.dtype.kind in "iu" else [as_text(value) for value in values]
