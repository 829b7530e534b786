"""Born charges and dielectric tensors that come with a crystal or a reference: they split modes near Gamma.

phonopy keeps them as `nac` in its YAML. A comparison is only one where both sides have them, or
neither: up to hundreds of cm^-1 lie between the two near Gamma. So those of one side go to the other,
atom by atom, and turned as its crystal is; where no operation brings the atoms onto each other both sides go
without, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.formats.qe_set import dyn_set, is_dyn
from hint_plugin.data.structures.unit_cell import in_angstrom, need_phonopy, quiet, to_ase
from hint_plugin.errors import DataError
from hint_plugin.science.phonons.same_crystal import primitive_of
from hint_plugin.science.same_structure import placing

if TYPE_CHECKING:
    from phonopy import Phonopy


def with_stored_born(phonon: Phonopy, path: Path) -> Phonopy:
    """`phonon`, which was loaded from phonopy's YAML `path`, with the Born charges that are in that file.

    Raises:
        DataError: the file has charges that do not fit its own crystal.
    """
    stored = stored_born(path)
    if stored is not None:
        _put(stored, phonon, path)
    return phonon


def crystal_born(phonon: Phonopy, path: Path) -> str:
    """Give a phonon run the Born charges that the YAML of its crystal has; what was done, in words, "" where
    the file has none.

    Raises:
        DataError: the file has charges that do not fit this crystal.
    """
    stored = stored_born(path)
    if stored is None:
        return ""
    _put(stored, phonon, path)
    return f"Born charges of {path}: near Gamma modes split"


@dataclass(frozen=True)
class Stored:
    """Born charges [N, 3, 3] (e) and the dielectric tensor of a crystal: those of `atoms` (A), one by one."""

    atoms: Atoms
    born: NDArray
    dielectric: NDArray
    calculator: str | None = None
    factor: float | None = None


def stored_born(path: Path) -> Stored | None:
    """The Born charges in phonopy's YAML, with the cell that they are of; None: no such file, or none in it.

    Raises:
        DataError: they are not as many as the atoms of its primitive cell or its unit cell.
    """
    if ".yaml" not in path.suffixes[-2:] or not path.is_file():
        return None
    need_phonopy()
    from phonopy.interface.phonopy_yaml import read_phonopy_yaml

    with quiet():
        file: Any = read_phonopy_yaml(str(path))
    if file.nac_params is None:
        return None
    born = np.asarray(file.nac_params["born"], dtype=float)
    cells = [cell for cell in (file.primitive, file.unitcell) if cell is not None]
    if file.primitive is None:
        cells.insert(0, _primitive_in(file))
    chosen = next((cell for cell in cells if len(cell) == len(born)), None)
    if chosen is None:
        counts = " or ".join(str(len(cell)) for cell in cells)
        raise DataError(
            f"{path}: {len(born)} Born charges (nac); wanted {counts}, one for each atom of its primitive "
            "cell. Take nac out of the file to go without, or give the charges by --born BORN"
        )
    atoms = in_angstrom(to_ase(chosen), file.calculator)
    factor = file.nac_params.get("factor")
    return Stored(atoms, born, np.asarray(file.nac_params["dielectric"]), file.calculator, factor)


def _primitive_in(file: Any) -> Any:
    matrix = "auto" if file.primitive_matrix is None else file.primitive_matrix
    with quiet():
        return (
            need_phonopy()
            .Phonopy(
                file.unitcell,
                supercell_matrix=np.eye(3, dtype=int),
                primitive_matrix=matrix,
                calculator=file.calculator,
            )
            .primitive
        )


def _put(stored: Stored, phonon: Phonopy, path: Path) -> None:
    if not _carry(stored, phonon):
        raise DataError(
            f"{path}: its Born charges are of {stored.atoms.symbols}, and no operation brings these atoms "
            f"onto {primitive_of(phonon).symbols}, for which they are wanted. Take nac out of the file to go "
            "without, or give the charges by --born BORN"
        )


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
        f"the Born charges of {owner} are left out, since {other} has none and no operation brings the "
        "atoms of the one onto the other: no modes split at Gamma. --born FILE gives them to both"
    )


def carry_born(source: Phonopy, target: Phonopy) -> bool:
    """Take Born charges over to the same crystal, in any cell, orientation, origin and order of atoms;
    whether that went."""
    given: Any = source.nac_params
    if given is None:
        return False
    factor = given.get("factor")
    born, dielectric = np.asarray(given["born"]), np.asarray(given["dielectric"])
    return _carry(Stored(primitive_of(source), born, dielectric, source.calculator, factor), target)


def _carry(stored: Stored, target: Phonopy) -> bool:
    """A tensor T of the one is U' T U of the other (`same_structure.Placing`)."""
    found = placing(primitive_of(target), stored.atoms)
    if found is None:
        return False
    turn = found.rotation
    taken: dict[str, Any] = {
        "born": turn.T @ stored.born[found.atoms] @ turn,
        "dielectric": turn.T @ stored.dielectric @ turn,
    }
    if stored.calculator == target.calculator:
        taken["factor"] = stored.factor
    target.nac_params = _with_factor(taken, target)
    return True


def _with_factor(params: dict[str, Any], phonon: Phonopy) -> Any:
    from phonopy.interface.calculator import get_calculator_physical_units

    if params.get("factor") is None:
        params["factor"] = get_calculator_physical_units(phonon.calculator).nac_factor
    return params


def unread_born(path: Path) -> str:
    """A note where a reference has Born charges in a file that is not read for them; "" otherwise."""
    beside = (path if path.is_dir() else path.parent) / "BORN"
    if beside.is_file():
        return f"{beside} lies beside the reference and is not used: give it as --born {beside}, for both"
    return _in_matrices(path)


def born_of_a_start(path: Path) -> str:
    """What becomes of the Born charges in the file that an SSCHA starts from, in words; "" for none.

    Raises:
        DataError: see `stored_born`.
    """
    if stored_born(path) is None and _with_charges(path) is None:
        return ""
    return (
        f"{path} has Born charges: between the q points of the supercell force constants are interpolated "
        "with those of a YAML, but the matrices that are written have none, and no modes split at Gamma"
    )


def _in_matrices(path: Path) -> str:
    """A note where ph.x's matrices at Gamma hold Born charges, which are not read from there; ""
    otherwise."""
    one = _with_charges(path)
    return (
        ""
        if one is None
        else f"{one} has Born charges, which are not read from it: give --born BORN, for both"
    )


def _with_charges(path: Path) -> Path | None:
    """The file of a set of ph.x's matrices that holds Born charges."""
    files = dyn_set(path).files if is_dyn(path) else ()
    return next((one for one in files if "Dielectric Tensor" in one.read_text(errors="replace")), None)
