"""A run in a folder: begun, or gone on with where it was stopped."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.errors import OptionsError
from hint_plugin.potentials.identity import identity_change, identity_of
from hint_plugin.science.anharmonic.checkpoint import carried, read_state, write_state
from hint_plugin.science.anharmonic.crystal_symmetry import check_supercell
from hint_plugin.science.anharmonic.self_consistency import (
    PopulationForces,
    Silence,
    SschaSettings,
    SschaState,
    Watcher,
    begin,
    relax,
)
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants
from hint_plugin.science.same_structure import compare_crystals

STATE = "state.npz"
_FREE = ("populations",)


class _Keeper:
    """Writes every valid state, and tells another watcher everything."""

    def __init__(self, path: Path, about: dict[str, Any], other: Watcher) -> None:
        self._path, self._about, self._other = path, about, other
        self.evaluated, self.stepped = other.evaluated, other.stepped

    def finished_population(self, state: SschaState) -> None:
        write_state(self._path, state, self._about)
        self._other.finished_population(state)


def run(
    folder: Path,
    start: ForceConstants,
    engine: PopulationForces,
    settings: SschaSettings,
    watcher: Watcher | None = None,
) -> SschaState:
    """`relax` with its state kept in `folder`; a folder with the state of the same run is gone on with.

    Raises:
        OptionsError: the folder holds a run from another start, with other settings, or with forces of
            another potential. More populations are not another setting. Or the supercell breaks the symmetry
            of the crystal. Otherwise as `relax`.
    """
    check_supercell(start.atoms, start.repeats, settings.precision)
    path, about = folder / STATE, _about(start, settings, forces_of(engine))
    if path.exists():
        state, before = read_state(path)
        _same(path, before, about, compare_crystals(start.atoms, state.constants.atoms).difference)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        state = begin(start, settings)
    return relax(state, engine, settings, _Keeper(path, about, watcher or Silence()))


def keep_state(
    folder: Path,
    start: ForceConstants,
    state: SschaState,
    settings: SschaSettings,
    forces: Mapping[str, Any] | None = None,
) -> None:
    """Write a state with which `run` goes on; `forces` of `forces_of`."""
    write_state(folder / STATE, state, _about(start, settings, forces or {}))


def forces_of(engine: PopulationForces) -> dict[str, Any]:
    """What gives the forces of a run, and whether it gives stresses: a state goes on with the same alone."""
    potential = identity_of(getattr(engine, "calculator", engine))
    return {"potential": potential, "stress": bool(getattr(engine, "stress", False))}


def fingerprint(constants: ForceConstants) -> str:
    """A hash of the crystal and its force constants, to ten digits."""
    digest = hashlib.sha256()
    atoms = constants.atoms
    for values in (atoms.numbers, atoms.cell.array, atoms.positions, atoms.get_masses(), constants.blocks):
        digest.update(np.round(np.asarray(values, dtype=float) + 0.0, 6).tobytes())
    for name, array in sorted(carried(atoms).items()):
        digest.update(name.encode() + np.asarray(array).astype(str).tobytes())
    return digest.hexdigest()


def _about(start: ForceConstants, settings: SschaSettings, forces: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is told by."""
    return {"start": fingerprint(start), "settings": settings.as_dict(), **forces}


def _same(path: Path, before: dict[str, Any], now: dict[str, Any], difference: str) -> None:
    """Refuse to go on with another run; `difference` of its crystal, in words, "" for none."""
    if before["start"] != now["start"]:
        words = f" ({difference})" if difference else ""
        raise OptionsError(
            f"{path} is of a run from other force constants or masses{words}; remove it, or name another "
            "folder"
        )
    other = [
        f"{key} {before['settings'].get(key)} (now {value})"
        for key, value in now["settings"].items()
        if key not in _FREE and before["settings"].get(key) != value
    ]
    if other:
        raise OptionsError(
            f"{path} is of a run with {', '.join(other)}; go on with the same, or name another folder"
        )
    if "potential" not in before:
        warnings.warn(
            f"{path} is of an earlier version, and does not say what gave its forces: whether they are those "
            "of this potential cannot be told",
            stacklevel=3,
        )
        return
    if changed := identity_change(before["potential"], now["potential"]):
        raise OptionsError(
            f"{path} is of a run with forces of another potential ({changed}); go on with the same, name "
            f"another folder, or remove {path.name} to begin anew"
        )
    if before["stress"] != now["stress"]:
        then, here = ("with", "without") if before["stress"] else ("without", "with")
        raise OptionsError(
            f"{path} is of a run {then} stresses, and this one is {here} (--stress, --no-stress); go "
            f"on with the same, name another folder, or remove {path.name} to begin anew"
        )
