"""The steps of `hint phonons`, from the relaxation to the comparison with a reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def relaxed(
    atoms: Any,
    calculator: Any,
    how: str,
    fmax: float,
    output: Path,
    result: dict[str, Any],
    say: Callable[[str], None],
) -> Any:
    """The crystal at rest, if that is wanted; what was done goes into `result`, and into relaxed.xyz.

    Raises:
        EngineError: it does not get there.
    """
    from hint_plugin.artifact.trained_on import trained_on
    from hint_plugin.data import write_frames
    from hint_plugin.science.phonons.cell_relaxation import relax_crystal

    if how == "no":
        return atoms
    found = relax_crystal(
        atoms,
        calculator,
        cell=how == "cell",
        fmax=fmax,
        report=lambda step, energy, force: say(f"relaxing: step {step}, {energy:.4f} eV, {force:.4f} eV/A"),
    )
    kept = found.atoms.copy()
    output.mkdir(parents=True, exist_ok=True)
    write_frames(output / "relaxed.xyz", [kept])
    untrained = trained_on(calculator).get("stress") is False
    result["relaxation"] = {
        "steps": found.steps,
        "energy": found.energy,
        "pressure": None if untrained else found.pressure,
        "cell": found.atoms.cell.cellpar().tolist(),
    }
    if untrained and how == "cell":
        result["relaxation"]["note"] = (
            "the cell followed the stress of a model that was not trained on stresses: its lattice "
            "constants are no result"
        )
    return kept


def with_born(
    phonon: Any, structure: Path, born: Path | None, reference: Any, path: Path | None
) -> list[str]:
    """Born charges of --born, of the crystal's own file, or of the reference; what is to be said of
    them.

    Args:
        reference: of `read_reference`, from `path`; both None without one.
    """
    from hint_plugin.science.phonons.born import crystal_born, share_born, unread_born
    from hint_plugin.science.phonons.reference_phonons import Table, add_born

    if born is not None:
        add_born(phonon, born)
        if reference is not None and not isinstance(reference, Table) and reference.nac_params is None:
            return [note for note in [share_born(phonon, reference)] if note]
        return []
    notes = [crystal_born(phonon, structure)]
    if reference is not None and not isinstance(reference, Table):
        notes.append(share_born(phonon, reference))
        notes.append(unread_born(path) if path is not None and reference.nac_params is None else "")
    return [note for note in notes if note]


def described(phonon: Any, bands: Any, atoms: Any) -> dict[str, Any]:
    """Of the crystal and its bands, for JSON. `atoms`: the unit cell, with what its atoms carry."""
    from hint_plugin.data.structures.unit_cell import to_ase
    from hint_plugin.science.phonons.carried_properties import lowering, space_group

    return {
        "space_group": space_group(to_ase(phonon.unitcell), phonon.symmetry.tolerance),
        "lowered_by": lowering(atoms, phonon.symmetry.tolerance),
        "atoms_in_primitive_cell": len(phonon.primitive),
        "atoms_in_supercell": len(phonon.supercell),
        "lowest": bands.lowest,
        "highest": bands.highest,
        "path": [list(labels) for labels in bands.path.labels],
        "frequencies": [block.tolist() for block in bands.frequencies],
        "group_velocities": [block.tolist() for block in bands.group_velocities or ()],
    }


def sums_and_files(
    phonon: Any, bands: Any, mesh: float, temperature: float, output: Path, result: dict[str, Any]
) -> tuple[Any, list[str]]:
    """Densities of states, thermal properties, and the files of all; the density, and what could not be."""
    import numpy as np

    from hint_plugin.data.file_io import files_of, remove_earlier, write_csv
    from hint_plugin.errors import DataError
    from hint_plugin.science.phonons.dos import density_of_states, thermodynamics
    from hint_plugin.science.phonons.force_constants import FORCE_TOLERANCE
    from hint_plugin.science.phonons.phonon_files import write_phonopy
    from hint_plugin.science.phonons.qe import write_dyn

    density = density_of_states(phonon, mesh)
    thermal = thermodynamics(phonon, np.linspace(0, temperature, 101 if temperature else 1), mesh)
    result |= {"imaginary": thermal.imaginary, "zero_point_energy": float(thermal.free_energy[0])}
    own = (r"relaxed\.xyz", r"(bands|dos|thermal)\.csv", r"bands\.png", r"qe/matdyn\.dyn\d+")
    fresh = ("relaxed.xyz",) if "relaxation" in result else ()
    remove_earlier(output, "phonons.json", own, fresh, files_of(result.get("provenance", {})))
    write_csv(output / "bands.csv", bands.rows())
    write_csv(output / "dos.csv", density.rows())
    write_csv(output / "thermal.csv", thermal.rows())
    write_phonopy(phonon, output)
    notes = [note] if (note := result.get("relaxation", {}).get("note")) else []
    if result["lowered_by"]:
        names = ", ".join(result["lowered_by"])
        notes.append(f"no symmetry is used: {names} differ on atoms that are alike in all else")
    if result["largest_force"] > FORCE_TOLERANCE:
        notes.append(f"not at rest: {result['largest_force']:.3f} eV/A on an atom; --relax goes on")
    if thermal.imaginary > 0:
        notes.append("imaginary modes: left out of zero-point energy and thermal properties")
    matrices = output / "qe"
    matrices.mkdir(exist_ok=True)
    try:
        write_dyn(phonon, matrices / "matdyn.dyn")
    except DataError as error:
        notes.append(str(error))
        if not any(matrices.iterdir()):
            matrices.rmdir()
    return density, notes


def with_reference(
    phonon: Any,
    bands: Any,
    density: Any,
    reference: Any,
    name: str,
    output: Path,
    result: dict[str, Any],
) -> Callable[[], bool]:
    """The errors against the reference, into `result`; what is returned draws both, once all is written."""
    from hint_plugin.science.phonons.band_figure import plot_bands
    from hint_plugin.science.phonons.reference_phonons import Table, along_path, compare, compare_table

    series, points = [("this work" if reference is not None else "", bands)], []
    if isinstance(reference, Table):
        comparison = compare_table(phonon, reference, bands.path.across)
        points = [("reference", *along_path(reference, bands.path, phonon))]
    elif reference is not None:
        theirs, comparison = compare(phonon, bands, reference)
        series.append(("reference", theirs))
    if reference is not None:
        result["errors"] = comparison.as_dict()
    states = [("", density.frequencies, density.total)]
    return lambda: plot_bands(output / "bands.png", series, points=points, density=states, title=name)
