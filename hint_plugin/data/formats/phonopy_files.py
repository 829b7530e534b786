"""phonopy's files, read by phonopy: the supercell with its force constants as a Hessian label.

Read are `phonopy*.yaml` (also .xz, .gz, .bz2) with force constants or with displacements and forces inside,
as in the MDR phonon database and PBE-MDR; FORCE_CONSTANTS, force_constants.hdf5 and FORCE_SETS with a
`phonopy*.yaml`, an SPOSCAR (full force constants only), or a POSCAR and the option `supercell` beside them;
and folders of these. Units are those of the calculator named in the YAML, as phonopy keeps them: bohr,
Ry/bohr^2, ... become A and eV/A^2.

    H[(i a), (j b)] = Phi(i a, j b)            full:    [n_super, n_super] force constants
    H[(i a), :]     = Phi(i a, : :)            compact: [n_prim, n_super], rows of the primitive cell's atoms

Force constants from forces are phonopy's, with the symmetry of the crystal and the sum rules. Positions are
those of the perfect supercell, so the frame has no energy and no forces, which phonopy does not keep; the
displaced supercells with their forces come by the option `displaced`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.file_io import without_mark
from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.data.formats.phonopy_search import Sources, find_sources, recognise
from hint_plugin.data.formats.phonopy_writer import write
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.errors import DataError
from hint_plugin.optional import load

__all__ = ["read", "recognise", "write"]


def read(
    path: Path,
    *,
    full: bool | None = None,
    displaced: bool = False,
    supercell: Sequence[int] | str | None = None,
) -> Iterator[Atoms]:
    """The supercell with its Hessian label, then, if wanted, the displaced supercells with forces.

    Args:
        path: one of phonopy's files, or a folder.
        full: True: the square matrix, by the translations of the crystal; False: the rows of the primitive
            cell; None: as the file has it (rows, where force constants are made from forces).
        displaced: the displaced supercells and their forces too, where the files have them.
        supercell: how often the cell is repeated, (2, 2, 2) or "2 2 2", or a 3 x 3 matrix; for a POSCAR
            beside FORCE_SETS only.

    Raises:
        DataError: no force constants and no forces, no structure, or damaged.
        MissingDependencyError: phonopy is not installed.
    """
    load("phonopy", "phonons", f"{path} needs phonopy")
    sources = find_sources(path)
    if sources.structure is not None and sources.structure.name.startswith("SPOSCAR"):
        yield _from_sposcar(sources)
        return
    want_full = sources.stored_full if full is None else full
    with reading(path, 0, "what phonopy writes"), _quiet():
        phonon = _load(sources, want_full, supercell)
        constants = phonon.force_constants
        if constants is None:
            raise DataError(f"{path}: no force constants and no forces, in it or beside it")
        units = _units(phonon.calculator)
        atoms = _atoms(phonon.supercell, units)
        label = _label(constants * _to_ev_per_a2(phonon.calculator), phonon.primitive.p2s_map, len(atoms))
        labelled(atoms, "phonopy", hessian=label, **label.provenance)
    yield atoms
    if displaced:
        yield from _displaced(path, phonon, units)


def members(path: Path) -> list[Path]:
    """The files that `read` reads."""
    found = find_sources(path)
    parts = (found.yaml, found.structure, found.constants, found.sets)
    return [part for part in parts if part is not None]


def _load(sources: Sources, full: bool, supercell: Sequence[int] | str | None) -> Any:
    import phonopy

    # phonopy looks for files of its names in the working folder; naming one here, or knowing that the YAML is
    # complete, keeps it from that
    files: dict[str, Any] = {}
    if sources.constants is not None:
        files["force_constants_filename"] = str(sources.constants)
    elif sources.sets is not None:
        files["force_sets_filename"] = str(sources.sets)
    if sources.yaml is not None:
        structure: dict[str, Any] = {"phonopy_yaml": str(sources.yaml)}
    else:
        if supercell is None:
            raise DataError(
                f"{sources.structure}: how often it is repeated is not in the files; give the "
                "option supercell, as '2 2 2'"
            )
        words = supercell.split() if isinstance(supercell, str) else supercell
        matrix = np.array(words, dtype=int)
        matrix = matrix.reshape(3, 3) if matrix.size == 9 else matrix
        structure = {"unitcell_filename": str(sources.structure), "supercell_matrix": matrix}
    return phonopy.load(**structure, **files, is_nac=False, is_compact_fc=not full, log_level=0)


def _label(constants: np.ndarray, primitive: Any, n_atoms: int) -> HessianLabel:
    rows, columns = constants.shape[:2]
    if columns != n_atoms or rows not in (n_atoms, len(primitive)):
        raise ValueError(f"force constants of {rows} x {columns} atoms for a supercell of {n_atoms}")
    matrix = constants.transpose(0, 2, 1, 3).reshape(3 * rows, 3 * columns)
    provenance = {"engine": "phonopy"}
    if rows == n_atoms:
        return HessianLabel.full(matrix, n_atoms=n_atoms, provenance=provenance)
    return HessianLabel.rows(matrix, primitive, n_atoms, provenance=provenance)


def _displaced(path: Path, phonon: Any, units: Any) -> Iterator[Atoms]:
    dataset = phonon.dataset or {}
    if "first_atoms" in dataset:  # one atom at a time
        steps = dataset["first_atoms"]
        forces: Any = [step.get("forces") for step in steps]
        energies: Any = [step.get("supercell_energy") for step in steps]
    else:
        forces = dataset.get("forces")
        energies = dataset.get("supercell_energies")
    cells = phonon.supercells_with_displacements
    if cells is None or forces is None:
        raise DataError(f"{path}: no displaced supercells with forces; leave the option displaced away")
    for number, (cell, values) in enumerate(zip(cells, forces, strict=True)):
        if cell is None or values is None:
            continue
        with reading(path, number + 1):
            atoms = _atoms(cell, units)
            energy = None if energies is None else energies[number]
            energy = None if energy is None else energy * units.energy_to_eV
            forces = np.asarray(values) * units.force_to_eVperA
            labelled(atoms, "phonopy", energy=energy, forces=forces, engine="phonopy")
        yield atoms


def _from_sposcar(sources: Sources) -> Atoms:
    import ase.io
    from phonopy.file_IO import parse_FORCE_CONSTANTS, read_force_constants_hdf5

    structure, constants = sources.structure, sources.constants
    if structure is None or constants is None:
        raise DataError(f"{structure}: no FORCE_CONSTANTS beside it")
    with reading(structure, 0):
        with without_mark(structure) as text:
            read_atoms: Any = ase.io.read(text, format="vasp")
        atoms = Atoms(read_atoms.numbers, read_atoms.positions, cell=read_atoms.cell, pbc=True)
    with reading(constants, 0):
        parse: Any = read_force_constants_hdf5 if constants.suffix == ".hdf5" else parse_FORCE_CONSTANTS
        values = parse(filename=str(constants))
        if values.shape[:2] != (len(atoms), len(atoms)):
            raise DataError(
                f"{constants}: force constants of {values.shape[0]} x {values.shape[1]} atoms, and "
                f"{structure.name} has {len(atoms)}; compact ones need a phonopy.yaml beside them"
            )
        label = _label(values, (), len(atoms))
        return labelled(atoms, "phonopy", hessian=label, **label.provenance)


def _atoms(cell: Any, units: Any) -> Atoms:
    scale = units.distance_to_A
    found = Atoms(
        cell.symbols,
        cell=np.asarray(cell.cell) * scale,
        scaled_positions=cell.scaled_positions,
        masses=cell.masses,
        pbc=True,
    )
    if cell.magnetic_moments is not None:
        found.set_initial_magnetic_moments(cell.magnetic_moments)
    return found


def _units(calculator: str | None) -> Any:
    from phonopy.physical_units import get_calculator_physical_units

    return get_calculator_physical_units(calculator)


def _to_ev_per_a2(calculator: str | None) -> float:
    """Factor from the calculator's unit of force constants to eV/A^2."""
    from phonopy.interface.calculator import get_force_constant_conversion_factor

    return 1.0 / get_force_constant_conversion_factor("eV/angstrom^2", calculator)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without phonopy's remarks about its own versions; damaged YAML as any other damaged text."""
    import yaml

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except yaml.YAMLError as error:
            raise ValueError(str(error).replace("\n", ", ")) from error
