"""Cubic force constants in the files of phono3py and of ShengBTE.

ShengBTE's FORCE_CONSTANTS_3RD is a list of triplets of atoms, the first in the primitive cell, with the cells
in which the other two are. An element of a supercell belongs to all its periodic images; it is given to those
for which the sum of the three distances is smallest, in equal parts, so that the list has the symmetry under
permutations.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.file_io import file_sha256, replacing
from hint_plugin.data.structures.unit_cell import quiet
from hint_plugin.errors import DataError
from hint_plugin.optional import load
from hint_plugin.science.phonons.crystals import supercell_repeats

if TYPE_CHECKING:
    from phonopy import Phonopy

_SAME = 1e-4  # A, of sums of distances
_SHORTEST = 1e-9  # eV/A^3: weaker blocks are none


def need_phono3py() -> Any:
    """The package. Raises MissingDependencyError with the extra that brings it."""
    with quiet():
        return load("phono3py", "conductivity", "heat conduction needs phono3py")


def new_phono3py(phonon: Phonopy, supercell: Any, constants: NDArray | None = None) -> Any:
    """A `phono3py.Phono3py` of a crystal.

    Args:
        phonon: with harmonic force constants, of their own supercell, and Born charges if it has some.
        supercell: [3, 3], of the cubic force constants.
        constants: compact cubic force constants, eV/A^3.
    """
    phono3py = need_phono3py()
    rotations = phonon.symmetry.symmetry_operations["rotations"]
    with quiet():
        found = phono3py.Phono3py(
            phonon.unitcell,
            supercell_matrix=supercell,
            primitive_matrix=phonon.primitive_matrix,
            phonon_supercell_matrix=phonon.supercell_matrix,
            is_symmetry=bool((np.asarray(rotations) != np.eye(3)).any()),
            symprec=phonon.symmetry.tolerance,
        )
        found.fc2 = np.ascontiguousarray(phonon.force_constants, dtype=float)
        if constants is not None:
            found.fc3 = np.ascontiguousarray(constants, dtype=float)
        if phonon.nac_params is not None:
            found.nac_params = phonon.nac_params
    return found


def write_phono3py(crystal: Any, folder: Path) -> None:
    """phono3py_disp.yaml (Born charges too), fc2.hdf5 and fc3.hdf5, compact: `phono3py-load` reads them."""
    from phono3py.file_IO import write_fc2_to_hdf5, write_fc3_to_hdf5

    with quiet():
        with replacing(folder / "fc3.hdf5") as temporary:
            write_fc3_to_hdf5(crystal.fc3, filename=str(temporary), p2s_map=crystal.primitive.p2s_map)
        with replacing(folder / "fc2.hdf5") as temporary:
            write_fc2_to_hdf5(
                crystal.fc2,
                filename=str(temporary),
                p2s_map=crystal.phonon_primitive.p2s_map,
                physical_unit="eV/angstrom^2",
            )
        with replacing(folder / "phono3py_disp.yaml") as temporary:
            crystal.save(
                temporary, settings={"force_sets": False, "displacements": False, "force_constants": False}
            )


NAMES = ("phono3py_disp.yaml", "phono3py_params.yaml", "phono3py.yaml")
"""In which phono3py's own program keeps a crystal."""


FORCES = ("fc3.hdf5", "fc2.hdf5", "FORCES_FC3", "FORCES_FC2")


def force_constant_files(folder: Path) -> list[Path]:
    """What `read_phono3py` reads in a folder."""
    crystal = [folder / name for name in NAMES if (folder / name).is_file()][:1]
    return crystal + [folder / name for name in FORCES if (folder / name).is_file()]


def read_phono3py(folder: Path, born: str | Path | None = None) -> Any:
    """A `Phono3py` with force constants, of `write_phono3py` or of phono3py's own files: a YAML, fc2.hdf5 and
    fc3.hdf5, or forces in FORCES_FC3 (and FORCES_FC2) or in the YAML.

    Args:
        folder: of the files; those of the present directory are not looked at.
        born: phonopy's BORN, in place of the charges in the YAML.

    Raises:
        DataError: files are missing or of another crystal.
    """
    folder = folder.absolute()
    there = {path.name: path for path in force_constant_files(folder)}
    file = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if file is None:
        raise DataError(f"{folder}: none of {', '.join(NAMES)} in it; wanted the folder of a hint cubic")
    phono3py = need_phono3py()
    from phono3py.interface.phono3py_yaml import Phono3pyYaml

    with quiet(), _elsewhere():
        try:
            found = phono3py.load(
                file,
                fc3_filename=there.get("fc3.hdf5"),
                fc2_filename=there.get("fc2.hdf5"),
                forces_fc3_filename=there.get("FORCES_FC3"),
                forces_fc2_filename=there.get("FORCES_FC2"),
                is_nac=False,
                log_level=0,
            )
            yaml = Phono3pyYaml()
            yaml.read(file)
        except (RuntimeError, ValueError, KeyError, TypeError, OSError, AssertionError) as error:
            raise DataError(f"{folder}: phono3py cannot read its files ({error})") from error
    if found.fc2 is None or found.fc3 is None:
        missing = "fc3.hdf5" if found.fc3 is None else "fc2.hdf5"
        raise DataError(f"{folder}: no {missing}, and no forces to make it of")
    _check_constants(found, folder)
    if born is not None:
        from phonopy.file_IO import parse_BORN

        with quiet():
            found.nac_params = parse_BORN(found.primitive, filename=str(born))
    elif yaml.nac_params is not None:
        found.nac_params = yaml.nac_params
    return found


