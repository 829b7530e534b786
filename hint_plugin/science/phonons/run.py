"""What `hint phonons` and `hint double-well` do, as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from hint_plugin.data import read_frames
from hint_plugin.data.outputs import a_folder
from hint_plugin.data.structures.unit_cell import (
    check_crystal,
    given_crystal,
    name_of,
    quiet,
    short_name_of,
    to_ase,
)
from hint_plugin.errors import OptionsError
from hint_plugin.potentials.extrapolation import in_one_sentence, outside_training, told_by_the_run
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.science.given_potential import (
    GivenPotential,
    calculator_of,
    potential_run_provenance,
)
from hint_plugin.science.phonons.bands import Bands, band_path, band_structure
from hint_plugin.science.phonons.born import crystal_born, share_born, unread_born
from hint_plugin.science.phonons.carried_properties import lowering, space_group
from hint_plugin.science.phonons.cell_relaxation import relaxed_first
from hint_plugin.science.phonons.crystals import Supercell, in_a_box, layer_axis, supercell_matrix
from hint_plugin.science.phonons.dos import density_of_states, thermodynamics
from hint_plugin.science.phonons.double_well import (
    Line,
    Profile,
    along_displacement,
    along_mode,
    compare_profiles,
    profile,
    stored_profile,
)
from hint_plugin.science.phonons.double_well_result import DoubleWellResult
from hint_plugin.science.phonons.force_constants import forces_at_rest, harmonic_phonons
from hint_plugin.science.phonons.phonon_files import default_supercell
from hint_plugin.science.phonons.phonon_result import Compared, PhononResult, write_relaxed
from hint_plugin.science.phonons.reference_phonons import (
    Table,
    add_born,
    compare,
    compare_table,
    read_reference,
)
from hint_plugin.science.phonons.same_crystal import check_reference
from hint_plugin.settings import as_float

if TYPE_CHECKING:
    from phonopy import Phonopy

Structure = Atoms | str | Path
Report = Callable[[str], None]
"""Told in words what is being done."""

RELAXATIONS = ("no", "positions", "cell")


def phonons(
    structure: Structure,
    potential: GivenPotential,
    output: str | Path | None = None,
    *,
    supercell: Supercell | None = None,
    relax: str = "no",
    fmax: float = 1e-3,
    reference: str | Path | None = None,
    only_this_file: bool = False,
    born: str | Path | None = None,
    points: int = 51,
    mesh: float = 60.0,
    temperature: float = 1000.0,
    displacement: float | None = None,
    precision: float = 1e-5,
    device: str = "cpu",
    report: Report | None = None,
) -> PhononResult:
    """Phonons of a crystal, from exact Hessian-vector products: as few as its symmetry allows.

    Args:
        structure: one unit cell, as atoms or a file (`read_crystal`).
        potential: see `GivenPotential`.
        output: folder of the results, written as `hint phonons` does; None writes nothing.
        supercell: one number, three, or a matrix; at least 10 A wide if None.
        relax: first, "positions" or "cell" (both); the symmetry is kept.
        fmax: the largest force after `relax`, eV/A.
        reference: to compare with: a Hessian in any format, or a CSV (qx, qy, qz, frequency in cm^-1).
        only_this_file: of the reference's set of dynamical matrices.
        born: phonopy's BORN, of the reference too.
        points: to a segment of the bands.
        mesh: of q points, as a length in A.
        temperature: the highest of thermal properties, K.
        displacement: A; differences of forces in the place of products.
        precision: within which symmetry is found, A.
        device: where a model that is given by its file or name runs: cpu, cuda.
        report: told in words what is being done.

    Raises:
        OptionsError: options that cannot be. DataError: no crystal, or a reference that is of another.
        EngineError: the relaxation does not get there, or the potential fails.
    """
    say = report or _silent
    folder = None if output is None else a_folder(Path(output))
    if relax not in RELAXATIONS:
        raise OptionsError(f"relax {relax!r}; wanted {', '.join(RELAXATIONS)}")
    atoms = given_crystal(structure, layers=True)
    repeats = supercell_matrix(default_supercell(atoms) if supercell is None else supercell)
    other = None if reference is None else read_reference(Path(reference), only_this_file)
    if other is not None:
        check_reference(in_a_box(atoms), other, layer_axis(atoms))
    calculator = calculator_of(potential, device)
    about: dict[str, Any] = {"structure": name_of(structure), "supercell": repeats.tolist()}
    about["displacement"] = as_float(displacement)
    alone = [Path(reference)] if only_this_file and reference is not None else []
    about["provenance"] = potential_run_provenance(calculator, (structure, reference, born), alone)
    with quiet():
        if relax != "no":
            atoms = relaxed_first(atoms, calculator, relax == "cell", fmax, about, say)
            if folder is not None:
                write_relaxed(folder, atoms)
        check_crystal(atoms, layers=True)
        about["largest_force"] = forces_at_rest(atoms, calculator)
        about["outside_training"] = outside_training(calculator, atoms)
        phonon, about["products"] = _force_constants(atoms, calculator, repeats, displacement, precision, say)
        born_notes = _with_born(phonon, structure, born, other, reference)
        say("bands")
        bands = band_structure(phonon, band_path(phonon, points, layer_axis(atoms)), group_velocities=True)
        say("sums over the Brillouin zone")
        result = PhononResult(
            name=short_name_of(structure),
            phonon=phonon,
            bands=bands,
            density=density_of_states(phonon, mesh),
            thermal=thermodynamics(phonon, np.linspace(0, temperature, 101 if temperature else 1), mesh),
            about=about,
            crystal=_described(phonon, in_a_box(atoms)),
            relaxed=None if relax == "no" else atoms,
            born_notes=tuple(born_notes),
        )
        if folder is not None:
            result.write_tables(folder)
        say("reference")
        if other is not None:
            result = replace(result, compared=_compared(phonon, bands, other))
    if folder is not None:
        result.write_summary(folder)
    return result


def double_well(
    structure: Structure,
    potential: GivenPotential,
    output: str | Path | None = None,
    *,
    mode: str | Sequence[float] | None = None,
    displacement: str | None = None,
    amplitude: float = 0.5,
    points: int = 21,
    reference: str | Path | GivenPotential | None = None,
    reference_option: Sequence[str] = (),
    supercell: Supercell | None = None,
    device: str = "cpu",
    report: Report | None = None,
) -> DoubleWellResult:
    """Energy of a crystal along a phonon or the displacement of an atom: is it a double well, how deep.

    Args:
        structure: one unit cell, as atoms or a file (`read_crystal`).
        potential: see `GivenPotential`.
        output: folder of the results, written as `hint double-well` does; None writes nothing.
        mode: qx, qy, qz (fractional) and the branch, from 1, of a phonon of the potential.
        displacement: in its place: "atom,axis" as "1,z" or "1,1,1,1" (along 111); or a file, displaced.
        amplitude: A, of the atom that moves most.
        points: energies, from -amplitude to amplitude.
        reference: a file of frames with energies along the line, the name of an engine, or another potential.
        reference_option: KEY=VALUE, of the reference's engine.
        supercell: for the phonon, see `phonons`.
        device: where a model that is given by its file or name runs: cpu, cuda.
        report: told in words what is being done.

    Raises:
        OptionsError: options that cannot be. DataError: no crystal, or a reference that is of another.
        Whatever the potential raises.
    """
    say = report or _silent
    folder = None if output is None else a_folder(Path(output))
    if (mode is None) == (displacement is None):
        raise OptionsError("wanted one of --mode qx,qy,qz,branch and --displacement atom,axis")
    atoms = given_crystal(structure, layers=True)
    calculator = calculator_of(potential, device)
    if displacement is not None:
        line = along_displacement(atoms, displacement)
    else:
        say("force constants")
        line = _along_mode(atoms, calculator, mode, supercell)
    with told_by_the_run():
        found = profile(line, calculator, amplitude, points, lambda k, n: say(f"energy {k} of {n}"))
    steps = [(f"at {a:+.3f} A", outside_training(calculator, line.at(a))) for a in found.amplitudes]
    outside = in_one_sentence([step for step in steps if step[1]], len(steps))
    named = [name for name in (reference, displacement) if isinstance(name, str | Path)]
    files = [structure, *(name for name in named if Path(name).is_file())]
    about = potential_run_provenance(calculator, files)
    result = DoubleWellResult(short_name_of(structure), line, found, about, outside=outside)
    if reference is not None:
        theirs = _reference_profile(line, reference, reference_option, amplitude, points, say)
        result = replace(result, reference=theirs, errors=compare_profiles(found, theirs))
    if folder is not None:
        result.write(folder)
    return result


def _silent(text: str) -> None:
    """Tells nobody."""


def _force_constants(
    atoms: Atoms, calculator: Any, repeats: Any, displacement: float | None, precision: float, say: Report
) -> tuple[Phonopy, int]:
    """With force constants; and how many products, or displacements, that took."""
    total = 0
    what = "displacements" if displacement else "products"

    def counted(done: int, count: int) -> None:
        nonlocal total
        total = count
        say(f"force constants: {done} of {count} {what}")

    phonon = harmonic_phonons(
        atoms, calculator, repeats, displacement=displacement, symmetry_precision=precision, report=counted
    )
    return phonon, total


def _with_born(
    phonon: Phonopy,
    structure: Structure,
    born: str | Path | None,
    reference: Phonopy | Table | None,
    path: str | Path | None,
) -> list[str]:
    """Born charges of `born`, of the crystal's own file, or of the reference; what is to be said of them.

    Args:
        reference: of `read_reference`, from `path`; both None without one.
    """
    if born is not None:
        add_born(phonon, Path(born))
        if reference is not None and not isinstance(reference, Table) and reference.nac_params is None:
            return [note for note in [share_born(phonon, reference)] if note]
        return []
    notes = [] if isinstance(structure, Atoms) else [crystal_born(phonon, Path(structure))]
    if reference is not None and not isinstance(reference, Table):
        notes.append(share_born(phonon, reference))
        if path is not None and reference.nac_params is None:
            notes.append(unread_born(Path(path)))
    return [note for note in notes if note]


def _described(phonon: Phonopy, atoms: Atoms) -> dict[str, Any]:
    """Of the crystal, for JSON. `atoms`: the unit cell, with what its atoms carry."""
    return {
        "space_group": space_group(to_ase(phonon.unitcell), phonon.symmetry.tolerance),
        "lowered_by": lowering(atoms, phonon.symmetry.tolerance),
        "atoms_in_primitive_cell": len(phonon.primitive),
        "atoms_in_supercell": len(phonon.supercell),
    }


def _compared(phonon: Phonopy, bands: Bands, reference: Phonopy | Table) -> Compared:
    if isinstance(reference, Table):
        return Compared(reference, None, compare_table(phonon, reference, bands.path.across))
    return Compared(reference, *compare(phonon, bands, reference))


def _along_mode(
    atoms: Atoms, calculator: Any, mode: str | Sequence[float] | None, supercell: Supercell | None
) -> Line:
    words = mode if isinstance(mode, str) else ",".join(f"{x:.17g}" for x in mode or ())
    try:
        *q, branch = [float(word) for word in words.replace(" ", ",").split(",")]
    except ValueError:
        raise OptionsError(f"--mode {words}; wanted qx,qy,qz,branch, as 0,0,0,4") from None
    if len(q) != 3 or branch != int(branch):
        raise OptionsError(f"--mode {words}; wanted qx,qy,qz,branch, as 0,0,0,4")
    repeats = supercell_matrix(default_supercell(atoms) if supercell is None else supercell)
    phonon = harmonic_phonons(atoms, calculator, repeats, force_tolerance=None)
    return along_mode(phonon, q, int(branch), in_a_box(atoms))


def _reference_profile(
    line: Line, reference: Any, options: Sequence[str], amplitude: float, points: int, say: Report
) -> Profile:
    if isinstance(reference, str | Path) and Path(reference).exists():
        if options:
            raise OptionsError("--reference-option goes with an engine, and --reference is a file")
        return stored_profile(line, read_frames(Path(reference)))
    named = PotentialSpec(engine=reference, options=options) if isinstance(reference, str) else reference
    calculator = calculator_of(named)
    return profile(line, calculator, amplitude, points, lambda k, n: say(f"reference {k} of {n}"))
