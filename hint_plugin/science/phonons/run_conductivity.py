"""What `hint conductivity` does, as a function: lattice thermal conductivity of a crystal.

    structure --hint cubic--> force constants --phono3py, mesh by mesh--> kappa(T), modes, comparison

With an output, force constants and finished meshes are kept while the run lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.data.provenance import identity, of_structures
from hint_plugin.data.structures.unit_cell import given_crystal, name_of, quiet, short_name_of, to_ase
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.parallel import Reported, journal_in, keep
from hint_plugin.parallel.batch import asked_for
from hint_plugin.parallel.journal import Journal
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.science.given_potential import potential_run_provenance
from hint_plugin.science.phonons.carried_properties import space_group
from hint_plugin.science.phonons.conductivity_result import Conductivity, sequence_of
from hint_plugin.science.phonons.crystals import Supercell
from hint_plugin.science.phonons.cubic_files import (
    force_constant_files,
    need_phono3py,
    phonopy_of,
    read_phono3py,
)
from hint_plugin.science.phonons.differences import IMAGINARY
from hint_plugin.science.phonons.heat_conduction import (
    Conduction,
    ModeReference,
    compare_modes,
    conduct,
    read_modes,
)
from hint_plugin.science.phonons.run_cubic import Structure, cubic
from hint_plugin.science.phonons.strained_cells import softest_mode

SOLUTIONS = ("rta", "direct")
TEMPERATURES = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0)
MESHES = (30.0, 40.0)
_FORCE_CONSTANTS, _FIRST_MESH = 0, 1  # lines of the journal


def conductivity(
    structure: Structure,
    potential: Any = None,
    output: str | Path | None = None,
    *,
    temperature: float | Sequence[float] = TEMPERATURES,
    mesh: float | Sequence[float] = MESHES,
    tolerance: float = 0.05,
    solution: str = "rta",
    isotopes: bool = False,
    wigner: bool = True,
    boundary: float | None = None,
    reference: str | Path | None = None,
    supercell: Supercell | None = None,
    phonon_supercell: Supercell | None = None,
    cutoff: float | None = None,
    relax: str = "no",
    fmax: float = 1e-3,
    method: str = "best",
    step: float | None = None,
    born: str | Path | None = None,
    precision: float = 1e-5,
    device: str = "cpu",
    jobs: int = 1,
    parsl: str | Path | None = None,
    restart: bool = False,
    report: Any = None,
) -> Conductivity:
    """Lattice thermal conductivity of a crystal, by phono3py (equations: `heat_conduction`).

    Args:
        structure: one unit cell, whose force constants are computed as `run_cubic.cubic` does; or a folder
            with those of `hint cubic`, or phono3py's files, which needs no potential.
        potential: see `cubic`; None with a folder.
        output: folder of the results, written as `hint conductivity` does; None writes nothing.
        temperature: K, one or several.
        mesh: of q points, as a length in A; several are compared.
        tolerance: how far the two finest meshes may be apart, relative.
        solution: "rta": relaxation times; "direct": the linearised Boltzmann equation too.
        isotopes: scatter at isotopes of natural abundance.
        wigner: add the coherences.
        boundary: micrometres, a mean free path that ends at walls.
        reference: a folder of a `conductivity`, its modes.hdf5, or phono3py's kappa-*.hdf5, to compare modes
            with; its mesh is computed, too.
        supercell, phonon_supercell, cutoff, relax, fmax, method, step, born: of the force constants, see
            `cubic`.
        precision: within which symmetry is found, A.
        device: where a model that is given by its file or name runs: cpu, cuda.
        jobs, parsl, restart: see `cubic`.
        report: called with (done, failed, total); see `parallel.Reported`.

    Raises:
        OptionsError: options that cannot be. DataError: no crystal, imaginary modes, or files of another
        crystal. EngineError: see `cubic`. MissingDependencyError: no phono3py. InterruptedRunError: stopped.
    """
    asked = asked_for(locals())
    content = ("structure", "device", "born", "reference")  # counts by `identity`, or not at all
    asked = {name: x for name, x in asked.items() if name not in content}
    place, display = a_folder(as_path(output)), Reported(report)
    lengths, temperatures = _checked(mesh, temperature, tolerance, solution, boundary)
    theirs = None if reference is None else read_modes(Path(reference))
    folder = None if isinstance(structure, Atoms) or not Path(structure).is_dir() else Path(structure)
    if folder is None:
        given_crystal(structure)  # or there is nothing to make a folder for
    calculator = _calculator(folder, potential, device)
    read = None if folder is None else read_phono3py(folder, born)
    need_phono3py()
    inputs: Sequence[Any] = (structure,) if folder is None else force_constant_files(folder)
    origin = potential_run_provenance(calculator, (*inputs, born, _a_file(reference)))
    if isinstance(structure, Atoms):
        origin["data"].append(of_structures([structure]))
    told = {} if potential is None else OnDemand.of(potential, device).asked()
    run = {"verb": "conductivity", **asked, **told, **identity(origin), "folder": str(folder or "")}
    with ExitStack() as stack:
        journal = stack.enter_context(journal_in(place, "conductivity"))
        kept = stack.enter_context(
            keep(journal, run, lambda so_far: _stopped(so_far, journal), restart=restart)
        )
        if read is not None:
            formula = to_ase(read.unitcell).symbols.formula.reduce()[0]
            forces = Forces(read, (), str(formula))
        elif place is not None and _FORCE_CONSTANTS in kept:
            forces = Forces(
                read_phono3py(place), tuple(kept[_FORCE_CONSTANTS]["notes"]), short_name_of(structure)
            )
        else:
            found = cubic(
                structure, potential, place, supercell=supercell, phonon_supercell=phonon_supercell,
                cutoff=cutoff, relax=relax, fmax=fmax, method=method, step=step, born=born,
                precision=precision, device=device, jobs=jobs, parsl=parsl, restart=restart, report=report,
            )  # fmt: skip
            forces = Forces(found.crystal, tuple(found.notes), short_name_of(structure))
            kept.add(_FORCE_CONSTANTS, {"notes": list(found.notes)})
        numbers = _numbers(forces.crystal, lengths, theirs)
        if max(numbers[-1]) == 1:
            raise OptionsError(
                f"--mesh {lengths[-1]:g} A is one q point here, Gamma, where no wave carries heat; "
                "wanted a larger number, as 30"
            )
        _refuse_imaginary(forces.crystal, numbers[-1])
        options = {
            "direct": solution == "direct", "isotopes": isotopes, "wigner": wigner, "boundary": boundary
        }  # fmt: skip
        meshes = [
            _on_mesh(forces.crystal, k, numbers, temperatures, options, kept, display)
            for k in range(len(numbers))
        ]
        wanted = [
            n for n in numbers if theirs is None or n != theirs.mesh or n in _of_lengths(forces, lengths)
        ]
        errors: list[dict[str, float]] = []
        if theirs is not None:
            same = next(one for one in meshes if one.mesh == theirs.mesh)
            errors = compare_modes(same, theirs)
        result = Conductivity(
            name=forces.name,
            meshes=tuple(one for one in meshes if one.mesh in wanted),
            tolerance=tolerance,
            about={
                "structure": name_of(structure) if folder is None else str(folder),
                "space_group": space_group(to_ase(forces.crystal.unitcell), precision),
                "solution": solution,
                "isotopes": isotopes,
                "wigner": wigner,
                "boundary": None if boundary is None else float(boundary),
                "provenance": origin,
            },
            force_notes=forces.notes,
            errors=tuple(errors),
            compared=None if theirs is None else theirs.mesh,
        )
        if place is not None:
            result.write(place)
    return result


@dataclass(frozen=True)
class Forces:
    """Force constants: a `Phono3py`, what is to be said of them, and the name of the crystal."""

    crystal: Any
    notes: tuple[str, ...]
    name: str


def _checked(
    mesh: float | Sequence[float],
    temperature: float | Sequence[float],
    tolerance: float,
    solution: str,
    boundary: float | None,
) -> tuple[list[float], list[float]]:
    lengths, temperatures = sorted(set(sequence_of(mesh))), sorted(set(sequence_of(temperature)))
    if not lengths or not np.isfinite(lengths).all() or lengths[0] <= 0:
        raise OptionsError(f"mesh {lengths} A; wanted lengths above 0")
    if not temperatures or not np.isfinite(temperatures).all() or temperatures[0] <= 0:
        raise OptionsError(f"temperature {temperatures} K; wanted temperatures above 0")
    if not tolerance > 0:
        raise OptionsError(f"tolerance {tolerance}; wanted a number above 0, as 0.05")
    if solution not in SOLUTIONS:
        raise OptionsError(f"solution {solution!r}; wanted {', '.join(SOLUTIONS)}")
    if boundary is not None and not boundary > 0:
        raise OptionsError(f"boundary {boundary} micrometres; wanted a length above 0")
    return lengths, temperatures


def _calculator(folder: Path | None, potential: Any, device: str) -> Any:
    if folder is None:
        return OnDemand.of(potential, device).calculator()
    if potential is not None:
        raise OptionsError(
            f"{folder} has force constants, and a potential is given, too. Give a structure in the place of "
            "the folder, or leave out --model and --engine"
        )
    return None


def _a_file(reference: str | Path | None) -> Path | None:
    if reference is None:
        return None
    path = Path(reference)
    return path / "modes.hdf5" if path.is_dir() else path


def _numbers(
    crystal: Any, lengths: Sequence[float], reference: ModeReference | None
) -> list[tuple[int, int, int]]:
    """Meshes from the coarsest to the finest; that of the reference among them."""
    found = {_mesh(crystal, length) for length in lengths}
    if reference is not None:
        found.add(reference.mesh)
    return sorted(found, key=lambda mesh: (int(np.prod(mesh)), mesh))


def _mesh(crystal: Any, length: float) -> tuple[int, int, int]:
    """Equal where the crystal's axes are: phono3py keeps the symmetry only then."""
    reciprocal = np.linalg.norm(np.linalg.inv(crystal.primitive.cell), axis=0)
    first, second, third = (max(1, int(np.rint(np.round(length * x, 6)))) for x in reciprocal)
    return first, second, third