LARGEST_DRIFT = 0.2  #: of a sum over atoms that has to vanish, relative to the largest constant


def _check_constants(crystal: Any, folder: Path) -> None:
    """Are they numbers, do they belong together, do translations change nothing? Raises DataError.

    sum over k of Phi_ijk = 0, as a translation of all atoms changes no force. Constants of other programs are
    often not symmetrised, and break it by some per cent.
    """
    kept = _kept_hashes(folder)
    for name in ("fc2.hdf5", "fc3.hdf5"):
        if name in kept and (folder / name).is_file() and file_sha256(folder / name) != kept[name]:
            raise DataError(
                f"{folder / name} is not the file that hint cubic wrote there (cubic.json has its hash). Run "
                "hint cubic again, or take cubic.json away if you mean these constants"
            )
    for order, constants in ((2, crystal.fc2), (3, crystal.fc3)):
        values = np.asarray(constants)
        if not np.isfinite(values).all():
            raise DataError(
                f"{folder}: fc{order} has {np.count_nonzero(~np.isfinite(values))} numbers that are NaN or "
                "infinite. Compute the force constants again"
            )
        largest = float(np.abs(values).max())
        drift = float(np.abs(values.sum(axis=order - 1)).max())
        if largest == 0 or drift > LARGEST_DRIFT * largest:
            raise DataError(
                f"{folder}: a translation of all atoms changes forces: the constants of order {order} add up "
                f"to {drift:.3g}, and the largest of them is {largest:.3g} eV/A^{order}. These are no force "
                "constants of this crystal; compute them again"
            )


def _kept_hashes(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / "cubic.json").read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """In an empty folder: phono3py reads what lies about in the present one."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(here)


def phonopy_of(crystal: Any) -> Phonopy:
    """The `Phonopy` of the harmonic force constants of a `Phono3py`."""
    from phonopy import Phonopy

    with quiet():
        found = Phonopy(
            crystal.unitcell,
            supercell_matrix=crystal.phonon_supercell_matrix
            if crystal.phonon_supercell_matrix is not None
            else crystal.supercell_matrix,
            primitive_matrix=crystal.primitive_matrix,
            symprec=crystal.symmetry.tolerance,
        )
        found.force_constants = crystal.fc2
        if crystal.nac_params is not None:
            found.nac_params = crystal.nac_params
    return found


def write_shengbte(crystal: Any, folder: Path) -> str:
    """FORCE_CONSTANTS_3RD, and FORCE_CONSTANTS_2ND and CONTROL where they can be had.

    Returns:
        why there are no FORCE_CONSTANTS_2ND, "" where there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "FORCE_CONSTANTS_3RD") as temporary, open(temporary, "w") as handle:
        _write_third(handle, list(triplets(crystal)), crystal.primitive.cell)
    try:
        repeats = supercell_repeats(_Cells(crystal.phonon_supercell, crystal.phonon_primitive))  # type: ignore[arg-type]
    except DataError as error:
        return (
            f"no FORCE_CONSTANTS_2ND for ShengBTE: {error}. Give the primitive cell, and the supercell by "
            "three numbers"
        )
    with replacing(folder / "FORCE_CONSTANTS_2ND") as temporary, open(temporary, "w") as handle:
        _write_second(handle, crystal, repeats)
    with replacing(folder / "CONTROL") as temporary:
        Path(temporary).write_text(_control(crystal, repeats))
    return ""


class _Cells:
    """What `supercell_repeats` asks of a `Phonopy`."""

    def __init__(self, supercell: Any, primitive: Any) -> None:
        self.supercell, self.primitive = supercell, primitive


def triplets(crystal: Any) -> Iterator[tuple[NDArray, NDArray, tuple[int, int, int], NDArray]]:
    """(R_j, R_k, (i, j, k), Phi): cells [3] as whole numbers of the primitive vectors, atoms of the primitive
    cell from 0, and the block [3, 3, 3] in eV/A^3.

    Args:
        crystal: a `Phono3py` with compact cubic force constants.
    """
    primitive, supercell = crystal.primitive, crystal.supercell
    inverse = np.linalg.inv(primitive.cell)
    images = np.array(list(np.ndindex(3, 3, 3)), dtype=float) - 1.0
    places = supercell.positions
    number = {int(atom): k for k, atom in enumerate(primitive.p2s_map)}
    owner = np.array([number[int(atom)] for atom in primitive.s2p_map])
    own = places[np.asarray(primitive.p2s_map)]  # of the atoms of the primitive cell
    for i, atom in enumerate(primitive.p2s_map):
        apart = (places - places[atom]) @ np.linalg.inv(supercell.cell)
        apart -= np.rint(apart)
        vectors = (apart[:, None, :] + images) @ supercell.cell  # [N, 27, 3]
        lengths = np.linalg.norm(vectors, axis=2)
        cells = np.rint((vectors + own[i] - own[owner][:, None, :]) @ inverse).astype(int)
        for j in range(len(places)):
            blocks = crystal.fc3[i, j]
            between = np.linalg.norm(vectors[j][:, None, None, :] - vectors[None], axis=3)  # [27, N, 27]
            around = between + lengths[j][:, None, None] + lengths[None]
            for k in np.flatnonzero(np.abs(blocks).max(axis=(1, 2, 3)) > _SHORTEST):
                first, second = np.nonzero(around[:, k] < around[:, k].min() + _SAME)
                for a, b in zip(first, second, strict=True):
                    atoms = (i, int(owner[j]), int(owner[k]))
                    yield cells[j, a], cells[k, b], atoms, blocks[k] / len(first)


