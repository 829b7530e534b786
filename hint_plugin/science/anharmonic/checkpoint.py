"""The state of a run on disk: one file, replaced whole after each population."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.file_io import replacing
from hint_plugin.data.structures.supercells import per_atom
from hint_plugin.errors import DataError, UnknownVersionError
from hint_plugin.science.anharmonic.batched_forces import Evaluated
from hint_plugin.science.anharmonic.ensemble import Population
from hint_plugin.science.anharmonic.minimisation import Step
from hint_plugin.science.anharmonic.self_consistency import PopulationRecord, SschaState
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants

VERSION = 1
_CARRIED = "carried_"


def write_state(path: Path, state: SschaState, about: dict[str, Any]) -> None:
    """`state`, and `about`: what the run was asked for, to be compared when it goes on."""
    arrays = _crystal("", state.constants)
    if state.population is not None:
        population = state.population
        arrays |= _crystal("origin_", population.origin)
        arrays |= {
            "displacements": population.displacements,
            "energies": population.found.energies,
            "forces": population.found.forces,
        }
        if population.found.stresses is not None:
            arrays["stresses"] = population.found.stresses
    if state.last_direction is not None:
        arrays["last_direction"] = state.last_direction
    header = {
        "version": VERSION,
        "about": about,
        "finished": state.finished,
        "temperature": None if state.population is None else state.population.temperature,
        "strain_step": state.strain_step,
        "records": [record.as_dict() for record in state.records],
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with replacing(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **arrays)


def read_state(path: Path) -> tuple[SschaState, dict[str, Any]]:
    """The state and `about`.

    Raises:
        DataError: no such file, or not one of these. UnknownVersionError: of a newer HINT.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays["header"].tobytes())
        version = int(header["version"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not the state of an SSCHA run ({error})") from error
    if version > VERSION:
        raise UnknownVersionError(f"{path}: version {version}; this HINT knows {VERSION}")
    population = None
    if "displacements" in arrays:
        found = Evaluated(arrays["energies"], arrays["forces"], arrays.get("stresses"))
        origin = _read_crystal("origin_", arrays)
        population = Population(origin, header["temperature"], arrays["displacements"], found)
    state = SschaState(
        constants=_read_crystal("", arrays),
        records=[_record(record) for record in header["records"]],
        finished=header["finished"],
        population=population,
        strain_step=header["strain_step"],
        last_direction=arrays.get("last_direction"),
    )
    return state, header["about"]


def _crystal(prefix: str, constants: ForceConstants) -> dict[str, Any]:
    atoms = constants.atoms
    return {
        f"{prefix}numbers": atoms.numbers,
        f"{prefix}positions": atoms.positions,
        f"{prefix}cell": atoms.cell.array,
        f"{prefix}masses": atoms.get_masses(),
        f"{prefix}blocks": constants.blocks,
        **{f"{prefix}{_CARRIED}{name}": values for name, values in carried(atoms).items()},
    }


def carried(atoms: Atoms) -> dict[str, Any]:
    """Moments, charges, tags and others of the atoms, besides their masses."""
    return {name: values for name, values in per_atom(atoms).items() if name != "masses"}


def _read_crystal(prefix: str, arrays: dict[str, Any]) -> ForceConstants:
    atoms = Atoms(
        arrays[f"{prefix}numbers"],
        positions=arrays[f"{prefix}positions"],
        cell=arrays[f"{prefix}cell"],
        masses=arrays[f"{prefix}masses"],
        pbc=True,
    )
    for name, values in arrays.items():
        if name.startswith(f"{prefix}{_CARRIED}"):
            atoms.set_array(name.removeprefix(f"{prefix}{_CARRIED}"), values)
    return ForceConstants(atoms, arrays[f"{prefix}blocks"])


def _record(values: dict[str, Any]) -> PopulationRecord:
    stress = values["stress"]
    return PopulationRecord(
        **{
            **values,
            "steps": tuple(Step(**step) for step in values["steps"]),
            "stress": None if stress is None else np.array(stress),
        }
    )
