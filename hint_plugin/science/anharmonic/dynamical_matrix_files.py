"""Force constants in files: dynamical matrices of Quantum ESPRESSO, phonopy.yaml; phonopy's own objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.formats.qe_set import dyn_set
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.anharmonic.python_sscha import (
    cellconstructor,
    from_cellconstructor,
    from_matrices,
    quiet,
    to_cellconstructor,
)
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants


def read_dynamical_matrices(path: str | Path) -> ForceConstants:
    """Of Quantum ESPRESSO's ph.x or of CellConstructor: `prefix1`, `prefix2`, ... of a full grid.

    Args:
        path: the prefix (pdh.dyn), or any file of the set (pdh.dyn0, pdh.dyn1).

    Raises:
        DataError: no such set, a gap in it, XML, or matrices that do not fit together (see
            `library.from_cellconstructor`). MissingDependencyError.
    """
    files = dyn_set(path)
    if files.stem is None:
        raise DataError(f"{path}: a single file of dynamical matrices; wanted a set NAME1, NAME2, ...")
    prefix, count = files.stem, len(files.files)
    for file in files.files:
        _check_file(file)
    package = cellconstructor()
    try:
        with quiet():
            found = package.Phonons.Phonons(str(prefix), count)
    except (ValueError, IndexError, KeyError, AssertionError) as error:
        raise DataError(
            f"{prefix}1..{count}: not dynamical matrices as ph.x writes them ({error})"
        ) from error
    if len(found.dynmats) != len(found.q_tot):
        raise DataError(
            f"{prefix}1..{count}: {len(found.q_tot)} q points, {len(found.dynmats)} matrices: a file is cut"
        )
    try:
        return from_cellconstructor(found)
    except DataError as error:
        raise DataError(f"{prefix}1..{count}: {error}") from error


def write_dynamical_matrices(prefix: str | Path, constants: ForceConstants) -> list[Path]:
    """Files of a set in Quantum ESPRESSO's format, `prefix0` with the grid among them, as q2r.x wants it.

    Raises:
        DataError, MissingDependencyError: see `library.to_cellconstructor`.
    """
    prefix, found = Path(prefix), to_cellconstructor(constants)
    cell = constants.atoms.cell.array
    found.alat = float(np.linalg.norm(cell[0]))
    with quiet():
        found.save_qe(str(prefix))
    grid = " ".join(f"{n:4d}" for n in constants.repeats)
    lines = [grid, f"{len(found.q_stars):4d}"]
    lines += ["".join(f"{x:18.12f}" for x in star[0] * found.alat) for star in found.q_stars]
    first = prefix.with_name(f"{prefix.name}0")
    first.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [first, *(prefix.with_name(f"{prefix.name}{k + 1}") for k in range(len(found.q_stars)))]


def from_phonopy(
    phonon: Any, repeats: tuple[int, int, int] | None = None, crystal: Atoms | None = None
) -> ForceConstants:
    """From a `phonopy.Phonopy` with force constants, on a supercell of its primitive cell.

    Born charges count between the q points of phonopy's supercell, where they are interpolated with; at Gamma
    nothing is split, and what is returned has none.

    Args:
        phonon: see above.
        repeats: the supercell; interpolated where it is not phonopy's own, which is taken if none is given.
        crystal: whose atoms carry moments, charges, ... that phonopy does not keep.

    Raises:
        DataError: no force constants. OptionsError: phonopy's supercell is no n1 x n2 x n3 of its primitive
            cell, and none is given.
    """
    from phonopy.harmonic.dynamical_matrix import get_dynamical_matrix
    from phonopy.interface.calculator import get_force_constant_conversion_factor

    from hint_plugin.data.structures.unit_cell import in_angstrom, to_ase
    from hint_plugin.science.phonons.crystals import supercell_repeats

    if phonon.force_constants is None:
        raise DataError(
            "the Phonopy object has no force constants; FORCE_CONSTANTS or forces belong beside it"
        )
    atoms = in_angstrom(to_ase(phonon.primitive, crystal), phonon.calculator)
    scale = 1.0 / get_force_constant_conversion_factor("eV/angstrom^2", phonon.calculator)
    if repeats is None:
        try:
            repeats = supercell_repeats(phonon)
        except DataError as error:
            raise OptionsError(
                f"phonopy: {error}: say which supercell to use (--supercell 2 2 2); the force constants are "
                "interpolated to it"
            ) from error
    with quiet():
        matrix = get_dynamical_matrix(
            phonon.force_constants, phonon.supercell, phonon.primitive, nac_params=phonon.nac_params
        )
    grid = np.indices(repeats).reshape(3, -1).T / np.array(repeats)
    fractional = atoms.get_scaled_positions(wrap=False)
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    found = []
    for q in grid:
        with quiet():
            matrix.run(q)
        phase = np.repeat(np.exp(2j * np.pi * (fractional @ q)), 3)
        found.append(
            scale * np.asarray(matrix.dynamical_matrix) * np.outer(root * phase, root * phase.conj())
        )
    matrices = np.array(found)
    return from_matrices(atoms, grid, 0.5 * (matrices + matrices.conj().transpose(0, 2, 1)))


def to_phonopy(constants: ForceConstants) -> Any:
    """As `phonopy.Phonopy`, for bands, densities of states and files. Raises MissingDependencyError."""
    from hint_plugin.science.phonons.crystals import new_phonopy

    phonon = new_phonopy(constants.atoms, constants.repeats, "P", 1e-4)
    count = len(constants.atoms)
    scaled = phonon.supercell.scaled_positions * np.array(constants.repeats)
    own = constants.atoms.get_scaled_positions(wrap=False)
    atom, cell = _places(scaled, np.asarray(phonon.supercell.numbers), own, constants)
    start = [_places(row[None], None, own, constants) for row in phonon.primitive.scaled_positions]
    rows = np.array([index[0][0] for index in start])
    home = np.array([index[1][0] for index in start])
    apart = (cell[None] - home[:, None]) % np.array(constants.repeats)
    blocks = constants.blocks.reshape(*constants.repeats, count, 3, count, 3)
    phonon.force_constants = np.ascontiguousarray(
        blocks[apart[:, :, 0], apart[:, :, 1], apart[:, :, 2], rows[:, None], :, atom[None, :]]
    )
    return phonon


def read_phonopy(path: str | Path, repeats: tuple[int, int, int] | None = None) -> ForceConstants:
    """From phonopy.yaml with force constants in it, or FORCE_CONSTANTS or FORCE_SETS beside it.

    Raises:
        DataError: not such a file. See `from_phonopy` for others.
    """
    from hint_plugin.science.phonons.reference_phonons import Table, read_reference

    with quiet():
        found = read_reference(Path(path))
    if isinstance(found, Table):
        raise DataError(f"{path}: a table of frequencies; wanted force constants of phonopy")
    return from_phonopy(found, repeats)


def _check_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.lstrip().startswith("<"):
        raise DataError(f"{path}: XML; wanted the plain format (fildyn without .xml)")
    if "cartesian axes" not in text:
        raise DataError(f"{path}: no dynamical matrix in it; wanted a file that ph.x wrote as fildyn")


def _places(
    scaled: NDArray, numbers: NDArray | None, own: NDArray, constants: ForceConstants
) -> tuple[NDArray, NDArray]:
    """Which atom of the primitive cell, and which cell, fractional positions [K, 3] (of that cell) are."""
    apart = scaled[:, None] - own[None]
    whole = np.rint(apart)
    distances = np.linalg.norm((apart - whole) @ constants.atoms.cell.array, axis=2)
    if numbers is not None:
        distances[numbers[:, None] != constants.atoms.numbers[None]] = np.inf
    atom = distances.argmin(axis=1)
    cell = np.take_along_axis(whole, atom[:, None, None], axis=1)[:, 0].astype(int)
    return atom, cell
