"""Which energy, forces and stress a frame has: the one answer for `stats`, `check`, `evaluate` and `sample`.

They lie under the names of `LabelKeys` (`REF_energy`, ...), or under ASE's own, `energy`, `forces` and
`stress`, which ASE's readers put into a calculator instead of `info` and `arrays`. ASE's names count where a
frame has none of the three `REF_` names: the two may be of different methods, and are never mixed within a
frame.
Of a calculator's two energies the one counts whose derivative the forces are: `free_energy`, which with
smearing differs from `energy` (extrapolated to none).
Trainers want the `REF_` names; `hint dataset convert` renames (`rename_line` is the command).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from hint_plugin.data.file_io import bare_name
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.real_numbers import real_numbers
from hint_plugin.errors import LabelError

ASE_NAMES = ("energy", "forces", "stress")
FREE_ENERGY = "free_energy"
SIGMA0 = "energy_sigma0"
"""Key of `info` that keeps ASE's `energy` where `free_energy` is the label, as of VASP's files."""
DEFAULT_KEYS = LabelKeys()
_SAME = 1e-8  # eV, between energies that are one
_SHOWN = 60  # characters of a value in a message
_WANTED = "numbers, which stand behind `key=` in a comment line and in columns of type R"


@dataclass(frozen=True)
class FrameLabels:
    """What is known of a frame besides its Hessian.

    Attributes:
        energy: total energy, eV.
        forces: [N, 3], eV/A.
        stress: [6], ASE's Voigt order and sign, eV/A^3.
        ase: those of `ASE_NAMES` under which the values above were found; empty where the names are those of
            `LabelKeys`.
        stress_asymmetry: largest difference between two elements that should be equal, over the largest
            element; `stress` is their mean.
        other_energy: ASE's `energy`, eV, where `energy` above is its `free_energy` and differs.
        ignored: those of `ASE_NAMES` that the frame has as well, and that do not count.
    """

    energy: float | None = None
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    ase: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    stress_asymmetry: float = 0.0
    other_energy: float | None = None


def frame_labels(atoms: Atoms, keys: LabelKeys = DEFAULT_KEYS) -> FrameLabels:
    """Energy, forces and stress of a frame.

    Args:
        atoms: the frame.
        keys: names to look under first; one that is itself among ASE's (`energy`) means ASE's.

    Raises:
        LabelError: a wrong shape, no numbers, NaN or infinity; with the name, without file and frame.
    """
    if found := malformed(atoms, keys):
        raise LabelError(found[0])
    named, own = _named(atoms, keys), of_ase(atoms)
    raw = named or own
    stress = raw.get("stress")
    return FrameLabels(
        float(np.asarray(raw["energy"], dtype=float).reshape(())) if "energy" in raw else None,
        np.asarray(raw["forces"], dtype=float) if "forces" in raw else None,
        None if stress is None else _voigt(np.asarray(stress, dtype=float)),
        () if named else tuple(own),
        tuple(own) if named and not _asked_for(keys) else (),
        0.0 if stress is None else _asymmetry(np.asarray(stress, dtype=float)),
        None if named and not _asked_for(keys) else _other_energy(atoms),
    )


def malformed(atoms: Atoms, keys: LabelKeys = DEFAULT_KEYS) -> list[str]:
    """What is wrong with energy, forces and stress, under either name; nothing is raised."""
    found = []
    for name, what, raw in _all(atoms, keys):
        shapes = {"energy": ((), (1,)), "forces": ((len(atoms), 3),), "stress": ((6,), (3, 3), (9,))}[what]
        try:
            value = real_numbers(raw)
        except (TypeError, ValueError):
            shown = repr(raw) if len(repr(raw)) < _SHOWN else f"{type(raw).__name__} of {np.shape(raw)}"
            found.append(f"{name} is {shown}; wanted {_WANTED}. Relabel the frame or remove the key")
            continue
        if value.shape not in shapes:
            found.append(
                f"{name} has shape {value.shape}; wanted {shapes[0]}. Relabel the frame or remove the key"
            )
        elif not np.isfinite(value).all():
            found.append(f"{name} holds NaN or infinity. Relabel the frame or remove the key")
    return found


def rename_ase_labels(atoms: Atoms, keys: LabelKeys = DEFAULT_KEYS) -> bool:
    """Move what counts under ASE's names to those of `keys`, in place; False where there is nothing to move.

    Other results of the calculator (dipole, charges, ...) stay where they are.

    Raises:
        LabelError: as `frame_labels`.
    """
    found = frame_labels(atoms, keys)
    if not found.ase or _asked_for(keys):
        return False
    drop_ase_labels(atoms)
    if found.energy is not None:
        atoms.info[keys.energy] = found.energy
    if found.other_energy is not None:
        atoms.info.setdefault(SIGMA0, found.other_energy)
    if found.forces is not None:
        atoms.arrays[keys.forces] = found.forces.copy()
    if found.stress is not None:
        atoms.info[keys.stress] = found.stress
    return True


def has_ase_labels(atoms: Atoms) -> bool:
    """Whether a frame has any of `ASE_NAMES`."""
    return bool(of_ase(atoms))


def drop_ase_labels(atoms: Atoms) -> None:
    """Remove energy, forces and stress of a calculator that only holds results; the others stay."""
    if isinstance(atoms.calc, SinglePointCalculator):
        rest = {
            name: value for name, value in atoms.calc.results.items() if name not in (*ASE_NAMES, FREE_ENERGY)
        }
        atoms.calc = SinglePointCalculator(atoms, **rest) if rest else None


def rename_line(path: str | Path) -> str:
    """The command that renames ASE's `energy`, `forces`, `stress` of a file, for messages to quote.

    A store (.h5) becomes a store; all other formats become .xyz.
    """
    source = Path(path)
    name = bare_name(source)
    suffix = Path(name).suffix if name.endswith((".h5", ".hdf5")) else ".xyz"
    target = source.parent / f"{Path(source.name[: len(name)]).stem}-ref{suffix}"
    return shlex.join(["hint", "dataset", "convert", str(source), "-o", str(target)])


def _all(atoms: Atoms, keys: LabelKeys) -> Iterator[tuple[str, str, Any]]:
    """(name, which of the three, raw value) of all that is there."""
    names = {"energy": keys.energy, "forces": keys.forces, "stress": keys.stress}
    named, own = _named(atoms, keys), of_ase(atoms)
    yield from ((names[what], what, raw) for what, raw in named.items())
    yield from ((what, what, raw) for what, raw in own.items() if names[what] != what)


def _named(atoms: Atoms, keys: LabelKeys) -> dict[str, Any]:
    own, found = of_ase(atoms), {}
    for what, name, store in (
        ("energy", keys.energy, atoms.info),
        ("forces", keys.forces, atoms.arrays),
        ("stress", keys.stress, atoms.info),
    ):
        if name in store:
            found[what] = store[name]
        elif name == what and what in own:
            found[what] = own[what]
    return found


def of_ase(atoms: Atoms) -> dict[str, Any]:
    """What a calculator holds of `ASE_NAMES`; the energy is `free_energy` where it is there."""
    results = getattr(atoms.calc, "results", None) or {}
    found = {name: results[name] for name in ASE_NAMES if results.get(name) is not None}
    free = results.get(FREE_ENERGY)
    return found if free is None else {**found, "energy": free}


def _other_energy(atoms: Atoms) -> float | None:
    results = getattr(atoms.calc, "results", None) or {}
    try:
        energy, free = (float(real_numbers(results[name]).reshape(())) for name in ("energy", FREE_ENERGY))
    except (KeyError, TypeError, ValueError):
        return None
    return energy if abs(energy - free) > _SAME else None


def _asked_for(keys: LabelKeys) -> bool:
    return any(name in ASE_NAMES for name in (keys.energy, keys.forces, keys.stress))


def _asymmetry(stress: NDArray[np.float64]) -> float:
    if stress.shape == (6,) or not stress.any():
        return 0.0
    matrix = stress.reshape(3, 3)
    return float(np.abs(matrix - matrix.T).max() / np.abs(matrix).max())


def _voigt(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    if stress.shape == (6,):
        return stress
    matrix = stress.reshape(3, 3)
    return 0.5 * (matrix + matrix.T)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