def _of_lengths(forces: Forces, lengths: Sequence[float]) -> set[tuple[int, int, int]]:
    return {_mesh(forces.crystal, length) for length in lengths}


def _refuse_imaginary(crystal: Any, mesh: tuple[int, int, int]) -> None:
    softest = softest_mode(phonopy_of(crystal), mesh)
    if softest.frequency < IMAGINARY:
        raise DataError(
            f"imaginary modes: {softest.in_words()}. Such a crystal has no phonons that carry heat. Look at "
            "it with hint phonons; relax it (--relax cell), take a larger --phonon-supercell, or see "
            "hint sscha"
        )


def _on_mesh(
    crystal: Any,
    number: int,
    numbers: Sequence[tuple[int, int, int]],
    temperatures: Sequence[float],
    options: dict[str, Any],
    kept: Journal,
    display: Reported,
) -> Conduction:
    line = _FIRST_MESH + number
    if line not in kept:
        words = " ".join(map(str, numbers[number]))
        display.say(f"scattering on mesh {words}, {number + 1} of {len(numbers)}")
        with quiet():
            found = conduct(crystal, numbers[number], temperatures, **options)
        kept.add(line, {"conduction": found.kept()})
    return Conduction.of(kept[line]["conduction"])


def _stopped(kept: Journal, journal: Path) -> str:
    meshes = sum(number >= _FIRST_MESH for number in range(len(kept) + _FIRST_MESH) if number in kept)
    done = "force constants are" if _FORCE_CONSTANTS in kept else "nothing is"
    return (
        f"stopped: {done} done, and {meshes} meshes; kept in {journal}. Give the same command again to go on"
    )