def _write_third(handle: TextIO, found: list[Any], cell: NDArray) -> None:
    handle.write(f"{len(found)}\n")
    axes = list(np.ndindex(3, 3, 3))
    for number, (second, third, atoms, block) in enumerate(found, start=1):
        lines = [f"\n{number}"]
        lines += [" ".join(f"{x:.10f}" for x in whole @ cell + 0.0) for whole in (second, third)]
        lines.append(" ".join(str(atom + 1) for atom in atoms))
        lines += [f"{a + 1} {b + 1} {c + 1} {block[a, b, c]:.12e}" for a, b, c in axes]
        handle.write("\n".join(lines) + "\n")


def _write_second(handle: TextIO, crystal: Any, repeats: tuple[int, int, int]) -> None:
    """Of all atoms of n1 x n2 x n3 cells: the cell of the first vector runs fastest, the atom slowest."""
    from phonopy.harmonic.force_constants import compact_fc_to_full_fc

    primitive, supercell = crystal.phonon_primitive, crystal.phonon_supercell
    with quiet():
        full = compact_fc_to_full_fc(primitive, crystal.fc2)
    order = _order(primitive, supercell, repeats)
    handle.write(f"{len(order)} {len(order)}\n")
    for a, i in enumerate(order, start=1):
        for b, j in enumerate(order, start=1):
            rows = (" ".join(f"{x:.15f}" for x in row) for row in full[i, j])
            handle.write(f"{a} {b}\n" + "\n".join(rows) + "\n")


def _order(primitive: Any, supercell: Any, repeats: tuple[int, int, int]) -> list[int]:
    n1, n2, n3 = repeats
    inverse = np.linalg.inv(primitive.cell)
    wanted: dict[tuple[int, ...], int] = {}
    number = {int(atom): k for k, atom in enumerate(primitive.p2s_map)}
    for atom, place in enumerate(supercell.positions):
        home = int(primitive.s2p_map[atom])
        cell = np.rint((place - supercell.positions[home]) @ inverse).astype(int) % repeats
        n1_th, n2_th, n3_th = (int(n) for n in cell)
        wanted[number[home], n3_th, n2_th, n1_th] = atom
    return [wanted[key] for key in np.ndindex(len(number), n3, n2, n1)]


def _control(crystal: Any, repeats: tuple[int, int, int]) -> str:
    """A CONTROL to start from: what follows from the crystal, a mesh, and 300 K."""
    primitive = crystal.phonon_primitive
    elements = list(dict.fromkeys(primitive.symbols))
    lines = [
        "&allocations",
        f"  nelements={len(elements)}, natoms={len(primitive)}, ngrid(:)=11 11 11",
        "&end",
        "&crystal",
        "  lfactor=0.1,",
        *(
            f"  lattvec(:,{k + 1})={' '.join(f'{x:.10f}' for x in row)},"
            for k, row in enumerate(primitive.cell)
        ),
        "  elements=" + " ".join(f'"{one}"' for one in elements) + ",",
        "  types=" + " ".join(str(elements.index(one) + 1) for one in primitive.symbols) + ",",
        *(
            f"  positions(:,{k + 1})={' '.join(f'{x:.10f}' for x in row)},"
            for k, row in enumerate(primitive.scaled_positions)
        ),
    ]
    if crystal.nac_params is not None:
        rows = np.asarray(crystal.nac_params["dielectric"])
        lines += [f"  epsilon(:,{k + 1})={' '.join(f'{x:.8f}' for x in row)}," for k, row in enumerate(rows)]
        for atom, charges in enumerate(np.asarray(crystal.nac_params["born"]), start=1):
            lines += [
                f"  born(:,{k + 1},{atom})={' '.join(f'{x:.8f}' for x in row)},"
                for k, row in enumerate(charges)
            ]
    lines += [
        f"  scell(:)={' '.join(map(str, repeats))}",
        "&end",
        "&parameters",
        "  T=300",
        "&end",
        "&flags",
        f"  nonanalytic=.{'TRUE' if crystal.nac_params is not None else 'FALSE'}.",
        "&end",
    ]
    return "\n".join(lines) + "\n"
