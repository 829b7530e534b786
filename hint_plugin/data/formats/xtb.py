"""The file `hessian` of `xtb --hess`, with the geometry, energy and gradient beside it.

Layout: a line `$hessian`, then the 9 N^2 elements in hartree/bohr^2, row by row, over several lines each; the
format of TURBOMOLE, whose files are read too. The geometry is not in it: it is taken from `xtbopt.*`
(`--ohess`), `coord`, or the only .xyz there, or named by the option `geometry`. Where another structure of
these atoms lies there (`xtbopt.xyz` may be that of an earlier run), the one counts whose rotations are not in
the Hessian; if that is not the one guessed, or not certain, it is refused. A file `gradient` of the same
geometry and elements (`--grad`) gives energy and forces.

xtb projects translations and rotations out of what it writes. At a minimum that changes nothing; elsewhere
the matrix is not the second derivative of the energy: for ethanol displaced by 0.03 A elements differ by up
to 0.44 eV/A^2. Label such geometries by `hint label`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

from hint_plugin.data.file_io import text_of, without_mark
from hint_plugin.data.formats import xyz
from hint_plugin.data.formats.common import READ_ERRORS, first_bytes, labelled, reading
from hint_plugin.errors import DataError, LabelWarning

STATIONARY = 0.05  # eV/A: above, the projection of rotations shows
SAME_GEOMETRY = 1e-4  # A
_TURNED = 0.01  # eV/A^2: what a projected Hessian gives at most; a geometry 0.001 A away gives 0.03
_BESIDE = ("xtbopt.xyz", "xtbopt.coord", "coord")


def read(path: Path, *, geometry: str | None = None) -> Iterator[Atoms]:
    """One frame.

    Args:
        path: the file `hessian`.
        geometry: the file of the structure, .xyz or TURBOMOLE's coord, where it cannot be guessed.

    Raises:
        DataError: truncated, no geometry or more than one, another number of atoms.
    """
    if not first_bytes(path, 200).lstrip().lower().startswith("$hessian"):
        raise DataError(f"{path}: no Hessian of xtb, it does not begin with $hessian")
    structure = _find(path) if geometry is None else Path(geometry)
    with reading(structure, 0, "a structure as .xyz or TURBOMOLE's coord"):
        atoms = _structure(structure, named=geometry is not None)
    with reading(path, 0, f"{9 * len(atoms) ** 2} numbers, for the {len(atoms)} atoms of {structure.name}"):
        lines = text_of(path).splitlines()[1:]
        words = " ".join(line for line in lines if not line.startswith("$")).split()
        hessian = np.array(words, dtype=float) * Hartree / Bohr**2
        if hessian.size == 9 * len(atoms) ** 2 and geometry is None:
            _check_others(path, structure, atoms, hessian.reshape(3 * len(atoms), -1))
        energy, forces = _gradient(path.with_name("gradient"), atoms)
        labelled(atoms, "xtb-hessian", energy=energy, forces=forces, hessian=hessian, engine="xtb")
    if forces is not None and np.abs(forces).max() > STATIONARY:
        warnings.warn(
            f"{path}: forces of up to {np.abs(forces).max():.2g} eV/A, and xtb projects rotations out of its "
            "Hessian: it is no second derivative of the energy there. Label the structure by hint label.",
            LabelWarning,
            stacklevel=2,
        )
    yield atoms


def members(path: Path) -> list[Path]:
    """The files that `read` reads."""
    gradient = path.with_name("gradient")
    return [path, _find(path), *([gradient] if gradient.is_file() else [])]


def _find(path: Path) -> Path:
    for name in _BESIDE:
        if (path.parent / name).is_file():
            return path.parent / name
    found = sorted(path.parent.glob("*.xyz"))
    if len(found) != 1:
        have = ", ".join(file.name for file in found) or "none"
        raise DataError(
            f"{path}: the structure is in another file; wanted {', '.join(_BESIDE)} or one .xyz beside it "
            f"(there: {have}). Name it by the option geometry"
        )
    return found[0]


def _check_others(path: Path, structure: Path, atoms: Atoms, hessian: NDArray[np.float64]) -> None:
    """Refuse a guess where another structure of the folder is, or could be, the Hessian's."""
    beside = [path.parent / name for name in _BESIDE if (path.parent / name).is_file()]
    others = {}
    for other in [*beside, *sorted(path.parent.glob("*.xyz"))]:
        if other == structure:
            continue
        try:
            found = _structure(other, named=True)
        except (*READ_ERRORS, DataError):
            continue  # no structure
        same = np.array_equal(found.numbers, atoms.numbers)
        if same and np.abs(found.positions - atoms.positions).max() > SAME_GEOMETRY:
            others[other.name] = found
    fits = [name for name, found in others.items() if _is_projected(hessian, found)]
    if others and (fits or not _is_projected(hessian, atoms)):
        names = fits or list(others)
        raise DataError(
            f"{path}: {structure.name} and {', '.join(names)} are of these atoms and differ, and the Hessian "
            f"may well be of {names[0]}. Name the right one by the option geometry"
        )


def _is_projected(hessian: NDArray[np.float64], atoms: Atoms) -> bool:
    """Whether turning this structure gives no forces, as where rotations were projected out there."""
    arms = atoms.positions - atoms.positions.mean(axis=0)
    turns = np.array([np.cross(axis, arms).ravel() for axis in np.eye(3)])
    return bool(np.abs(hessian @ turns.T).max() < _TURNED * max(1.0, np.abs(turns).max()))


def _structure(path: Path, named: bool = False) -> Atoms:
    """The structure of a file; of several frames only where the file was `named`, the last one."""
    if path.suffix == ".xyz":
        try:
            if not named and (frames := xyz.count(path)) > 1:
                raise ValueError(
                    f"{frames} structures, and the Hessian is of one. Name a file with that one by the "
                    "option geometry"
                )
            (atoms,) = xyz.select(path, -1)
        except DataError:  # a comment line that looks like key=value, and is none
            atoms = _by_ase(path, "xyz")
    else:
        atoms = _by_ase(path, "turbomole")
    return Atoms(atoms.numbers, atoms.positions)


def _by_ase(path: Path, kind: str) -> Atoms:
    import ase.io

    with without_mark(path) as text:
        found: Any = ase.io.read(text, format=kind)
    return found


def _gradient(path: Path, atoms: Atoms) -> tuple[float | None, Any]:
    """(energy, forces) in eV and eV/A out of TURBOMOLE's `gradient`, if it is of this geometry."""
    if not path.is_file():
        return None, None
    with reading(path, 0, "energy and gradient in TURBOMOLE's format"):
        lines = text_of(path).splitlines()
        start = max(number for number, line in enumerate(lines) if "SCF energy" in line)
        energy = float(lines[start].split("SCF energy =")[1].split()[0])
        n = len(atoms)
        body = lines[start + 1 : start + 1 + 2 * n]
        geometry = np.array([line.split()[:3] for line in body[:n]], dtype=float) * Bohr
        elements = [line.split()[3].lower() for line in body[:n] if len(line.split()) > 3]
        if elements and elements != [symbol.lower() for symbol in atoms.symbols]:
            return None, None
        values = [line.replace("D", "E").split()[:3] for line in body[n:]]
        if len(body) != 2 * n or np.abs(geometry - atoms.positions).max() > SAME_GEOMETRY:
            return None, None
        return energy * Hartree, -np.array(values, dtype=float) * Hartree / Bohr
