"""Born charges and dielectric tensors that come with a crystal or a reference: they split modes near Gamma.

phonopy keeps them as `nac` in its YAML. A comparison is only one where both sides have them, or
neither: up to hundreds of cm^-1 lie between the two near Gamma. So those of one side go to the other,
atom by atom, where the cells are turned alike; else both sides go without, and that is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.science.phonons.crystals import need_phonopy, quiet
from hint_plugin.science.phonons.same_crystal import primitive_of

if TYPE_CHECKING:
    from phonopy import Phonopy

_TURNED = 0.05  # of a lattice vector: tensors are taken over between cells that differ by no more
_ASIDE = 0.5  # A, of atoms that are one


def with_stored_born(phonon: Phonopy, path: Path) -> Phonopy:
    """`phonon`, which was loaded from phonopy's YAML `path`, with the Born charges that are in that file."""
    need_phonopy()
    from phonopy.interface.phonopy_yaml import read_phonopy_yaml

    with quiet():
        found: Any = read_phonopy_yaml(str(path)).nac_params
    if found is not None and len(found["born"]) == len(phonon.primitive):
        phonon.nac_params = _with_factor(dict(found), phonon)
    return phonon


def crystal_born(phonon: Phonopy, path: Path) -> bool:
    """Give a phonon run the Born charges that the YAML of its crystal has; whether there were any that
    fit."""
    if ".yaml" not in path.suffixes[-2:]:
        return False
    phonopy = need_phonopy()
    from phonopy.interface.phonopy_yaml import read_phonopy_yaml

    with quiet():
        file: Any = read_phonopy_yaml(str(path))
        if file.nac_params is None:
            return False
        matrix = "auto" if file.primitive_matrix is None else file.primitive_matrix
        source = phonopy.Phonopy(
            file.unitcell,
            supercell_matrix=np.eye(3, dtype=int),
            primitive_matrix=matrix,
            calculator=file.calculator,
        )
        if len(source.primitive) != len(file.nac_params["born"]):
            return False
        source.nac_params = _with_factor(dict(file.nac_params), source)
    return carry_born(source, phonon)


def share_born(phonon: Phonopy, reference: Phonopy) -> str:
    """Born charges for both, or for neither; what was done, in words, "" for nothing."""
    have = phonon.nac_params is not None, reference.nac_params is not None
    if have[0] == have[1]:
        return ""
    source, target = (phonon, reference) if have[0] else (reference, phonon)
    names = ("this crystal", "the reference")
    owner, other = names if have[0] else names[::-1]
    if carry_born(source, target):
        return f"the Born charges of {owner} are used for {other}, too: near Gamma modes split"
    source.nac_params = None
    return (
        f"the Born charges of {owner} are left out, since {other} has none and its cell is turned or "
        f"ordered in "
        "another way: no modes split at Gamma. --born FILE gives them to both"
    )


def carry_born(source: Phonopy, target: Phonopy) -> bool:
    """Take Born charges over to the same crystal in another cell of the same orientation; whether that
    went."""
    order = _atoms_of(target, source)
    if order is None or source.nac_params is None:
        return False
    given: Any = source.nac_params
    taken = {"born": np.asarray(given["born"])[order], "dielectric": np.asarray(given["dielectric"]).copy()}
    if source.calculator == target.calculator:
        taken["factor"] = given.get("factor")
    target.nac_params = _with_factor(taken, target)
    return True


def _with_factor(params: dict[str, Any], phonon: Phonopy) -> Any:
    from phonopy.interface.calculator import get_calculator_physical_units

    if params.get("factor") is None:
        params["factor"] = get_calculator_physical_units(phonon.calculator).nac_factor
    return params


def _atoms_of(target: Phonopy, source: Phonopy) -> NDArray | None:
    """Which atom of `source` each of `target` is; None where cells are turned, or no atom is there."""
    mine, theirs = primitive_of(target), primitive_of(source)
    if len(mine) != len(theirs):
        return None
    between = mine.cell.array @ np.linalg.inv(theirs.cell.array)
    whole = np.rint(between)
    if np.abs(between - whole).max() > _TURNED or abs(abs(np.linalg.det(whole)) - 1) > 1e-6:
        return None
    places = mine.get_scaled_positions() @ whole  # in vectors of the other cell, strained onto it
    for first in np.flatnonzero(theirs.numbers == mine.numbers[0]):
        shift = theirs.get_scaled_positions()[first] - places[0]
        apart = theirs.get_scaled_positions()[None] - (places + shift)[:, None]
        apart -= np.rint(apart)
        distances = np.linalg.norm(apart @ theirs.cell.array, axis=2)
        distances[mine.numbers[:, None] != theirs.numbers[None]] = np.inf
        order = distances.argmin(axis=1)
        if distances.min(axis=1).max() < _ASIDE and len(set(order.tolist())) == len(order):
            return np.asarray(order)
    return None


def unread_born(path: Path) -> str:
    """A note where a reference has Born charges in a file that is not read for them; "" otherwise."""
    beside = (path if path.is_dir() else path.parent) / "BORN"
    if beside.is_file():
        return f"{beside} lies beside the reference and is not used: give it as --born {beside}, for both"
    return _in_matrices(path)


def _in_matrices(path: Path) -> str:
    """A note where ph.x's matrices at Gamma hold Born charges, which are not read from there; ""
    otherwise."""
    files = [path, path.with_name(f"{path.name.removesuffix('0')}1")] if path.is_file() else []
    for one in files:
        if one.is_file() and "Dielectric Tensor" in one.read_text(errors="replace"):
            return f"{one} has Born charges, which are not read from it: give --born BORN, for both"
    return ""
